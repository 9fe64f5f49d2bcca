import type { Latency } from './latency';

/** The parts of RTCStatsReport that are read here; tests hand in a Map. */
export interface Report {
  forEach(visit: (entry: Record<string, unknown>) => void): void;
}

/** Sums of one report, kept to compute rates against the next. */
interface Totals {
  at: number;
  videoBytes: number;
  audioBytes: number;
  packets: number;
  lost: number;
  jitterBufferDelay: number;
  jitterBufferEmitted: number;
}

interface Rates {
  /** Bits per second since the last report; null in the first. */
  videoBitrate: number | null;
  audioBitrate: number | null;
  /** 0 to 100, since the last report; null in the first or when nothing was sent. */
  lossPercent: number | null;
  rttMs: number | null;
  videoCodec: string | null;
  audioCodec: string | null;
  width: number | null;
  height: number | null;
  fps: number | null;
}

export interface ViewerStats extends Rates {
  /** All bytes of media so far. */
  bytes: number;
  videoBytes: number;
  packetsLost: number;
  jitterMs: number | null;
  /** Mean time in the jitter buffer since the last report. */
  bufferMs: number | null;
  framesDecoded: number;
  framesDropped: number;
  keyFramesDecoded: number;
  freezeCount: number;
  nackCount: number;
  pliCount: number;
  audioSamples: number;
  freezeMs: number;
  /** From the publisher's capture to this screen; null while unknown. */
  latency: Latency | null;
  /** The SRTP protection profile, where the browser tells it. */
  srtpCipher: string | null;
}

export interface PublisherStats extends Rates {
  framesEncoded: number;
  /** What keeps the quality down: `none`, `cpu`, `bandwidth`, `other`. */
  limitation: string | null;
  encoder: string | null;
  /** The lines of each layer's picture, the largest first. */
  layers: number[];
  nackCount: number;
  pliCount: number;
  srtpCipher: string | null;
}

/** Turns successive reports of one peer connection into what a person can read. */
export class StatsReader {
  #previous: Totals | null = null;

  viewer(report: Report): ViewerStats {
    const entries = index(report);
    const inbound = entries.filter(({ type }) => type === 'inbound-rtp');
    const video = pick(inbound, 'video');
    const audio = pick(inbound, 'audio');
    const lost = number(video?.packetsLost) + number(audio?.packetsLost);
    const totals: Totals = {
      at: latest(inbound),
      videoBytes: number(video?.bytesReceived),
      audioBytes: number(audio?.bytesReceived),
      packets: number(video?.packetsReceived) + number(audio?.packetsReceived),
      lost,
      jitterBufferDelay: number(video?.jitterBufferDelay),
      jitterBufferEmitted: number(video?.jitterBufferEmittedCount),
    };
    const previous = this.#step(totals);
    const emitted = previous ? totals.jitterBufferEmitted - previous.jitterBufferEmitted : 0;
    const received = previous ? totals.packets - previous.packets : 0;
    const missing = previous ? Math.max(0, totals.lost - previous.lost) : 0;
    return {
      ...this.#rates(totals, previous, entries, video, audio),
      lossPercent: received + missing > 0 ? (100 * missing) / (received + missing) : null,
      bytes: totals.videoBytes + totals.audioBytes,
      videoBytes: totals.videoBytes,
      packetsLost: lost,
      jitterMs: milliseconds(video?.jitter ?? audio?.jitter),
      bufferMs:
        previous && emitted > 0
          ? (1000 * (totals.jitterBufferDelay - previous.jitterBufferDelay)) / emitted
          : null,
      framesDecoded: number(video?.framesDecoded),
      framesDropped: number(video?.framesDropped),
      keyFramesDecoded: number(video?.keyFramesDecoded),
      freezeCount: number(video?.freezeCount),
      nackCount: number(video?.nackCount) + number(audio?.nackCount),
      pliCount: number(video?.pliCount),
      audioSamples: number(audio?.totalSamplesReceived),
      freezeMs: 1000 * number(video?.totalFreezesDuration),
      latency: null,
      srtpCipher: cipher(entries),
    };
  }

