import { describe, expect, it } from 'vitest';
import { encodings } from '../src/whip';

describe('the layers that are sent', () => {
  const settings = { codec: '', maxBitrate: 2_000_000, simulcast: true };
  const names = (height: number) => encodings(height, settings).map(({ rid }) => rid);

  it('are as many as the picture has room for', () => {
    expect(names(1080)).toEqual(['q', 'h', 'f']);
    expect(names(720)).toEqual(['q', 'h', 'f']);
    expect(names(360)).toEqual(['h', 'f']);
    expect(names(240)).toEqual([undefined]);
  });

  it('share the bitrate, the largest most of it', () => {
    for (const height of [360, 720]) {
      const rates = encodings(height, settings).map(({ maxBitrate }) => maxBitrate ?? 0);
      expect(Math.abs(rates.reduce((a, b) => a + b) - 2_000_000)).toBeLessThan(5);
      expect(rates).toEqual([...rates].sort((a, b) => a - b));
    }
  });

  it('are one without simulcast', () => {
    expect(encodings(720, { ...settings, simulcast: false })).toEqual([{ maxBitrate: 2_000_000 }]);
  });
});
