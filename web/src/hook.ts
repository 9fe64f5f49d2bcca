/** What the browser tests, and the curious in the console, read of a page. */
export interface Hook {
  stats(): Promise<object>;
  readonly state: string;
  /** From just before the POST of the running session to its first picture, ms; null on the publishing side. */
  readonly firstFrameMs: number | null;
}

declare global {
  interface Window {
    shibuki?: Hook;
  }
}

export function expose(source: {
  stats(): Promise<object | null>;
  readonly state: string;
  readonly firstFrameMs?: number | null;
}): void {
  window.shibuki = {
    stats: async () => (await source.stats()) ?? {},
    get state() {
      return source.state;
    },
    get firstFrameMs() {
      return source.firstFrameMs ?? null;
    },
  };
}
