import { Backoff } from './backoff';
import { Emitter } from './events';
import { asProblem, Problem } from './problem';
import { restartedAnswer, restartFragment } from './sdp';
import { deleteResource, isGone, patchRestart, postOffer, type Resource } from './signal';

/**
 * - `connecting`: the first attempt.
 * - `connected`: ICE and DTLS are up.
 * - `recovering`: the path broke; ICE restarts on the same session.
 * - `reconnecting`: a new session is being made, or its turn awaited.
 * - `failed`: see the problem; `start` tries again.
 */
export type ConnectionState =
  | 'idle'
  | 'connecting'
  | 'connected'
  | 'recovering'
  | 'reconnecting'
  | 'failed'
  | 'stopped';

export interface ConnectionEvents {
  state: ConnectionState;
  /** What is wrong, or null when it is well again. */
  problem: Problem | null;
}

/** What a player and a publisher do differently. */
export interface Role {
  /** Adds transceivers and listeners to a new peer connection. */
  prepare(pc: RTCPeerConnection): void | Promise<void>;
  /** Edits an offer before it is applied and sent. */
  transform(sdp: string): string;
  /** The offer is about to be sent. */
  posting?(): void;
  /** The answer is applied. `signal` is aborted when the session is over. */
  answered?(pc: RTCPeerConnection, session: Resource | null, signal: AbortSignal): void | Promise<void>;
}

/** From the answer to `connected`, ms: longer than five of the browser's STUN retransmissions. */
const CONNECT_TIMEOUT = 10_000;
/** From the loss of the path to a new session, ms, where an ICE restart brings nothing. */
const RECOVERY_TIMEOUT = 5000;
/** A connection that held so long, ms, starts the delays between attempts anew. */
const STABLE = 5000;
/** A server that does not answer the DELETE keeps the connection for so long, ms. */
const GOODBYE_TIMEOUT = 1000;
/** No Retry-After is followed for longer, ms. */
const LONGEST_WAIT = 60_000;

/**
 * One WHIP or WHEP session after the other, kept up until `stop`: POST, ICE restart when the path breaks, a new
 * session with growing delays when that does not help, DELETE at the end.
 */
export class Connection extends Emitter<ConnectionEvents> {
  /** For the next attempt. */
  key: string;
  /** For the next attempt. */
  url: string;
  #role: Role;
  #state: ConnectionState = 'idle';
  #pc: RTCPeerConnection | null = null;
  #resource: Resource | null = null;
  #backoff = new Backoff();
  /** Aborted when the running attempt is over: whatever it still awaits is then void. */
  #attempt = new AbortController();
  #timers = new Set<ReturnType<typeof setTimeout>>();
  #waiting = false;

