import { Connection, type ConnectionState } from './connection';
import { Emitter } from './events';
import { CAPTURE_TIME, DEPENDENCY_DESCRIPTOR, offerExtensions } from './header-extensions';
import { type FrameTimes, type Latency, LatencyMeter, type SourceTimes } from './latency';
import { findLink, LAYER_EXTENSION } from './links';
import type { Problem } from './problem';
import { opusStereo, referenceTime } from './sdp';
import { postJson, type Resource } from './signal';
import { type Report, StatsReader, type ViewerStats } from './stats';
import { StuckWatch, type Trouble } from './trouble';
import { followEvents, type Layer, type SessionEvents } from './whep-events';

/**
 * - `connecting`: the first session is being made.
 * - `waiting`: connected, and no media has come yet.
 * - `playing`: media flows.
 * - `interrupted`: connected, and the media stopped: the publisher is away.
 * - `reconnecting`: the connection broke; it is being restored.
 * - `failed`: see the problem; `start` tries again.
 */
export type PlayerState =
  | 'idle'
  | 'connecting'
  | 'waiting'
  | 'playing'
  | 'interrupted'
  | 'reconnecting'
  | 'failed'
  | 'stopped';

/** Whether a viewer would rather have little delay or no hiccup; `auto` leaves it to the server. */
export type LatencyWish = 'low' | 'auto' | 'smooth';

/** What a viewer wants to see: the server's choice, one layer, or any no higher than so many lines. */
export type Quality =
  | { kind: 'auto' }
  | { kind: 'layer'; rid: string }
  | { kind: 'height'; maxHeight: number };

export interface PlayerOptions {
  key?: string;
  latency?: LatencyWish;
  quality?: Quality;
  /** Whether the server's events are followed: a connection of its own. Default: yes. */
  events?: boolean;
}

/** Those whom the server sends away come back within so long, ms, not all in the same instant. */
const SCATTER = 1000;

export interface PlayerEvents {
  state: PlayerState;
  problem: Problem | null;
  /** A new set of tracks: the video element's next `srcObject`. */
  stream: MediaStream;
  /** The first picture of a session is on the screen: ms since just before its POST. */
  firstframe: number;
  stats: ViewerStats;
  /** What the publisher sends, the largest first. */
  layers: Layer[];
  /** How many watch the stream. */
  viewers: number;
  /** Why the picture stands still while the stream plays, or null when it moves. */
  trouble: Trouble | null;
  /** The quality asked for. */
  quality: Quality;
}

/** How often the flow of media is looked at, ms. */
const POLL = 500;
/** Without a byte for so long, ms, the publisher counts as away. */
const STALL = 2000;
/** For those who would rather have no hiccup: what the jitter buffer holds at least, ms. */
const SMOOTH = 400;
/** More lines than any picture has. */
const NO_LIMIT = 65_535;
/** In a stall, how often the server is asked whether it still has the session, ms. */
const VERIFY = 4000;

/** Plays one stream by WHEP in a video element, and keeps playing until `stop`. */
export class WhepPlayer extends Emitter<PlayerEvents> {
  #connection: Connection;
  #state: PlayerState = 'idle';
  #video: HTMLVideoElement | null = null;
  #stream = new MediaStream();
  #reader = new StatsReader();
  #stats: ViewerStats | null = null;
  #poll: ReturnType<typeof setInterval> | undefined;
  #bytes = 0;
  #lastMedia = 0;
  #lastVerify = 0;
  #hadMedia = false;
  #postedAt = 0;
  #firstFrameMs: number | null = null;
  #url: string;
  #wish: LatencyWish;
  #quality: Quality;
  #layers: Layer[] = [];
  #layerUrl: string | null = null;
  /** The running session's POST named a height. */
  #limited = false;
  #events: boolean;
  #follow: (() => void) | null = null;
  #mid = '0';
  #latency = new LatencyMeter();
  /** Of the running session's video. */
  #receiver: RTCRtpReceiver | null = null;
  #stuck = new StuckWatch((trouble) => this.emit('trouble', trouble));

