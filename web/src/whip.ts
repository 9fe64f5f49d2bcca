import type { Finding } from './api';
import { Connection, type ConnectionState } from './connection';
import { Emitter } from './events';
import { CAPTURE_TIME, offerExtensions } from './header-extensions';
import { asProblem, Problem } from './problem';
import { opusStereo } from './sdp';
import type { Resource } from './signal';
import { type PublisherStats, StatsReader } from './stats';
import { followEvents } from './whep-events';

/** The connection's states; `connected` means that the server receives. */
export type PublisherState = ConnectionState;

export interface PublisherEvents {
  state: PublisherState;
  problem: Problem | null;
  stats: PublisherStats;
  /** How many watch. */
  viewers: number;
  /** What the server found wrong with what it gets; from the first look on. */
  findings: Finding[];
}

export interface PublisherSettings {
  /** A MIME type from `videoCodecs`; empty for the browser's own order. */
  codec: string;
  /** Bits per second of video at most, of all layers together. */
  maxBitrate: number;
  /** Smaller pictures besides, for viewers whose link is thin. */
  simulcast: boolean;
}

/** Each layer's name, by how much its picture is smaller, and its share of the bitrate. */
const LAYERS = [
  { rid: 'q', scale: 4, share: 0.08 },
  { rid: 'h', scale: 2, share: 0.24 },
  { rid: 'f', scale: 1, share: 0.68 },
];
/** No layer is made that has fewer lines. */
const SMALLEST = 150;

/** The encodings of a picture of `height` lines, the smallest first, as browsers want them. */
export function encodings(
  height: number,
  { codec, maxBitrate, simulcast }: PublisherSettings,
): RTCRtpEncodingParameters[] {
  const layers = simulcast ? LAYERS.filter(({ scale }) => scale === 1 || height / scale >= SMALLEST) : [];
  if (layers.length < 2) return [{ maxBitrate }];
  const whole = layers.reduce((sum, { share }) => sum + share, 0);
  return layers.map(({ rid, scale, share }) => ({
    rid,
    scaleResolutionDownBy: scale,
    maxBitrate: Math.round((maxBitrate * share) / whole),
    // Without, browsers turn several encodings of these codecs into one with spatial layers.
    ...(/vp9|av1/i.test(codec) ? { scalabilityMode: 'L1T1' } : {}),
  }));
}

/** How often statistics are read, ms. */
const POLL = 1000;

/** What carries no pictures of its own but belongs to every video codec. */
const AUXILIARY = /^video\/(rtx|red|ulpfec|flexfec-03)$/i;

/** The MIME types of the video codecs that this browser sends, in its own order. */
export function videoCodecs(): string[] {
  const codecs = globalThis.RTCRtpSender?.getCapabilities?.('video')?.codecs ?? [];
  return [...new Set(codecs.map(({ mimeType }) => mimeType))].filter((mime) => !AUXILIARY.test(mime));
}

/** Sends a MediaStream by WHIP, and keeps sending until `stop`. */
export class WhipPublisher extends Emitter<PublisherEvents> {
  #connection: Connection;
  #settings: PublisherSettings;
  #stream: MediaStream | null = null;
  #reader = new StatsReader();
  #poll: ReturnType<typeof setInterval> | undefined;

