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
  latencyMs?: number | null;
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

/** Names of samples in Prometheus' text form, each with the sum over its labels. */
export function parseMetrics(text: string): Map<string, number> {
  const sums = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const match = /^([a-zA-Z_:][\w:]*)(?:\{.*\})?\s+(\S+)/.exec(line);
    const value = Number(match?.[2]);
    if (!match?.[1] || !Number.isFinite(value)) continue;
    sums.set(match[1], (sums.get(match[1]) ?? 0) + value);
  }
  return sums;
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

/** Turns sums that grow into rates per second. A sum that fell began anew. */
export class Rates {
  #before = new Map<string, { at: number; value: number }>();

  rate(name: string, at: number, value: number | undefined): number | null {
    const before = this.#before.get(name);
    if (value === undefined) return null;
    this.#before.set(name, { at, value });
    if (!before || at <= before.at || value < before.value) return null;
    return (value - before.value) / (at - before.at);
  }
}
