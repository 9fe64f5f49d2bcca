import { describe, expect, it } from 'vitest';
import { Backoff } from '../src/backoff';

describe('Backoff', () => {
  it('tries at once, then doubles from 0.5 s to 8 s', () => {
    const backoff = new Backoff({ random: () => 0.5 });
    const delays = Array.from({ length: 8 }, () => backoff.next());
    expect(delays).toEqual([0, 500, 1000, 2000, 4000, 8000, 8000, 8000]);
  });

  it('spreads by a quarter each way, within 0.5 s and 8 s', () => {
    const low = new Backoff({ random: () => 0 });
    const high = new Backoff({ random: () => 1 });
    const take = (backoff: Backoff) => Array.from({ length: 6 }, () => backoff.next());
    expect(take(low)).toEqual([0, 500, 750, 1500, 3000, 6000]);
    expect(take(high)).toEqual([0, 625, 1250, 2500, 5000, 8000]);
  });

  it('starts anew after success', () => {
    const backoff = new Backoff({ random: () => 0.5 });
    backoff.next();
    backoff.next();
    backoff.reset();
    expect(backoff.next()).toBe(0);
    expect(backoff.next()).toBe(500);
  });
});