  constructor(url: string, key: string, settings: PublisherSettings) {
    super();
    this.#settings = settings;
    this.#connection = new Connection(url, key, {
      prepare: (pc) => this.#prepare(pc),
      transform: opusStereo,
      answered: (pc, session, signal) => this.#answered(pc, session, signal),
    });
    this.#connection.on('state', (state) => this.emit('state', state));
    this.#connection.on('problem', (problem) => this.emit('problem', problem));
  }

  get state(): PublisherState {
    return this.#connection.state;
  }

  start(stream: MediaStream): void {
    this.#stream = stream;
    this.#connection.start();
    this.#poll ??= setInterval(() => void this.stats(), POLL);
  }

  /** Ends the session, on the server too. */
  stop(): void {
    clearInterval(this.#poll);
    this.#poll = undefined;
    this.#connection.stop();
  }

  /** Ends a delay between attempts. */
  nudge(): void {
    this.#connection.nudge();
  }

  /** Sends other tracks from now on: in the same session where the kinds are the same, else in a new one. */
  async replace(stream: MediaStream): Promise<void> {
    this.#stream = stream;
    const { pc } = this.#connection;
    if (!pc) return;
    const kinds = (tracks: (MediaStreamTrack | null)[]) =>
      tracks
        .map((track) => track?.kind)
        .sort()
        .join();
    const senders = pc.getSenders();
    if (kinds(senders.map(({ track }) => track)) !== kinds(stream.getTracks())) {
      this.#connection.renew();
      return;
    }
    for (const sender of senders) {
      const track = stream.getTracks().find(({ kind }) => kind === sender.track?.kind);
      if (track) await sender.replaceTrack(track);
    }
  }

  async configure(settings: PublisherSettings): Promise<void> {
    const before = this.#settings;
    const renegotiate = settings.codec !== before.codec || settings.simulcast !== before.simulcast;
    this.#settings = settings;
    const { pc } = this.#connection;
    if (!pc) return;
    if (renegotiate) this.#connection.renew();
    else await this.#limit(pc);
  }

  /** A fresh look; null while there is no connection. */
  async stats(): Promise<PublisherStats | null> {
    const { pc } = this.#connection;
    if (!pc) return null;
    const stats = this.#reader.publisher(await pc.getStats());
    this.emit('stats', stats);
    return stats;
  }

  async #answered(pc: RTCPeerConnection, session: Resource | null, signal: AbortSignal): Promise<void> {
    if (session) {
      const events = {
        viewers: (count: number) => this.emit('viewers', count),
        findings: (findings: Finding[]) => this.emit('findings', findings),
        reconnect: (url: string | null) => {
          const here = this.#connection.url;
          if (url !== null && URL.canParse(url, here)) this.#connection.url = new URL(url, here).href;
          this.#connection.renew();
        },
      };
      void followEvents('publisher', session.links, this.#connection.key, '', events, signal);
    }
    await this.#limit(pc);
  }

  #prepare(pc: RTCPeerConnection): void {
    this.#reader = new StatsReader();
    const stream = this.#stream;
    const tracks = stream?.getTracks().filter(({ readyState }) => readyState === 'live') ?? [];
    if (!stream || tracks.length === 0)
      throw new Problem('browser', 'There is no picture and no sound to send.');
    for (const track of tracks) {
      const transceiver = pc.addTransceiver(track, {
        direction: 'sendonly',
        streams: [stream],
        ...(track.kind === 'video' ? { sendEncodings: encodings(lines(track), this.#settings) } : {}),
      });
      offerExtensions(transceiver, [CAPTURE_TIME]);
      if (track.kind === 'video') this.#prefer(transceiver);
    }
  }

  #prefer(transceiver: RTCRtpTransceiver): void {
    const { codec } = this.#settings;
    const codecs = RTCRtpSender.getCapabilities('video')?.codecs ?? [];
    if (!codec || !('setCodecPreferences' in transceiver)) return;
    const chosen = codecs.filter(({ mimeType }) => mimeType.toLowerCase() === codec.toLowerCase());
    const auxiliary = codecs.filter(({ mimeType }) => AUXILIARY.test(mimeType));
    if (chosen.length === 0) throw new Problem('browser', `This browser cannot send ${codec}.`);
    try {
      transceiver.setCodecPreferences([...chosen, ...auxiliary]);
    } catch (error) {
      throw asProblem(error);
    }
  }

  async #limit(pc: RTCPeerConnection): Promise<void> {
    const sender = pc.getSenders().find(({ track }) => track?.kind === 'video');
    if (!sender) return;
    const parameters = sender.getParameters();
    const wanted = encodings(sender.track ? lines(sender.track) : 0, this.#settings);
    for (const encoding of parameters.encodings) {
      const match = wanted.find(({ rid }) => rid === encoding.rid) ?? wanted.at(-1);
      if (match?.maxBitrate !== undefined) encoding.maxBitrate = match.maxBitrate;
    }
    // A limit that cannot be set is no reason not to send.
    await sender.setParameters(parameters).catch(() => {});
  }
}

/** A picture's lines; a camera held upright has more of them than its name says. */
function lines(track: MediaStreamTrack): number {
  const { width = 1280, height = 720 } = track.getSettings();
  return Math.min(width, height);
}
