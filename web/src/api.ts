import { Problem, problemFrom } from './problem';

export interface Stream {
  name: string;
  publishing: boolean;
  viewers: number;
  video: { codec: string } | null;
  audio: { codec: string } | null;
  /** RFC 3339; null while nobody publishes. */
  since: string | null;
  /** What viewers do not get, although it is published. */
  muted: { audio: boolean; video: boolean };
  publisher?: PublisherReport;
  findings?: Finding[];
}

/** What the server found wrong with a publisher. */
export interface Finding {
  code: string;
  severity: 'info' | 'warning' | 'error';
  layer: string | null;
  advice: string;
  /** RFC 3339. */
  firstSeen: string;
  lastSeen: string;
  active: boolean;
}

/** What comes from a publisher: totals from its beginning, rates of the last second. */
export interface PublisherReport {
  bitrate: number;
  packets: number;
  bytes: number;
  lost: number;
  /** 0 to 1. */
  loss: number;
  retransmitted: number;
  nacked: number;
  keyframeRequests: number;
  answersKeyframeRequests: boolean | null;
  roundTripMs: number | null;
  layers: LayerReport[];
}

export interface LayerReport {
  kind: 'audio' | 'video';
  rid: string | null;
  codec: string;
  width: number | null;
  height: number | null;
  bitrate: number;
  framesPerSecond: number;
  lost: number;
  keyframeIntervalMs: number | null;
  keyframeAgeMs: number | null;
}

export interface Info {
  version: string;
  publishKeyRequired: boolean;
  watchKeyRequired: boolean;
  /** The UDP port of the media. */
  mediaPort: number;
}

export async function streams(key = ''): Promise<Stream[]> {
  return ((await get('/api/v1/streams?limit=1000', key)) as { streams: Stream[] }).streams;
}

export async function info(): Promise<Info> {
  return (await get('/api/v1/info')) as Info;
}

export async function get(path: string, key = ''): Promise<unknown> {
  return (await ask(path, 'GET', key)).json();
}

/** Throws a Problem where the answer is none of success. */
export async function ask(path: string, method: string, key = '', body?: unknown): Promise<Response> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
  const response = await fetch(path, init).catch(() => {
    throw new Problem('network');
  });
  if (!response.ok) throw await problemFrom(response);
  return response;
}
