/** Keys live as long as the browser tab: never in addresses, never on disk longer than the session. */
export function storedKey(doing: 'watch' | 'publish', stream: string): string {
  return sessionStorage.getItem(`shibuki:${doing}:${stream}`) ?? '';
}

export function storeKey(doing: 'watch' | 'publish', stream: string, key: string): void {
  if (key) sessionStorage.setItem(`shibuki:${doing}:${stream}`, key);
  else sessionStorage.removeItem(`shibuki:${doing}:${stream}`);
}
