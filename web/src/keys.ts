/** Keys live as long as the browser tab: never in addresses, never on disk longer than the session. */
export function storedKey(doing: 'watch' | 'publish' | 'admin', stream: string): string {
  try {
    return sessionStorage.getItem(`shibuki:${doing}:${stream}`) ?? '';
  } catch {
    // A frame in a foreign page may have no storage at all.
    return '';
  }
}

export function storeKey(doing: 'watch' | 'publish' | 'admin', stream: string, key: string): void {
  try {
    if (key) sessionStorage.setItem(`shibuki:${doing}:${stream}`, key);
    else sessionStorage.removeItem(`shibuki:${doing}:${stream}`);
  } catch {
    // It is asked for again, then.
  }
}
