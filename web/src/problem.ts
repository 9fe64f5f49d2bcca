/**
 * Why something did not work, in the terms of what can be done about it.
 * - `network`: the server could not be reached.
 * - `key`: a key is needed, or the one given is not right.
 * - `codec`: the two sides have no codec in common.
 * - `busy`: the server asks to come back later.
 * - `conflict`: someone else has the stream, or it is not live.
 * - `path`: the server answers HTTP, but no media connection came up.
 * - `lost`: the media connection was there and broke.
 * - `refused`: any other 4xx: asking again the same way will not help.
 * - `server`: any other 5xx.
 * - `browser`: this browser cannot do it.
 */
export type ProblemKind =
  | 'network'
  | 'key'
  | 'codec'
  | 'busy'
  | 'conflict'
  | 'path'
  | 'lost'
  | 'refused'
  | 'server'
  | 'browser';

export class Problem extends Error {
  readonly kind: ProblemKind;
  readonly status: number | null;
  /** One or two sentences of the server's, or of ours. */
  readonly detail: string;
  /** The server's Retry-After, ms. */
  readonly retryAfter: number | null;

  constructor(
    kind: ProblemKind,
    detail = '',
    status: number | null = null,
    retryAfter: number | null = null,
  ) {
    super(detail || kind);
    this.name = 'Problem';
    this.kind = kind;
    this.detail = detail;
    this.status = status;
    this.retryAfter = retryAfter;
  }

  /** True where only a person can change the outcome; everything else is tried again. */
  get final(): boolean {
    return this.kind === 'key' || this.kind === 'codec' || this.kind === 'refused' || this.kind === 'browser';
  }
}

/** Any thrown value as a Problem. What is none by itself was thrown by the browser's WebRTC. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem('browser', error instanceof Error ? error.message : String(error));
}

/** Reads an error response: problem+json (RFC 9457) where there is one, else the start of its text. */
export async function problemFrom(response: Response, now: number = Date.now()): Promise<Problem> {
  return new Problem(
    kindOf(response.status),
    await detailOf(response),
    response.status,
    retryAfter(response.headers.get('Retry-After'), now),
  );
}

function kindOf(status: number): ProblemKind {
  if (status === 401 || status === 403) return 'key';
  if (status === 422) return 'codec';
  if (status === 429 || status === 503) return 'busy';
  if (status === 409) return 'conflict';
  return status >= 500 ? 'server' : 'refused';
}

async function detailOf(response: Response): Promise<string> {
  const text = await response.text().catch(() => '');
  if (/\bjson\b/i.test(response.headers.get('Content-Type') ?? '')) {
    try {
      const body: unknown = JSON.parse(text);
      if (typeof body === 'object' && body !== null) {
        const { detail, title } = body as { detail?: unknown; title?: unknown };
        if (typeof detail === 'string' && detail) return detail;
        if (typeof title === 'string' && title) return title;
      }
      return '';
    } catch {
      // Not JSON after all: shown as text.
    }
  }
  const isPage = /^\s*</.test(text);
  return isPage ? '' : text.trim().slice(0, 300);
}

/** Retry-After in ms: seconds or an HTTP date (RFC 9110 §10.2.3). */
export function retryAfter(value: string | null, now: number): number | null {
  if (value === null) return null;
  if (/^\s*\d+\s*$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}
