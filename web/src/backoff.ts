export interface BackoffOptions {
  /** The second delay, ms; the first is 0. */
  base?: number;
  /** No delay is longer, ms. */
  max?: number;
  /** 0 to 1, as Math.random. */
  random?: () => number;
}

/**
 * Delays between attempts: none, then `base` doubling up to `max`, each ±25 % so that viewers of a
 * restarted server do not all come back in the same instant.
 */
export class Backoff {
  #base: number;
  #max: number;
  #random: () => number;
  #failures = 0;

  constructor({ base = 500, max = 8000, random = Math.random }: BackoffOptions = {}) {
    this.#base = base;
    this.#max = max;
    this.#random = random;
  }

  /** How long to wait before the next attempt, ms. */
  next(): number {
    const failures = this.#failures++;
    if (failures === 0) return 0;
    const nominal = Math.min(this.#max, this.#base * 2 ** (failures - 1));
    const spread = nominal * (0.75 + 0.5 * this.#random());
    return Math.round(Math.min(this.#max, Math.max(this.#base, spread)));
  }

  /** An attempt held: the next failure is the first again. */
  reset(): void {
    this.#failures = 0;
  }
}
