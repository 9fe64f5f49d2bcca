import type { Finding, PublisherReport } from '../api';

export interface LayerName {
  rid: string | null;
  width: number | null;
  height: number | null;
}

/** What goes to a viewer: totals from its beginning, rates of the last second. */
export interface ViewerReport {
  bitrate: number;
  packets: number;
  bytes: number;
  lost: number;
  /** 0 to 1. */
  loss: number | null;
  jitterMs: number | null;
  roundTripMs: number | null;
  nacked: number;
  retransmitted: number;
  keyframeRequests: number;
  estimate: number | null;
  layer: LayerName | null;
  target: LayerName | null;
  videoPaused: boolean;
  latency: { ms: number; kind: 'exact' | 'estimate' } | null;
}

export interface Steps {
  firstCheckMs: number | null;
  connectedMs: number | null;
  firstPacketMs: number | null;
  firstKeyframeMs: number | null;
}

export interface Session {
  id: string;
  role: 'publisher' | 'viewer';
  stream: string;
  state: 'accepted' | 'connecting' | 'connected';
  current: boolean;
  createdAt: string;
  worker: number | null;
  steps: Steps;
  address: string | null;
  srtp: string | null;
  publisher?: PublisherReport;
  viewer?: ViewerReport;
  findings?: Finding[];
}

/** The server as a whole. What grows only is a total since its start. */
export interface ServerFigures {
  cpuSeconds: number | null;
  memoryBytes: number | null;
  datagramsSent: number;
  viewersBitrate: number;
  viewersLoss: number | null;
  viewersRoundTripMs: number | null;
}

/** An hour at one sample in two seconds. */
const MOST = 1800;

/** Values over time: what plots are drawn from. Each series has as many values as there are times. */
export class History {
  /** Seconds since 1970. */
  times: number[] = [];
  series = new Map<string, (number | null)[]>();

  add(at: number, values: Record<string, number | null>): void {
    this.times.push(at);
    for (const name of Object.keys(values)) {
      if (!this.series.has(name)) this.series.set(name, new Array(this.times.length - 1).fill(null));
    }
    for (const [name, list] of this.series) list.push(values[name] ?? null);
    if (this.times.length > MOST) {
      this.times.shift();
      for (const list of this.series.values()) list.shift();
    }
  }

  of(name: string): (number | null)[] {
    return this.series.get(name) ?? new Array(this.times.length).fill(null);
  }

  last(name: string): number | null {
    return this.series.get(name)?.at(-1) ?? null;
  }
}

/** Over how many seconds rates are taken: processor time is counted in hundredths of a second. */
const WINDOW = 10;

/** Turns sums that grow into rates per second, over the last ten seconds. A sum that fell began anew. */
export class Rates {
  #before = new Map<string, { at: number; value: number }[]>();

  rate(name: string, at: number, value: number | null): number | null {
    if (value === null) return null;
    let known = this.#before.get(name) ?? [];
    const last = known.at(-1);
    if (last && (at <= last.at || value < last.value)) known = [];
    known = [...known.filter((sample) => at - sample.at <= WINDOW), { at, value }];
    this.#before.set(name, known);
    const first = known[0];
    if (!first || first.at === at) return null;
    return (value - first.value) / (at - first.at);
  }
}
