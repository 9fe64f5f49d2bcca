import type { Stream } from '../api';
import { Emitter } from '../events';
import type { Problem } from '../problem';
import { followEvents, type ServerEvent } from '../sse';
import { History, Rates, type ServerFigures } from './model';

/** Something that happened, as the server tells it. */
export interface Happening {
  number: number;
  at: string;
  event: string;
  stream?: string;
  session?: string;
  previous?: string;
  viewers?: number;
  reason?: string;
  redirect?: string | null;
  finding?: { code: string; advice: string };
}

interface Statistics {
  at: string;
  sessions: number;
  draining: boolean;
  streams: Stream[];
  server: ServerFigures;
}

interface FeedEvents {
  /** Once a second, and at every happening. */
  change: null;
  problem: Problem | null;
}

const HAPPENINGS = [
  'stream-started',
  'stream-stopped',
  'stream-taken-over',
  'viewer-joined',
  'viewer-left',
  'finding',
  'draining',
  'drain-ended',
];
/** Happenings that are kept, the newest first. */
const KEPT = 300;

/** What the server does, followed by its events until `stop`. */
export class Feed extends Emitter<FeedEvents> {
  streams: Stream[] = [];
  sessions = 0;
  happenings: Happening[] = [];
  /** Null: not known. */
  draining: boolean | null = null;
  /** Counts the samples of the histories. */
  tick = 0;
  whole = new History();
  each = new Map<string, History>();
  #key: string;
  #stopped = new AbortController();
  #rates = new Rates();
  #seconds = 0;

  constructor(key: string) {
    super();
    this.#key = key;
  }

  start(): void {
    const names = [...HAPPENINGS, 'statistics'].join();
    void followEvents(`/api/v1/events?names=${names}`, this.#key, this.#stopped.signal, {
      event: (event) => this.#take(event),
      problem: (problem) => this.emit('problem', problem),
    });
  }

  stop(): void {
    this.#stopped.abort();
  }

  #take({ name, data }: ServerEvent): void {
    const value: unknown = JSON.parse(data);
    if (typeof value !== 'object' || value === null) return;
    if (name === 'statistics') this.#statistics(value as Statistics);
    else if (HAPPENINGS.includes(name)) {
      const happening = value as Happening;
      this.happenings = [happening, ...this.happenings].slice(0, KEPT);
      if (name === 'draining') this.draining = true;
      if (name === 'drain-ended') this.draining = false;
    }
    this.emit('problem', null);
    this.emit('change', null);
  }

  #statistics({ at, sessions, draining, streams, server }: Statistics): void {
    this.streams = streams;
    this.sessions = sessions;
    this.draining = draining;
    const time = Date.parse(at) / 1000;
    const cpu = this.#rates.rate('cpu', time, server.cpuSeconds);
    const packets = this.#rates.rate('packets', time, server.datagramsSent);
    // Every second one is kept: an hour then fits in 1,800 samples.
    this.#seconds += 1;
    if (this.#seconds % 2 === 0) return;
    this.tick += 1;
    const live = streams.filter(({ publishing }) => publishing);
    const worst = (of: (stream: Stream) => number | null | undefined) =>
      live.reduce<number | null>((worst, stream) => {
        const value = of(stream);
        return value == null ? worst : Math.max(worst ?? 0, value);
      }, null);
    this.whole.add(time, {
      viewers: sum(streams.map(({ viewers }) => viewers)),
      inbound: sum(live.map(({ publisher }) => publisher?.bitrate ?? 0)),
      outbound: server.viewersBitrate,
      loss: percent(worst(({ publisher }) => publisher?.loss)),
      viewerLoss: percent(server.viewersLoss),
      roundTrip: worst(({ publisher }) => publisher?.roundTripMs),
      viewerRoundTrip: server.viewersRoundTripMs,
      cost: cpu !== null && packets !== null && packets > 10 ? (1e6 * cpu) / packets : null,
      memory: server.memoryBytes,
    });
    for (const { name, viewers, publisher } of streams) {
      const history = this.each.get(name) ?? new History();
      this.each.set(name, history);
      history.add(time, {
        viewers,
        bitrate: publisher?.bitrate ?? null,
        loss: percent(publisher?.loss),
        roundTrip: publisher?.roundTripMs ?? null,
      });
    }
    // A stream that went is forgotten with its last hour: names are many, memory is not.
    if (this.each.size > 2 * streams.length + 50) {
      const known = new Set(streams.map(({ name }) => name));
      for (const name of this.each.keys()) if (!known.has(name)) this.each.delete(name);
    }
  }
}

export function percent(share: number | null | undefined): number | null {
  return share == null ? null : 100 * share;
}

function sum(values: number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
