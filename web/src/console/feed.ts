import { ask, type Stream, streams } from '../api';
import { Backoff } from '../backoff';
import { Emitter } from '../events';
import { asProblem, Problem } from '../problem';
import { readEvents, type ServerEvent } from '../sse';
import { History, parseMetrics, Rates } from './model';

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
/** How often the metrics are read, ms: for what events do not carry. */
const METRICS = 5000;

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
  #metrics: Record<string, number | null> = {};

  constructor(key: string) {
    super();
    this.#key = key;
  }

  start(): void {
    void this.#follow();
    void this.#readMetrics();
  }

  stop(): void {
    this.#stopped.abort();
  }

  async #follow(): Promise<void> {
    const { signal } = this.#stopped;
    const backoff = new Backoff();
    const names = [...HAPPENINGS, 'statistics'].join();
    while (!signal.aborted) {
      let problem = new Problem('network');
      try {
        await readEvents(`/api/v1/events?names=${names}`, this.#key, '', signal, (event) => {
          backoff.reset();
          this.#take(event);
        });
      } catch (error) {
        problem = asProblem(error);
      }
      if (signal.aborted) return;
      if (problem.status === 404 || problem.status === 400) return this.#poll();
      this.emit('problem', problem);
      if (problem.final) return;
      const delay = Math.max(backoff.next(), problem.retryAfter ?? 0);
      await new Promise((resolve) => setTimeout(resolve, delay));
    }
  }

  /** For a server that has no events. */
  async #poll(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      try {
        const list = await streams(this.#key);
        const viewers = sum(list.map(({ viewers }) => viewers));
        const at = new Date().toISOString();
        const publishers = list.filter(({ publishing }) => publishing).length;
        this.#statistics({ at, sessions: viewers + publishers, streams: list });
        this.emit('problem', null);
        this.emit('change', null);
      } catch (error) {
        this.emit('problem', asProblem(error));
      }
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }

  #take({ name, data }: ServerEvent): void {
    const value: unknown = JSON.parse(data);
    if (typeof value !== 'object' || value === null) return;
    if (name === 'statistics') this.#statistics(value as { at: string; sessions: number; streams: Stream[] });
    else if (HAPPENINGS.includes(name)) {
      const happening = value as Happening;
      this.happenings = [happening, ...this.happenings].slice(0, KEPT);
      if (name === 'draining') this.draining = true;
      if (name === 'drain-ended') this.draining = false;
    }
    this.emit('problem', null);
    this.emit('change', null);
  }

  #statistics({ at, sessions, streams }: { at: string; sessions: number; streams: Stream[] }): void {
    this.streams = streams;
    this.sessions = sessions;
    this.tick += 1;
    // Every second one is kept: an hour then fits in 1,800 samples.
    if (this.tick % 2 === 0) return;
    const time = Date.parse(at) / 1000;
    const live = streams.filter(({ publishing }) => publishing);
    this.whole.add(time, {
      streams: live.length,
      viewers: sum(streams.map(({ viewers }) => viewers)),
      inbound: sum(live.map(({ publisher }) => publisher?.bitrate ?? 0)),
      loss: live.length === 0 ? null : 100 * Math.max(...live.map(({ publisher }) => publisher?.loss ?? 0)),
      roundTrip:
        live.length === 0 ? null : Math.max(...live.map(({ publisher }) => publisher?.roundTripMs ?? 0)),
      ...this.#metrics,
    });
    for (const { name, viewers, publisher } of streams) {
      const history = this.each.get(name) ?? new History();
      this.each.set(name, history);
      history.add(time, {
        viewers,
        bitrate: publisher?.bitrate ?? null,
        loss: publisher ? 100 * publisher.loss : null,
        roundTrip: publisher?.roundTripMs ?? null,
      });
    }
    // A stream that went is forgotten with its last hour: names are many, memory is not.
    if (this.each.size > 2 * streams.length + 50) {
      const known = new Set(streams.map(({ name }) => name));
      for (const name of this.each.keys()) if (!known.has(name)) this.each.delete(name);
    }
  }

  async #readMetrics(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      try {
        this.#sample(parseMetrics(await (await ask('/metrics', 'GET', this.#key)).text()));
      } catch (error) {
        // A server without metrics, or a key that may not read them: those plots stay empty.
        if (asProblem(error).final) return;
      }
      await new Promise((resolve) => setTimeout(resolve, METRICS));
    }
  }

  #sample(metrics: Map<string, number>): void {
    const now = performance.now() / 1000;
    const of = (name: string) => metrics.get(`shibuki_${name}`);
    const cpu = this.#rates.rate('cpu', now, of('process_cpu_seconds_total'));
    const packets = this.#rates.rate('packets', now, of('datagrams_sent_total'));
    const roundTrip = of('viewers_round_trip_mean_seconds');
    this.#metrics = {
      memory: of('process_resident_memory_bytes') ?? null,
      cost: cpu !== null && packets !== null && packets > 10 ? (1e6 * cpu) / packets : null,
      outbound: of('viewers_bitrate_bits_per_second') ?? null,
      viewerRoundTrip: roundTrip === undefined ? null : 1000 * roundTrip,
    };
  }
}

function sum(values: number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