  constructor(
    url: string,
    { key = '', latency = 'auto', quality = { kind: 'auto' }, events = true }: PlayerOptions = {},
  ) {
    super();
    this.#url = url;
    this.#wish = latency;
    this.#quality = quality;
    this.#events = events;
    this.#connection = new Connection(this.#address(), key, {
      prepare: (pc) => this.#prepare(pc),
      transform: (sdp) => referenceTime(opusStereo(sdp)),
      posting: () => {
        this.#postedAt = performance.now();
        this.#limited = this.#quality.kind === 'height';
      },
      answered: (pc, session, signal) => this.#answered(pc, session, signal),
    });
    this.#connection.on('state', (state) => this.#connectionState(state));
    this.#connection.on('problem', (problem) => this.emit('problem', problem));
  }

  get state(): PlayerState {
    return this.#state;
  }

  /** From just before the POST of the running session to its first picture, ms. */
  get firstFrameMs(): number | null {
    return this.#firstFrameMs;
  }

  set key(key: string) {
    this.#connection.key = key;
  }

  /** What the publisher sends, the largest first; empty where the server does not say. */
  get layers(): Layer[] {
    return this.#layers;
  }

  get latency(): Latency | null {
    return this.#latency.value;
  }

  get trouble(): Trouble | null {
    return this.#stuck.trouble;
  }

  get quality(): Quality {
    return this.#quality;
  }

  /** False where the running session's server has no way to choose by. */
  get choosable(): boolean {
    return this.#layerUrl !== null && this.#layers.length !== 1;
  }

  /** Follows the server's events from now on; once begun, until the session's end. */
  listen(): void {
    this.#events = true;
    this.#follow?.();
  }

  /** Asks for another quality, in the running session where that goes, and in all later ones. */
  choose(quality: Quality): void {
    this.#quality = quality;
    this.#connection.url = this.#address();
    this.emit('quality', quality);
    if (this.#layerUrl === null) return;
    void postJson(this.#layerUrl, this.#choice(), this.#connection.key, new AbortController().signal).catch(
      () => {
        // A layer that went away in between: the server's choice is a good one.
        if (this.#quality === quality && quality.kind === 'layer') this.choose({ kind: 'auto' });
      },
    );
  }

  /** Shows the stream in `video`, this and every later session's. */
  attach(video: HTMLVideoElement): void {
    this.#video = video;
    if (this.#stream.getTracks().length > 0) this.#show();
  }

  start(): void {
    this.#connection.start();
    this.#poll ??= setInterval(() => void this.#look(), POLL);
  }

  /** Ends the session, on the server too. */
  stop(): void {
    clearInterval(this.#poll);
    this.#poll = undefined;
    this.#connection.stop();
  }

  /** Ends a delay between attempts: the network is back, or someone is looking again. */
  nudge(): void {
    this.#connection.nudge();
  }

  /** A fresh look; null while there is no connection. */
  async stats(): Promise<ViewerStats | null> {
    await this.#look();
    return this.#stats;
  }

  #prepare(pc: RTCPeerConnection): void {
    this.#stream = new MediaStream();
    this.#reader = new StatsReader();
    this.#stats = null;
    this.#bytes = 0;
    this.#firstFrameMs = null;
    this.#layerUrl = null;
    this.#latency = new LatencyMeter();
    this.#stuck.reset();
    for (const kind of ['video', 'audio'])
      offerExtensions(pc.addTransceiver(kind, { direction: 'recvonly' }), [
        CAPTURE_TIME,
        DEPENDENCY_DESCRIPTOR,
      ]);
    const stream = this.#stream;
    pc.addEventListener('track', ({ track, receiver }) => {
      // Live means now: no delay beyond what the network's jitter makes necessary.
      if ('jitterBufferTarget' in receiver)
        receiver.jitterBufferTarget = this.#wish === 'smooth' ? SMOOTH : 0;
      if (track.kind === 'video') this.#receiver = receiver;
      stream.addTrack(track);
      if (stream === this.#stream) this.#show();
    });
  }

  async #answered(pc: RTCPeerConnection, session: Resource | null, signal: AbortSignal): Promise<void> {
    this.#mid = pc.getTransceivers().find(({ receiver }) => receiver.track.kind === 'video')?.mid ?? '0';
    const links = session?.links ?? [];
    this.#layerUrl = findLink(links, LAYER_EXTENSION)?.url ?? null;
    if (this.#quality.kind === 'layer') this.choose(this.#quality);
    this.#follow = () => {
      this.#follow = null;
      void followEvents('viewer', links, this.#connection.key, this.#mid, this.#hear(), signal);
    };
    if (this.#events) this.#follow();
  }

  #hear(): SessionEvents {
    return {
      active: (active) => {
        if (!active && this.#connection.state === 'connected') this.#silence(true);
      },
      viewers: (count) => this.emit('viewers', count),
      layers: (layers) => {
        this.#layers = layers;
        this.emit('layers', layers);
      },
      paused: (paused) => this.#stuck.pausedByServer(paused),
      reconnect: (url) => {
        if (url !== null && URL.canParse(url, this.#url)) this.#url = new URL(url, this.#url).href;
        this.#connection.url = this.#address();
        const { pc } = this.#connection;
        setTimeout(() => {
          if (this.#connection.pc === pc) this.#connection.renew();
        }, SCATTER * Math.random());
      },
    };
  }

  /** The endpoint with what is wished for: a server that knows nothing of it ignores the query. */
  #address(): string {
    const url = new URL(this.#url, globalThis.location?.href);
    if (this.#wish !== 'auto') url.searchParams.set('latency', this.#wish);
    if (this.#quality.kind === 'height') url.searchParams.set('max-height', String(this.#quality.maxHeight));
    return url.href;
  }

  #choice(): object {
    const quality = this.#quality;
    const mediaId = this.#mid;
    if (quality.kind === 'height') return { mediaId, maxHeight: quality.maxHeight };
    // What the session's own POST said would stand otherwise.
    const lifted = this.#limited ? { maxHeight: NO_LIMIT } : {};
    return quality.kind === 'layer' ? { mediaId, rid: quality.rid, ...lifted } : { mediaId, ...lifted };
  }

  #show(): void {
    const stream = this.#stream;
    this.emit('stream', stream);
    const video = this.#video;
    if (!video || video.srcObject === stream) return;
    video.srcObject = stream;
    const shown = (now: number, times: FrameTimes) => {
      if (stream !== this.#stream) return;
      if (this.#firstFrameMs === null) {
        this.#firstFrameMs = performance.now() - this.#postedAt;
        this.emit('firstframe', this.#firstFrameMs);
        this.#media();
      }
      const source = this.#receiver?.getSynchronizationSources()[0] ?? null;
      this.#latency.frame(times, source as SourceTimes | null, Date.now() - (performance.now() - now), now);
      video.requestVideoFrameCallback(shown);
    };
    video.requestVideoFrameCallback?.(shown);
  }

  async #look(): Promise<void> {
    const { pc } = this.#connection;
    if (!pc) return;
    const reader = this.#reader;
    const report = await pc.getStats();
    const stats = reader.viewer(report as unknown as Report);
    if (reader !== this.#reader) return;
    this.#latency.report(report as unknown as Report, Date.now());
    stats.latency = this.#latency.value;
    this.#stats = stats;
    this.#stuck.look(stats, this.#state === 'playing' && !document.hidden, performance.now());
    this.emit('stats', stats);
    if (stats.bytes > this.#bytes) {
      this.#bytes = stats.bytes;
      // Video before its first keyframe is nothing to look at yet.
      if (stats.videoBytes === 0 || stats.framesDecoded > 0) this.#media();
    } else if (this.#connection.state === 'connected') {
      this.#silence();
    }
  }

  #media(): void {
    this.#lastMedia = performance.now();
    this.#hadMedia = true;
    if (this.#connection.state === 'connected') this.#set('playing');
  }

  /** `told`: by the server that the publisher is away, so there is no need to wait and see. */
  #silence(told = false): void {
    const now = performance.now();
    if (!told && now - this.#lastMedia < STALL) return;
    this.#set(this.#hadMedia ? 'interrupted' : 'waiting');
    if (told || now - this.#lastVerify < VERIFY) return;
    // A server that was killed and came back knows nothing of us; ICE would take 5 s longer to notice.
    this.#lastVerify = now;
    void this.#connection.verify();
  }

  #connectionState(state: ConnectionState): void {
    if (state === 'connected') {
      if (this.#firstFrameMs === null) {
        this.#lastMedia = performance.now();
        this.#set(this.#hadMedia ? 'interrupted' : 'waiting');
      } else {
        this.#set('playing');
      }
    } else if (state === 'recovering') {
      this.#set('reconnecting');
    } else {
      if (state === 'stopped' || state === 'failed') this.#hadMedia = false;
      this.#set(state);
    }
  }

  #set(state: PlayerState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.emit('state', state);
  }
}
