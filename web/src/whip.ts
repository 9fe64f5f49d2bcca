import { Connection, type ConnectionState } from './connection';
import { Emitter } from './events';
import { asProblem, Problem } from './problem';
import { opusStereo } from './sdp';
import { type PublisherStats, StatsReader } from './stats';

/** The connection's states; `connected` means that the server receives. */
export type PublisherState = ConnectionState;

export interface PublisherEvents {
  state: PublisherState;
  problem: Problem | null;
  stats: PublisherStats;
}

export interface PublisherSettings {
  /** A MIME type from `videoCodecs`; empty for the browser's own order. */
  codec: string;
  /** Bits per second of video at most. */
  maxBitrate: number;
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
      answered: (pc) => this.#limit(pc),
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
    const renegotiate = settings.codec !== this.#settings.codec;
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
        ...(track.kind === 'video' ? { sendEncodings: [{ maxBitrate: this.#settings.maxBitrate }] } : {}),
      });
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
    for (const encoding of parameters.encodings) encoding.maxBitrate = this.#settings.maxBitrate;
    // A limit that cannot be set is no reason not to send.
    await sender.setParameters(parameters).catch(() => {});
  }
}
