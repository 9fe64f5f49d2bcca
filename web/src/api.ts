import { Problem, problemFrom } from './problem';

export interface Stream {
  name: string;
  publishing: boolean;
  viewers: number;
  video: { codec: string } | null;
  audio: { codec: string } | null;
  /** RFC 3339; null while nobody publishes. */
  since: string | null;
}

export interface Info {
  version: string;
  publishKeyRequired: boolean;
  watchKeyRequired: boolean;
  /** The UDP port of the media. */
  mediaPort: number;
}

export async function streams(): Promise<Stream[]> {
  return ((await get('/api/v1/streams')) as { streams: Stream[] }).streams;
}

/** Null for a stream that nobody publishes or watches. */
export async function stream(name: string): Promise<Stream | null> {
  try {
    return (await get(`/api/v1/streams/${name}`)) as Stream;
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}

export async function info(): Promise<Info> {
  return (await get('/api/v1/info')) as Info;
}

async function get(path: string): Promise<unknown> {
  const response = await fetch(path, { headers: { Accept: 'application/json' } }).catch(() => {
    throw new Problem('network');
  });
  if (!response.ok) throw await problemFrom(response);
  return response.json();
}
