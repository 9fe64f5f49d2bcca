// What most test files need: one server, one Chromium, the bare page; closed in the end whatever happened.
import { after, before } from 'node:test';
import { BarePage, servePages, startChromium, startFirefox } from './browser.mjs';
import { startServer } from './server.mjs';

let serial = 0;

/** Registers hooks with the runner and gives an object that they fill. */
export function suite({ firefox = false, serverFlags = [] } = {}) {
  const it = {
    /** A stream name that no other test uses. */
    stream: (name) => `${name}-${process.pid}-${++serial}`,
    page: () => BarePage.open(it.chromium, it.pages.url),
    firefoxPage: () => BarePage.open(it.firefox, it.pages.url),
  };
  before(async () => {
    it.server = await startServer({ extra: serverFlags });
    it.pages = await servePages();
    it.chromium = await startChromium();
    if (firefox) it.firefox = await startFirefox();
  }, { timeout: 90_000 });
  after(async () => {
    await Promise.allSettled([it.chromium?.close(), it.firefox?.close(), it.pages?.close()]);
    await it.server?.stop();
  }, { timeout: 30_000 });
  return it;
}
