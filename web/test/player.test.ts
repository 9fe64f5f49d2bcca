import { describe, expect, it } from 'vitest';
import { LatencyMeter } from '../src/latency';
import { choices, qualityLabel, stepped } from '../src/player/quality';
import type { ViewerStats } from '../src/stats';
import { StuckWatch, type Trouble } from '../src/trouble';
import type { Layer } from '../src/whep-events';

const layer = (rid: string, height: number): Layer => ({
  rid,
  height,
  width: (height * 16) / 9,
  bitrate: 1e6,
});
const THREE = [layer('f', 720), layer('h', 360), layer('q', 180)];

describe('the quality menu', () => {
  it('offers each layer, and limits to the automatic', () => {
    expect(choices(THREE).map(({ label }) => label)).toEqual([
      'Automatic',
      '720p',
      '360p',
      '180p',
      'Automatic, at most 360p',
      'Automatic, at most 180p',
    ]);
    expect(choices([]).map(({ label }) => label)[1]).toBe('At most 1080p');
  });

  it('is walked with the arrow keys, and ends at its ends', () => {
    const down = stepped(THREE, { kind: 'auto' }, 1);
    expect(down).toEqual({ kind: 'layer', rid: 'f' });
    expect(stepped(THREE, { kind: 'layer', rid: 'q' }, 1)).toBeNull();
    expect(stepped(THREE, { kind: 'layer', rid: 'f' }, -1)).toEqual({ kind: 'auto' });
    expect(stepped(THREE, { kind: 'auto' }, -1)).toBeNull();
  });

  it('says what is asked for and what is seen', () => {
    expect(qualityLabel(THREE, { kind: 'auto' }, 360)).toBe('Auto 360p');
    expect(qualityLabel(THREE, { kind: 'layer', rid: 'h' }, 720)).toBe('360p');
    expect(qualityLabel([], { kind: 'height', maxHeight: 180 }, null)).toBe('≤ 180p');
  });
});

describe('a picture that stands still', () => {
  const stats = (videoBytes: number, framesDecoded: number) => ({ videoBytes, framesDecoded }) as ViewerStats;
  const watch = () => {
    const told: (Trouble['kind'] | null)[] = [];
    return { told, stuck: new StuckWatch((trouble) => told.push(trouble?.kind ?? null)) };
  };

  it('is told apart: lost, or not sent', () => {
    const { told, stuck } = watch();
    stuck.look(stats(1000, 10), true, 1000);
    stuck.look(stats(2000, 10), true, 2000);
    stuck.look(stats(3000, 10), true, 4000);
    expect(told).toEqual(['undecoded']);
    stuck.look(stats(3000, 10), true, 7000);
    expect(told).toEqual(['undecoded', 'unsent']);
    stuck.look(stats(4000, 11), true, 7500);
    expect(told).toEqual(['undecoded', 'unsent', null]);
  });

  it('is no trouble in sound alone, nor while nobody looks', () => {
    const { told, stuck } = watch();
    for (let now = 1000; now < 20_000; now += 500) stuck.look(stats(0, 0), true, now);
    for (let now = 20_000; now < 40_000; now += 500) stuck.look(stats(500, 5), false, now);
    stuck.look(stats(500, 5), true, 40_500);
    expect(told).toEqual([]);
  });

  it('is what the server says, when it says so', () => {
    const { told, stuck } = watch();
    stuck.pausedByServer(true);
    stuck.look(stats(1000, 10), true, 1000);
    expect(stuck.trouble).toEqual({ kind: 'paused' });
    stuck.pausedByServer(false);
    expect(told).toEqual(['paused', null]);
  });
});

describe('the delay', () => {
  const NTP = 2_208_988_800_000;
  const now = Date.UTC(2026, 10, 21);
  const report = (...entries: Record<string, unknown>[]) => ({
    forEach: (visit: (entry: Record<string, unknown>) => void) => entries.forEach(visit),
  });
  const pair = { type: 'candidate-pair', nominated: true, currentRoundTripTime: 0.04 };

  it('is estimated by sender reports, whatever the clocks differ by', () => {
    for (const skew of [0, -3_600_000, 250]) {
      const meter = new LatencyMeter();
      // The server's clock is `skew` ahead; the way takes 20 ms; the frame on screen is 120 ms old.
      const outbound = { type: 'remote-outbound-rtp', timestamp: now, remoteTimestamp: now + skew - 20 };
      const inbound = {
        type: 'inbound-rtp',
        kind: 'video',
        estimatedPlayoutTimestamp: NTP + now + skew - 120,
      };
      meter.report(report(outbound, pair, inbound), now);
      expect(meter.value?.kind).toBe('estimate');
      expect(meter.value?.ms).toBeCloseTo(120, 0);
    }
  });

  it('is exact where frames carry their capture time', () => {
    for (const skew of [0, -3_600_000, 250]) {
      const meter = new LatencyMeter();
      const outbound = { type: 'remote-outbound-rtp', timestamp: now, remoteTimestamp: now + skew - 20 };
      meter.report(report(outbound, pair), now);
      // The newest frame was captured 100 ms ago; the one now shown is four frames older.
      // By the publisher's own clock, which is 7 s ahead of the server's.
      const source = {
        rtpTimestamp: 5000,
        captureTimestamp: NTP + now + skew + 7000 - 100,
        senderCaptureTimeOffset: 7000,
      };
      const shown = { expectedDisplayTime: 5010, receiveTime: 4900, rtpTimestamp: (5000 - 4 * 3000) >>> 0 };
      meter.frame(shown, source, now, 5000);
      expect(meter.value?.kind).toBe('exact');
      expect(meter.value?.ms).toBeCloseTo(100 + 10 + 4 * (3000 / 90), 0);
    }
  });

  it('is not read from a clock that is wrong', () => {
    for (const wrong of [-60_000, 60_000]) {
      const meter = new LatencyMeter();
      const outbound = { type: 'remote-outbound-rtp', timestamp: now, remoteTimestamp: now - 20 };
      const inbound = { type: 'inbound-rtp', kind: 'video', estimatedPlayoutTimestamp: NTP + now - 120 };
      meter.report(report(outbound, pair, inbound), now);
      const source = { rtpTimestamp: 5000, captureTimestamp: NTP + now + wrong };
      meter.frame({ expectedDisplayTime: 5000, rtpTimestamp: 5000 }, source, now, 5000);
      meter.report(report(pair), now);
      expect(meter.value?.kind).toBe('estimate');
    }
  });

  it('is a floor where nothing is known of the publisher', () => {
    const meter = new LatencyMeter();
    meter.report(report(), now);
    expect(meter.value).toBeNull();
    meter.frame({ expectedDisplayTime: 5000, receiveTime: 4970 }, null, now, 5000);
    meter.report(report(pair), now);
    expect(meter.value).toEqual({ kind: 'floor', ms: 50 });
  });
});
