import type { Finding } from './api';
import { EVENTS_EXTENSION, findLink, type Link } from './links';
import { deleteResource, postJson } from './signal';

/** A layer that the publisher sends, as the server tells it. What the server does not know is null. */
export interface Layer {
  /** Empty where the publisher sends but one, without a name. */
  rid: string;
  width: number | null;
  height: number | null;
  /** Bits per second. */
  bitrate: number | null;
}

/** What a server says about a session while it runs (draft-ietf-wish-whep §4.9.1, and our own). */
export interface SessionEvents {
  active?: (active: boolean) => void;
  viewers?: (count: number) => void;
  /** The layers of the video, the largest first. */
  layers?: (layers: Layer[]) => void;
  /** The server has taken the picture away, or given it back. */
  paused?: (paused: boolean) => void;
  reconnect?: (url: string | null) => void;
  /** To a publisher: what is wrong with what it sends. */
  findings?: (findings: Finding[]) => void;
}

const VIEWER = ['active', 'inactive', 'viewercount', 'layers', 'reconnect', 'videopaused', 'videoresumed'];
const PUBLISHER = ['findings', 'viewercount', 'reconnect'];

/**
 * Event streams that this page may hold open at a time. Browsers give a server six connections over HTTP/1.1, and a
 * page that has taken all of them for events can ask nothing any more.
 */
const MOST = 2;
let open = 0;

/**
 * Follows the events of a viewer's session, or of a publisher's, until `signal` is aborted. Quietly does nothing where
 * the server announces none.
 */
export async function followEvents(
  role: 'viewer' | 'publisher',
  links: Link[],
  key: string,
  mid: string,
  on: SessionEvents,
  signal: AbortSignal,
): Promise<void> {
  const link = findLink(links, EVENTS_EXTENSION);
  if (!link) return;
  const offered = link.parameters.events?.split(',').map((name) => name.trim());
  const known = role === 'viewer' ? VIEWER : PUBLISHER;
  const names = known.filter((name) => offered === undefined || offered.includes(name));
  await follow(link.url, names, key, mid, on, signal);
}

async function follow(
  endpoint: string,
  names: string[],
  key: string,
  mid: string,
  on: SessionEvents,
  signal: AbortSignal,
): Promise<void> {
  if (names.length === 0 || typeof EventSource === 'undefined' || open >= MOST) return;
  open += 1;
  let url: string | null = null;
  try {
    url = await postJson(endpoint, names, key, signal);
  } catch {
    // A stream without its events is still a stream.
  }
  if (url === null || signal.aborted) {
    open -= 1;
    if (url !== null) void deleteResource({ url }, key);
    return;
  }
  const address = url;
  let source: EventSource | null = null;
  // A tab that nobody looks at leaves the connection to those that somebody does.
  const attend = () => {
    if (document.hidden) {
      source?.close();
      source = null;
    } else if (source === null) {
      source = new EventSource(address);
      for (const name of names) {
        source.addEventListener(name, ({ data }: MessageEvent<string>) =>
          dispatch(name, parse(data), mid, on),
        );
      }
    }
  };
  attend();
  document.addEventListener('visibilitychange', attend, { signal });
  signal.addEventListener('abort', () => {
    open -= 1;
    source?.close();
  });
}

function dispatch(name: string, data: Record<string, unknown>, mid: string, on: SessionEvents): void {
  if (name === 'active') on.active?.(true);
  else if (name === 'inactive') on.active?.(false);
  else if (name === 'viewercount' && typeof data.viewercount === 'number') on.viewers?.(data.viewercount);
  else if (name === 'layers') on.layers?.(layersOf(data, mid));
  else if (name === 'reconnect') on.reconnect?.(typeof data.url === 'string' ? data.url : null);
  else if (name === 'videopaused') on.paused?.(true);
  else if (name === 'videoresumed') on.paused?.(false);
  else if (name === 'findings' && Array.isArray(data.findings)) on.findings?.(data.findings as Finding[]);
}

/** Reads `{"0":[{rid, width, height, bitrate, …}]}`; older drafts have `{"0":{"layers":[…]}}`. */
export function layersOf(data: Record<string, unknown>, mid: string): Layer[] {
  const own = data[mid] ?? Object.values(data)[0];
  const list = Array.isArray(own) ? own : (own as { layers?: unknown } | undefined)?.layers;
  if (!Array.isArray(list)) return [];
  const layers: Layer[] = [];
  for (const entry of list as unknown[]) {
    if (typeof entry !== 'object' || entry === null) continue;
    const { rid, encodingId, width, height, bitrate, targetBitrate } = entry as Record<string, unknown>;
    const name = rid ?? encodingId ?? '';
    if (typeof name !== 'string' || layers.some((layer) => layer.rid === name)) continue;
    layers.push({
      rid: name,
      width: positive(width),
      height: positive(height),
      bitrate: positive(bitrate) ?? positive(targetBitrate),
    });
  }
  return layers.sort((a, b) => (b.height ?? 0) - (a.height ?? 0) || (b.bitrate ?? 0) - (a.bitrate ?? 0));
}

function positive(value: unknown): number | null {
  return typeof value === 'number' && value > 0 ? value : null;
}

function parse(data: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
