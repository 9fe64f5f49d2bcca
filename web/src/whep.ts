import { Connection, type ConnectionState } from './connection';
import { Emitter } from './events';
import type { Problem } from './problem';
import { opusStereo } from './sdp';
import { StatsReader, type ViewerStats } from './stats';

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

export interface PlayerEvents {
  state: PlayerState;
  problem: Problem | null;
  /** A new set of tracks: the video element's next `srcObject`. */
  stream: MediaStream;
  /** The first picture of a session is on the screen: ms since just before its POST. */
  firstframe: number;
  stats: ViewerStats;
}

/** How often the flow of media is looked at, ms. */
const POLL = 500;
/** Without a byte for so long, ms, the publisher counts as away. */
const STALL = 2000;
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

  constructor(url: string, key = '') {
    super();
    this.#connection = new Connection(url, key, {
      prepare: (pc) => this.#prepare(pc),
      transform: opusStereo,
      posting: () => {
        this.#postedAt = performance.now();
      },
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
    pc.addTransceiver('video', { direction: 'recvonly' });
    pc.addTransceiver('audio', { direction: 'recvonly' });
    const stream = this.#stream;
    pc.addEventListener('track', ({ track, receiver }) => {
      // Live means now: no delay beyond what the network's jitter makes necessary.
      if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = 0;
      stream.addTrack(track);
      if (stream === this.#stream) this.#show();
    });
  }

  #show(): void {
    const stream = this.#stream;
    this.emit('stream', stream);
    const video = this.#video;
    if (!video || video.srcObject === stream) return;
    video.srcObject = stream;
    video.requestVideoFrameCallback?.(() => {
      if (stream !== this.#stream || this.#firstFrameMs !== null) return;
      this.#firstFrameMs = performance.now() - this.#postedAt;
      this.emit('firstframe', this.#firstFrameMs);
      this.#media();
    });
  }

  async #look(): Promise<void> {
    const { pc } = this.#connection;
    if (!pc) return;
    const reader = this.#reader;
    const stats = reader.viewer(await pc.getStats());
    if (reader !== this.#reader) return;
    this.#stats = stats;
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

  #silence(): void {
    const now = performance.now();
    if (now - this.#lastMedia < STALL) return;
    this.#set(this.#hadMedia ? 'interrupted' : 'waiting');
    if (now - this.#lastVerify < VERIFY) return;
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
