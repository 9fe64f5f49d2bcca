import { describe, expect, it } from 'vitest';
import { StatsReader } from '../src/stats';

type Entry = Record<string, unknown>;

const report = (...entries: Entry[]) =>
  new Map(entries.map((entry, index) => [String(entry.id ?? index), entry]));

const video = (entry: Entry): Entry => ({
  id: 'V',
  type: 'inbound-rtp',
  kind: 'video',
  codecId: 'C',
  frameWidth: 1280,
  frameHeight: 720,
  framesPerSecond: 30,
  ...entry,
});
const codec: Entry = { id: 'C', type: 'codec', mimeType: 'video/H264' };

describe('StatsReader.viewer', () => {
  it('gives no rates on the first look', () => {
    const stats = new StatsReader().viewer(report(codec, video({ timestamp: 1000, bytesReceived: 500 })));
    expect(stats).toMatchObject({ videoBitrate: null, lossPercent: null, bytes: 500, videoCodec: 'H264' });
    expect(stats).toMatchObject({ width: 1280, height: 720, fps: 30, audioCodec: null });
  });

  it('computes bitrate, loss and buffer between two looks', () => {
    const reader = new StatsReader();
    const first = { timestamp: 1000, bytesReceived: 1000, packetsReceived: 100, packetsLost: 5 };
    reader.viewer(report(video({ ...first, jitterBufferDelay: 1, jitterBufferEmittedCount: 10 })));
    const second = {
      timestamp: 3000,
      bytesReceived: 251_000,
      packetsReceived: 190,
      packetsLost: 15,
      jitter: 0.004,
    };
    const stats = reader.viewer(
      report(video({ ...second, jitterBufferDelay: 2, jitterBufferEmittedCount: 30 })),
    );
    expect(stats.videoBitrate).toBe(1_000_000);
    expect(stats.lossPercent).toBe(10);
    expect(stats.packetsLost).toBe(15);
    expect(stats.bufferMs).toBe(50);
    expect(stats.jitterMs).toBe(4);
  });

  it('does not count a late packet as negative loss', () => {
    const reader = new StatsReader();
    reader.viewer(report(video({ timestamp: 0, packetsReceived: 10, packetsLost: 4 })));
    const stats = reader.viewer(report(video({ timestamp: 1000, packetsReceived: 20, packetsLost: 2 })));
    expect(stats.lossPercent).toBe(0);
  });

  it('starts anew when the counters do', () => {
    const reader = new StatsReader();
    reader.viewer(report(video({ timestamp: 1000, bytesReceived: 9000 })));
    const stats = reader.viewer(report(video({ timestamp: 2000, bytesReceived: 100 })));
    expect(stats.videoBitrate).toBeNull();
  });

  it('reads the round trip of the pair in use', () => {
    const pairs: Entry[] = [
      { id: 'P1', type: 'candidate-pair', nominated: false, currentRoundTripTime: 9 },
      { id: 'P2', type: 'candidate-pair', nominated: true, currentRoundTripTime: 0.02 },
    ];
    expect(new StatsReader().viewer(report(...pairs)).rttMs).toBe(20);
  });
});

describe('StatsReader.publisher', () => {
  it('takes the largest layer and the worst loss', () => {
    const out = (id: string, frameHeight: number): Entry => ({
      id,
      type: 'outbound-rtp',
      kind: 'video',
      timestamp: 1000,
      frameHeight,
      frameWidth: frameHeight * 2,
      qualityLimitationReason: 'cpu',
    });
    const stats = new StatsReader().publisher(
      report(
        out('a', 180),
        out('b', 720),
        { id: 'r1', type: 'remote-inbound-rtp', fractionLost: 0.02, roundTripTime: 0.05 },
        { id: 'r2', type: 'remote-inbound-rtp', fractionLost: 0.01 },
      ),
    );
    expect(stats).toMatchObject({ height: 720, lossPercent: 2, rttMs: 50, limitation: 'cpu' });
  });
});
