import { EVENTS_EXTENSION, findLink, type Link } from './links';
import { deleteResource, postJson } from './signal';

/** A layer that the publisher sends, as the server tells it. What the server does not know is null. */
export interface Layer {
  rid: string;
  width: number | null;
  height: number | null;
  /** Bits per second. */
  bitrate: number | null;
}

/** What a server says about a viewer's stream while it runs (draft-ietf-wish-whep §4.9.1, and our own). */
export interface WhepEvents {
  active: (active: boolean) => void;
  viewers: (count: number) => void;
  /** The layers of the video, the largest first, and the one now sent where the server tells. */
  layers: (layers: Layer[], current: string | null) => void;
  /** The server has taken the picture away (or given it back), with its reason. */
  paused: (paused: boolean, reason: string | null) => void;
  reconnect: (url: string | null) => void;
}

/** Names of events known here; of these, those are asked for that the server offers. */
const NAMES = ['active', 'inactive', 'viewercount', 'layers', 'reconnect', 'paused', 'resumed', 'video'];

/** Follows the events of one session until `signal` is aborted. Quietly does nothing where there are none. */
export async function followEvents(
  links: Link[],
  key: string,
  mid: string,
  on: WhepEvents,
  signal: AbortSignal,
): Promise<void> {
  const link = findLink(links, EVENTS_EXTENSION);
  if (!link || typeof EventSource === 'undefined') return;
  const offered = link.parameters.events?.split(',').map((name) => name.trim());
  const names = NAMES.filter((name) => offered === undefined || offered.includes(name));
  if (names.length === 0) return;
  let url: string | null;
  try {
    url = await postJson(link.url, names, key, signal);
  } catch {
    // A stream without its events is still a stream.
    return;
  }
  if (url === null) return;
  if (signal.aborted) {
    void deleteResource({ url }, key);
    return;
  }
  const source = new EventSource(url);
  signal.addEventListener('abort', () => source.close());
  for (const name of names) {
    source.addEventListener(name, ({ data }: MessageEvent<string>) => dispatch(name, parse(data), mid, on));
  }
}

function dispatch(name: string, data: Record<string, unknown>, mid: string, on: WhepEvents): void {
  const reason = typeof data.reason === 'string' ? data.reason : null;
  if (name === 'active') on.active(true);
  else if (name === 'inactive') on.active(false);
  else if (name === 'viewercount' && typeof data.viewercount === 'number') on.viewers(data.viewercount);
  else if (name === 'layers') on.layers(...layersOf(data, mid));
  else if (name === 'reconnect') on.reconnect(typeof data.url === 'string' ? data.url : null);
  else if (name === 'paused') on.paused(true, reason);
  else if (name === 'resumed') on.paused(false, null);
  else if (name === 'video') on.paused(data.paused === true, reason);
}

/** Reads `{"0":[{rid, width, height, bitrate, …}]}`; older drafts have `{"0":{"layers":[…]}}`. */
export function layersOf(data: Record<string, unknown>, mid: string): [Layer[], string | null] {
  const own = data[mid] ?? Object.values(data)[0];
  const list = Array.isArray(own) ? own : (own as { layers?: unknown } | undefined)?.layers;
  if (!Array.isArray(list)) return [[], null];
  const layers: Layer[] = [];
  let current: string | null = null;
  for (const entry of list as Record<string, unknown>[]) {
    const rid = entry?.rid ?? entry?.encodingId;
    if (typeof rid !== 'string' || layers.some((layer) => layer.rid === rid)) continue;
    layers.push({
      rid,
      width: positive(entry.width),
      height: positive(entry.height),
      bitrate: positive(entry.bitrate) ?? positive(entry.targetBitrate),
    });
    if (entry.current === true || entry.selected === true) current = rid;
  }
  layers.sort((a, b) => (b.height ?? 0) - (a.height ?? 0) || (b.bitrate ?? 0) - (a.bitrate ?? 0));
  return [layers, current];
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
