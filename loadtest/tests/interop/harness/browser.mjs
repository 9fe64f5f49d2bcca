// Chromium and Firefox, each with the bare page of `page/`, served from an origin other than the server's so that CORS counts.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import puppeteer from 'puppeteer-core';
import { REPOSITORY } from './server.mjs';
import { within } from './wait.mjs';

const FILES = {
  '/': ['bare.html', 'text/html'],
  '/bare.js': ['bare.js', 'text/javascript'],
  '/foreign.html': ['foreign.html', 'text/html'],
  '/foreign.js': ['foreign.js', 'text/javascript'],
  '/players.html': ['players.html', 'text/html'],
};

/** Scripts that are put together with the packages they import, when they are first asked for. */
const BUNDLES = {
  '/players.js': () => bundle({ entryPoints: [fileURLToPath(new URL('page/players.js', import.meta.url))] }),
  '/packed.js': () => bundle({ stdin: { contents: "import 'shibuki-player';" }, alias: { 'shibuki-player': packedPlayer() } }),
};

async function bundle(options) {
  const { outputFiles } = await build({ ...options, bundle: true, format: 'iife', write: false, logLevel: 'silent' });
  return outputFiles[0].contents;
}

/** Packs the player as `npm publish` would, and gives the folder of what is in there. */
export function packedPlayer() {
  const folder = mkdtempSync(join(tmpdir(), 'shibuki-player-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: join(REPOSITORY, 'web/player'), stdio: ['ignore', 'pipe', 'pipe'] });
  execFileSync('tar', ['-xzf', readdirSync(folder).find((name) => name.endsWith('.tgz'))], { cwd: folder });
  return join(folder, 'package');
}

/** Serves the pages of `page/` on a port of its own: an origin other than the server's. */
export async function servePages() {
  const bundles = {};
  const http = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://page');
    if (BUNDLES[pathname]) {
      bundles[pathname] ??= BUNDLES[pathname]();
      response.writeHead(200, { 'content-type': 'text/javascript' });
      return response.end(await bundles[pathname]);
    }
    const file = FILES[pathname];
    if (!file) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': file[1], 'cache-control': 'no-store' });
    response.end(readFileSync(new URL(`page/${file[0]}`, import.meta.url)));
  });
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${http.address().port}/`,
    close: () => (http.closeAllConnections(), new Promise((resolve) => http.close(resolve))),
  };
}

export async function startChromium() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    // A fresh user data directory is playwright's own habit.
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--use-fake-device-for-media-stream',
      '--use-fake-ui-for-media-stream', '--autoplay-policy=no-user-gesture-required',
      // Other pages' timers and frames must not slow down because another page is in front.
      '--disable-background-timer-throttling', '--disable-renderer-backgrounding', '--disable-backgrounding-occluded-windows',
    ],
    timeout: 30_000,
  });
}

export async function startFirefox() {
  const loopbackOnly = !Object.values(networkInterfaces()).flat().some((address) => !address.internal && address.family === 'IPv4');
  return puppeteer.launch({
    browser: 'firefox',
    executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
    headless: true,
    timeout: 60_000,
    extraPrefsFirefox: {
      'media.autoplay.default': 0,
      'media.navigator.permission.disabled': true,
      'media.navigator.streams.fake': true,
      // Firefox leaves 127.0.0.1 out unless told otherwise: only where there is nothing else.
      ...(loopbackOnly ? { 'media.peerconnection.ice.loopback': true } : {}),
    },
  });
}

/** A page of either browser with `window.bare`; `call` runs one of its functions under a deadline. */
export class BarePage {
  static async open(browser, url) {
    // Playwright: a context of its own, as another user would have.
    const page = await (browser.newContext ? (await browser.newContext()).newPage() : browser.newPage());
    const bare = new BarePage(page);
    page.on('console', (message) => bare.console.push(message.text()));
    page.on('pageerror', (error) => bare.console.push(String(error)));
    await page.goto(url);
    return bare;
  }

  console = [];

  constructor(page) {
    this.page = page;
  }

  /** A function that takes a deadline itself (`ms`) gets to say what it waited for. */
  call(name, argument = {}, ms = (argument.ms ?? 15_000) + 3_000) {
    const run = this.page.evaluate(([name, argument]) => window.bare[name](argument), [name, argument]);
    return within(ms, `${name}(${JSON.stringify(argument)}) in the page`, run, () => `\n${this.console.join('\n')}`);
  }
}
