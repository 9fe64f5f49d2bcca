import { type Link, parseLinks } from './links';
import { Problem, problemFrom } from './problem';

/** A session on the server: where it is, what version of it we know, and what it offers besides. */
export interface Resource {
  url: string;
  etag: string | null;
  links: Link[];
}

/** POSTs an offer to a WHIP or WHEP endpoint (RFC 9725 §4.2). Throws a Problem. */
export async function postOffer(
  endpoint: string,
  sdp: string,
  key: string,
  signal: AbortSignal,
): Promise<{ answer: string; resource: Resource | null }> {
  const response = await send(endpoint, 'POST', key, signal, 8000, {
    headers: { 'Content-Type': 'application/sdp' },
    body: sdp,
  });
  const answer = await response.text();
  const location = response.headers.get('Location');
  const base = response.url || endpoint;
  if (location === null) return { answer, resource: null };
  const links = parseLinks(response.headers.get('Link'), base);
  return {
    answer,
    resource: { url: new URL(location, base).href, etag: response.headers.get('ETag'), links },
  };
}

/** PATCHes new ICE credentials; gives the server's (RFC 9725 §4.3.3). Throws a Problem. */
export async function patchRestart(
  resource: Resource,
  fragment: string,
  key: string,
  signal: AbortSignal,
): Promise<string> {
  const response = await send(resource.url, 'PATCH', key, signal, 4000, {
    headers: { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*' },
    body: fragment,
  });
  resource.etag = response.headers.get('ETag') ?? resource.etag;
  return response.text();
}

/** POSTs JSON to a session's extension; gives the new resource's URL where there is one. Throws a Problem. */
export async function postJson(
  url: string,
  body: unknown,
  key: string,
  signal: AbortSignal,
): Promise<string | null> {
  const response = await send(url, 'POST', key, signal, 8000, {
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  const location = response.headers.get('Location');
  return location === null ? null : new URL(location, response.url || url).href;
}

/** Ends a session. `keepalive` carries it through the closing of the page. Nothing can be done about errors. */
export async function deleteResource(resource: { url: string }, key: string): Promise<void> {
  await fetch(resource.url, { method: 'DELETE', headers: authorization(key), keepalive: true }).catch(
    () => {},
  );
}

/** True when the server says that it does not know the session (any more). */
export async function isGone(resource: Resource, key: string, signal: AbortSignal): Promise<boolean> {
  try {
    await send(resource.url, 'GET', key, signal, 3000, {});
    return false;
  } catch (error) {
    return error instanceof Problem && (error.status === 404 || error.status === 410);
  }
}

async function send(
  url: string,
  method: string,
  key: string,
  signal: AbortSignal,
  timeout: number,
  init: { headers?: Record<string, string>; body?: string },
): Promise<Response> {
  const controller = new AbortController();
  const abort = () => controller.abort();
  const timer = setTimeout(abort, timeout);
  signal.addEventListener('abort', abort);
  try {
    const response = await fetch(url, {
      method,
      ...init,
      headers: { ...authorization(key), ...init.headers },
      signal: controller.signal,
    });
    if (!response.ok) throw await problemFrom(response);
    return response;
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem('network');
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}

function authorization(key: string): Record<string, string> {
  return key ? { Authorization: `Bearer ${key}` } : {};
}
