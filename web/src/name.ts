/** A stream's name as the server takes it: 1 to 64 letters, digits, `.`, `_`, `-`, not starting with a dot. */
export function isStreamName(text: string): boolean {
  return /^(?!\.)[A-Za-z0-9._-]{1,64}$/.test(text);
}

/** What is wrong with `text` as a name, in words; null when nothing is. */
export function nameTrouble(text: string): string | null {
  if (text === '') return 'Give the stream a name.';
  if (text.length > 64) return 'At most 64 characters.';
  if (text.startsWith('.')) return 'A name does not start with a dot.';
  if (!isStreamName(text)) return 'Letters, digits, dots, dashes and underscores only.';
  return null;
}

/** The name in an address such as /watch/live; null where there is none or it cannot be one. */
export function nameFromPath(path: string): string | null {
  const name = /^\/[^/]+\/([^/]+)\/?$/.exec(path)?.[1] ?? '';
  return isStreamName(name) ? name : null;
}

export function whipUrl(origin: string, name: string): string {
  return `${origin}/whip/${name}`;
}

export function whepUrl(origin: string, name: string): string {
  return `${origin}/whep/${name}`;
}

export function watchUrl(origin: string, name: string): string {
  return `${origin}/watch/${name}`;
}

export function embedUrl(origin: string, name: string): string {
  return `${origin}/embed/${name}`;
}
