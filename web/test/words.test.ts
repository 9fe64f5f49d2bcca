import { describe, expect, it } from 'vitest';
import { explainCapture } from '../src/capture';
import { level } from '../src/meter';
import { isStreamName, nameFromPath, nameTrouble } from '../src/name';
import { bitrate, codecName, elapsed } from '../src/words';

describe('stream names', () => {
  it('are what the server takes', () => {
    for (const name of ['live', 'a', 'A.b-c_9', 'x'.repeat(64)]) {
      expect(isStreamName(name), name).toBe(true);
      expect(nameTrouble(name), name).toBeNull();
    }
    for (const name of ['', '.x', 'a b', 'ä', 'a/b', 'x'.repeat(65)]) {
      expect(isStreamName(name), name).toBe(false);
      expect(nameTrouble(name), name).not.toBeNull();
    }
  });

  it('are read from addresses', () => {
    expect(nameFromPath('/watch/live')).toBe('live');
    expect(nameFromPath('/watch/live/')).toBe('live');
    expect(nameFromPath('/watch')).toBeNull();
    expect(nameFromPath('/watch/a%20b')).toBeNull();
  });
});

describe('numbers in words', () => {
  it('writes bitrates', () => {
    expect(bitrate(null)).toBe('–');
    expect(bitrate(64_000)).toBe('64 kbit/s');
    expect(bitrate(2_480_000)).toBe('2.48 Mbit/s');
  });

  it('writes times in the coarsest useful unit', () => {
    const now = Date.parse('2026-11-21T15:00:00Z');
    expect(elapsed('2026-11-21T14:59:30Z', now)).toBe('just now');
    expect(elapsed('2026-11-21T14:48:00Z', now)).toBe('12 min');
    expect(elapsed('2026-11-21T12:55:00Z', now)).toBe('2 h 5 min');
    expect(elapsed('2026-11-18T12:00:00Z', now)).toBe('3 days');
    expect(elapsed('never', now)).toBe('');
  });

  it('writes codecs as people do', () => {
    expect(['video/H264', 'opus', 'VP8', 'H265'].map(codecName)).toEqual(['H.264', 'Opus', 'VP8', 'H.265']);
  });
});

describe('level', () => {
  it('is logarithmic between −60 dBFS and full scale', () => {
    expect(level(new Float32Array([0, 0]))).toBe(0);
    expect(level(new Float32Array([0.2, -1]))).toBe(1);
    expect(level(new Float32Array([0.1]))).toBeCloseTo(2 / 3);
    expect(level(new Float32Array([0.0001]))).toBe(0);
  });
});

describe('explainCapture', () => {
  const error = (name: string) => Object.assign(new Error('x'), { name });
  it('tells a refusal from a missing device', () => {
    const wish = { picture: 'camera', sound: 'microphone' } as const;
    expect(explainCapture(error('NotAllowedError'), wish).message).toContain('does not let this page use');
    expect(explainCapture(error('NotFoundError'), wish).message).toBe('No camera or microphone was found.');
  });

  it('takes a closed chooser for a choice', () => {
    const shared = explainCapture(error('NotAllowedError'), { picture: 'screen', sound: 'none' });
    expect(shared.cancelled).toBe(true);
  });
});
