/** One target of a `Link` header (RFC 8288). */
export interface Link {
  url: string;
  rel: string;
  parameters: Record<string, string>;
}

export const EVENTS_EXTENSION = 'urn:ietf:params:whep:ext:core:server-sent-events';
export const LAYER_EXTENSION = 'urn:ietf:params:whep:ext:core:layer';

const LINK = /<([^>]*)>((?:\s*;\s*[\w!#$&+.^`|~*'-]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]+))?)*)/g;
const PARAMETER = /;\s*([\w!#$&+.^`|~*'-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]+)))?/g;

/** The links of a header's value, which may be several headers' joined by commas; addresses made absolute. */
export function parseLinks(header: string | null, base: string): Link[] {
  const links: Link[] = [];
  for (const [, target = '', tail = ''] of (header ?? '').matchAll(LINK)) {
    const parameters: Record<string, string> = {};
    for (const [, name = '', quoted, bare] of tail.matchAll(PARAMETER)) {
      // The first of a name counts (RFC 8288 §3.3).
      parameters[name.toLowerCase()] ??= quoted?.replace(/\\(.)/g, '$1') ?? bare ?? '';
    }
    if (!URL.canParse(target, base)) continue;
    links.push({ url: new URL(target, base).href, rel: parameters.rel ?? '', parameters });
  }
  return links;
}

export function findLink(links: Link[], rel: string): Link | null {
  return links.find((link) => link.rel.split(/\s+/).includes(rel)) ?? null;
}
