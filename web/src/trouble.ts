import type { ViewerStats } from './stats';
import type { Words } from './words';

/**
 * Why the picture stands still while the connection is well.
 * - `paused`: the server has taken the picture away, because the link carries the sound only.
 * - `unsent`: sound comes, and no picture at all.
 * - `undecoded`: the picture comes, and nothing of it can be shown: something was lost before it.
 */
export interface Trouble {
  kind: 'paused' | 'unsent' | 'undecoded';
}

/** A picture that does not change for so long, ms, stands still. */
const STILL = 2500;

/** Tells from successive statistics that a picture stands still, and why. */
export class StuckWatch {
  #tell: (trouble: Trouble | null) => void;
  #trouble: Trouble | null = null;
  #paused = false;
  #frames = 0;
  #bytes = 0;
  /** When the picture last changed, and when the last of its bytes came. */
  #frameAt = 0;
  #bytesAt = 0;

  constructor(tell: (trouble: Trouble | null) => void) {
    this.#tell = tell;
  }

  get trouble(): Trouble | null {
    return this.#trouble;
  }

  /** Another session begins. */
  reset(): void {
    this.#paused = false;
    this.#frames = 0;
    this.#bytes = 0;
    this.#frameAt = 0;
    this.#set(null);
  }

  pausedByServer(paused: boolean): void {
    this.#paused = paused;
    if (paused) this.#set({ kind: 'paused' });
    else if (this.#trouble?.kind === 'paused') this.#set(null);
  }

  /** `looked`: media flows and somebody can see it. `now`: ms on any clock that does not jump. */
  look(stats: ViewerStats, looked: boolean, now: number): void {
    if (stats.framesDecoded !== this.#frames || !looked || this.#frameAt === 0) this.#frameAt = now;
    if (stats.videoBytes !== this.#bytes || !looked || this.#bytesAt === 0) this.#bytesAt = now;
    this.#frames = stats.framesDecoded;
    this.#bytes = stats.videoBytes;
    if (this.#paused) return;
    // A stream of sound alone has no picture to miss.
    const still = looked && stats.videoBytes > 0 && now - this.#frameAt >= STILL;
    if (!still) this.#set(null);
    else if (now - this.#bytesAt >= STILL) this.#set({ kind: 'unsent' });
    else this.#set({ kind: 'undecoded' });
  }

  #set(trouble: Trouble | null): void {
    if (this.#trouble?.kind === trouble?.kind) return;
    this.#trouble = trouble;
    this.#tell(trouble);
  }
}

export function explainTrouble({ kind }: Trouble): Words {
  switch (kind) {
    case 'paused':
      return {
        what: 'Sound only: your connection is too slow for the picture.',
        todo: 'The picture comes back by itself as soon as it fits.',
      };
    case 'unsent':
      return {
        what: 'Sound comes, but no picture.',
        todo: 'Either the publisher has paused it, or your connection is too slow for it. It comes back by itself.',
      };
    case 'undecoded':
      return {
        what: 'The picture stands still: too much of it was lost on the way.',
        todo: 'It goes on with the next full picture of the publisher. A lower quality helps on a weak connection.',
      };
  }
}