  publisher(report: Report): PublisherStats {
    const entries = index(report);
    const outbound = entries.filter(({ type }) => type === 'outbound-rtp');
    const video = pick(outbound, 'video');
    const audio = pick(outbound, 'audio');
    const remote = entries.filter(({ type }) => type === 'remote-inbound-rtp');
    const fractions = remote.map(({ fractionLost }) => fractionLost).filter((f) => typeof f === 'number');
    const totals: Totals = {
      at: latest(outbound),
      // All layers together.
      videoBytes: sum(outbound, 'video', 'bytesSent'),
      audioBytes: number(audio?.bytesSent),
      packets: sum(outbound, 'video', 'packetsSent') + number(audio?.packetsSent),
      lost: 0,
      jitterBufferDelay: 0,
      jitterBufferEmitted: 0,
    };
    const rates = this.#rates(totals, this.#step(totals), entries, video, audio);
    return {
      ...rates,
      rttMs: rates.rttMs ?? milliseconds(remote[0]?.roundTripTime),
      lossPercent: fractions.length > 0 ? 100 * Math.max(...fractions) : null,
      framesEncoded: number(video?.framesEncoded),
      limitation: text(video?.qualityLimitationReason),
      encoder: text(video?.encoderImplementation),
      layers: outbound
        .filter(({ kind, bytesSent }) => kind === 'video' && number(bytesSent) > 0)
        .map(({ frameHeight }) => number(frameHeight))
        .filter((height) => height > 0)
        .sort((a, b) => b - a),
      nackCount: number(video?.nackCount) + number(audio?.nackCount),
      pliCount: number(video?.pliCount),
      srtpCipher: cipher(entries),
    };
  }

  /** Gives the report before, or null where the counters began anew. */
  #step(totals: Totals): Totals | null {
    const previous = this.#previous;
    this.#previous = totals;
    if (previous === null || totals.at <= previous.at) return null;
    const began = totals.videoBytes < previous.videoBytes || totals.audioBytes < previous.audioBytes;
    return began ? null : previous;
  }

  #rates(
    totals: Totals,
    previous: Totals | null,
    entries: Entry[],
    video: Entry | undefined,
    audio: Entry | undefined,
  ): Rates {
    const seconds = previous ? (totals.at - previous.at) / 1000 : 0;
    const rate = (now: number, then: number | undefined) =>
      then === undefined || seconds <= 0 ? null : (8 * (now - then)) / seconds;
    const pair = entries.find(
      (entry) => entry.type === 'candidate-pair' && (entry.nominated === true || entry.selected === true),
    );
    return {
      videoBitrate: video ? rate(totals.videoBytes, previous?.videoBytes) : null,
      audioBitrate: audio ? rate(totals.audioBytes, previous?.audioBytes) : null,
      lossPercent: null,
      rttMs: milliseconds(pair?.currentRoundTripTime),
      videoCodec: codec(entries, video),
      audioCodec: codec(entries, audio),
      width: size(video?.frameWidth),
      height: size(video?.frameHeight),
      fps: size(video?.framesPerSecond),
    };
  }
}

type Entry = Record<string, unknown>;

function index(report: Report): Entry[] {
  const entries: Entry[] = [];
  report.forEach((entry) => {
    entries.push(entry);
  });
  return entries;
}

/** With several streams of a kind (simulcast), the one of the largest picture. */
function pick(entries: Entry[], kind: string): Entry | undefined {
  return entries
    .filter((entry) => entry.kind === kind)
    .sort((a, b) => number(b.frameHeight) - number(a.frameHeight))[0];
}

function sum(entries: Entry[], kind: string, member: string): number {
  return entries
    .filter((entry) => entry.kind === kind)
    .reduce((all, entry) => all + number(entry[member]), 0);
}

function codec(entries: Entry[], stream: Entry | undefined): string | null {
  const mime = text(entries.find(({ id, type }) => type === 'codec' && id === stream?.codecId)?.mimeType);
  return mime?.split('/')[1] ?? null;
}

function cipher(entries: Entry[]): string | null {
  return text(entries.find(({ type }) => type === 'transport')?.srtpCipher);
}

function latest(entries: Entry[]): number {
  return Math.max(0, ...entries.map(({ timestamp }) => number(timestamp)));
}

function number(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

function size(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function milliseconds(seconds: unknown): number | null {
  return typeof seconds === 'number' ? 1000 * seconds : null;
}