  constructor(url: string, key: string, role: Role) {
    super();
    this.url = url;
    this.key = key;
    this.#role = role;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** The running peer connection, for statistics. */
  get pc(): RTCPeerConnection | null {
    return this.#pc;
  }

  start(): void {
    if (this.#state !== 'idle' && this.#state !== 'failed' && this.#state !== 'stopped') return;
    this.#backoff.reset();
    this.#set('connecting');
    void this.#connect();
  }

  /** Ends the session, on the server too. Safe while the page closes. */
  stop(): void {
    this.#drop();
    if (this.#state !== 'idle') this.#set('stopped');
  }

  /** Leaves the session for a new one, at once. */
  renew(): void {
    if (this.#state === 'idle' || this.#state === 'stopped' || this.#state === 'failed') return;
    this.#set('reconnecting');
    void this.#connect();
  }

  /** If a delay between attempts is running, ends it: the network is back, or someone is looking again. */
  nudge(): void {
    if (this.#waiting) void this.#connect();
  }

  /** Asks the server whether it still has this session, and makes a new one if not. */
  async verify(): Promise<void> {
    const { signal } = this.#attempt;
    if (this.#state !== 'connected' || !this.#resource) return;
    const gone = await isGone(this.#resource, this.key, signal);
    if (gone && !signal.aborted) this.#fail(new Problem('lost'));
  }

  async #connect(): Promise<void> {
    this.#drop();
    const { signal } = this.#attempt;
    try {
      const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
      this.#pc = pc;
      this.#watch(pc, signal);
      await this.#role.prepare(pc);
      await this.#offer(pc, {});
      if (signal.aborted) return;
      this.#role.posting?.();
      const { answer, resource } = await postOffer(
        this.url,
        pc.localDescription?.sdp ?? '',
        this.key,
        signal,
      );
      if (signal.aborted) {
        if (resource) void deleteResource(resource, this.key);
        return;
      }
      this.#resource = resource;
      await pc.setRemoteDescription({ type: 'answer', sdp: answer });
      if (signal.aborted) return;
      await this.#role.answered?.(pc, resource, signal);
      this.#watchDtls(pc, signal);
      this.#after(CONNECT_TIMEOUT, () => {
        if (pc.connectionState !== 'connected') this.#fail(new Problem('path'));
      });
    } catch (error) {
      if (!signal.aborted) this.#fail(asProblem(error));
    }
  }

  async #offer(pc: RTCPeerConnection, options: RTCOfferOptions): Promise<void> {
    const offer = await pc.createOffer(options);
    const sdp = this.#role.transform(offer.sdp ?? '');
    try {
      await pc.setLocalDescription({ type: 'offer', sdp });
    } catch {
      // A browser may refuse an edited offer: mono is better than nothing.
      await pc.setLocalDescription(offer);
    }
  }

  #watch(pc: RTCPeerConnection, signal: AbortSignal): void {
    pc.addEventListener('connectionstatechange', () => {
      if (signal.aborted) return;
      if (pc.connectionState === 'connected') {
        this.#clearTimers();
        this.#after(STABLE, () => this.#backoff.reset());
        this.#set('connected');
        this.emit('problem', null);
      } else if (pc.connectionState === 'disconnected') {
        void this.#recover(pc, signal);
      } else if (pc.connectionState === 'failed') {
        this.#fail(
          new Problem(this.#state === 'connected' || this.#state === 'recovering' ? 'lost' : 'path'),
        );
      }
    });
  }

  /** The server's close_notify: it stops or it ended this session, so there is nothing to restart. */
  #watchDtls(pc: RTCPeerConnection, signal: AbortSignal): void {
    const transports = new Set(pc.getTransceivers().map(({ receiver }) => receiver.transport));
    for (const transport of transports) {
      transport?.addEventListener('statechange', () => {
        if (signal.aborted) return;
        if (transport.state === 'closed' || transport.state === 'failed') this.#fail(new Problem('lost'));
      });
    }
  }

  async #recover(pc: RTCPeerConnection, signal: AbortSignal): Promise<void> {
    const resource = this.#resource;
    if (this.#state !== 'connected') return;
    if (!resource) return this.#fail(new Problem('lost'));
    this.#set('recovering');
    this.#clearTimers();
    this.#after(RECOVERY_TIMEOUT, () => this.#fail(new Problem('lost')));
    try {
      await this.#offer(pc, { iceRestart: true });
      const fragment = restartFragment(pc.localDescription?.sdp ?? '');
      const reply = await patchRestart(resource, fragment, this.key, signal);
      if (signal.aborted) return;
      const sdp = restartedAnswer(pc.currentRemoteDescription?.sdp ?? '', reply);
      await pc.setRemoteDescription({ type: 'answer', sdp });
    } catch (error) {
      // Whatever stands in the way of a restart, a new session may still come up.
      if (!signal.aborted) this.#fail(error instanceof Problem && !error.final ? error : new Problem('lost'));
    }
  }

  #fail(problem: Problem): void {
    this.#drop();
    this.emit('problem', problem);
    if (problem.final) {
      this.#set('failed');
      return;
    }
    this.#set('reconnecting');
    const delay = Math.max(this.#backoff.next(), Math.min(problem.retryAfter ?? 0, LONGEST_WAIT));
    this.#waiting = true;
    this.#after(delay, () => void this.#connect());
  }

  #drop(): void {
    this.#attempt.abort();
    this.#attempt = new AbortController();
    this.#waiting = false;
    this.#clearTimers();
    if (this.#pc) void leave(this.#pc, this.#resource, this.key);
    this.#resource = null;
    this.#pc = null;
  }

  #after(delay: number, action: () => void): void {
    this.#timers.add(setTimeout(action, delay));
  }

  #clearTimers(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  #set(state: ConnectionState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.emit('state', state);
  }
}

/** DELETE first: its answer would be 404 if the close_notify of `close` came before it. */
async function leave(pc: RTCPeerConnection, resource: Resource | null, key: string): Promise<void> {
  if (resource) {
    const late = new Promise((resolve) => setTimeout(resolve, GOODBYE_TIMEOUT));
    await Promise.race([deleteResource(resource, key), late]);
  }
  pc.close();
}
