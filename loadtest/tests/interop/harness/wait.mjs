// Every wait of the tests: bounded, and saying what it waited for.

/** Resolves with `promise`, or rejects once `ms` have passed. `detail()` may add evidence to the error. */
export async function within(ms, what, promise, detail = () => '') {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms ${detail()}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks `probe` again and again until it gives something truthy. For what sends no event. */
export async function until(ms, what, probe, every = 50) {
  const deadline = Date.now() + ms;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${ms} ms`);
    await pause(every);
  }
}

/** For intervals that are themselves what a test is about (an outage of 5 s), never in place of an event. */
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Milliseconds since the epoch with a fraction, comparable with `performance.timeOrigin + performance.now()` in a page. */
export const wallClock = () => performance.timeOrigin + performance.now();
