// A tab of Chromium with one of the product's pages in it, and what is looked at there.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import axe from 'axe-core';
import { OUTPUT } from './server.mjs';
import { within } from './wait.mjs';

const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };

/** A tab, and all that went wrong in it. A path is one of the server's. */
export async function openTab(it, path) {
  const page = await (await it.chromium.newContext({ viewport: DESKTOP })).newPage();
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && complaints.push(`${message.text()} ${message.location().url}`));
  await page.goto(path.startsWith('http') ? path : `${it.server.url}${path}`);
  return { page, complaints, close: () => page.context().close() };
}

export async function screenshot(page, name) {
  mkdirSync(OUTPUT, { recursive: true });
  await page.screenshot({ path: join(OUTPUT, `${name}.png`) });
}

/** Waits for a state of the page's player or publisher. */
export const reaches = (page, states, ms = 10_000) =>
  page.waitForFunction((states) => states.includes(window.shibuki?.state), [states].flat(), { timeout: ms, polling: 20 });

/** Pictures of a page, dark and light, on a desktop and on a phone, and what each of them must keep to. */
export async function assertLooks(page, name) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    for (const [size, viewport] of [['desktop', DESKTOP], ['phone', PHONE]]) {
      await page.setViewportSize(viewport);
      await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
      await screenshot(page, `${name}-${colorScheme}-${size}`);
      const sticksOut = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(sticksOut <= 0, `${name}, ${size}: ${sticksOut} pixels stick out`);
      await assertAccessible(page, `${name}, ${colorScheme}, ${size}`);
    }
  }
  await page.emulateMedia({ colorScheme: null });
  await page.setViewportSize(DESKTOP);
}

/** Nothing that axe calls serious or critical, WCAG 2.2 AA. */
export async function assertAccessible(page, what) {
  await page.evaluate(`window.axe || (() => { ${axe.source} })()`);
  const { violations } = await page.evaluate(() => window.axe.run(document, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
  }));
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  const told = serious.map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.map(({ html, any }) => `  ${html} ${any.map(({ message }) => message)}`).join('\n')}`);
  assert.equal(serious.length, 0, `${what}:\n${told.join('\n')}`);
}

/** The picture of a page's player as 160 × 90 grey values. `target`: a page or a frame. */
const picture = (target) => target.evaluate(() => {
  const canvas = Object.assign(document.createElement('canvas'), { width: 160, height: 90 });
  const context = canvas.getContext('2d');
  context.drawImage(document.querySelector('shibuki-player').video, 0, 0, 160, 90);
  const { data } = context.getImageData(0, 0, 160, 90);
  return Array.from({ length: 160 * 90 }, (_, i) => (data[i * 4] + data[i * 4 + 1] + data[i * 4 + 2]) / 3);
});

export async function assertMoves(target) {
  const before = await picture(target);
  let changed = 0;
  for (let look = 0; look < 3; look++) {
    const frames = target.evaluate(() => new Promise((resolve) => {
      const { video } = document.querySelector('shibuki-player');
      let left = 11;
      const next = () => (--left === 0 ? resolve() : video.requestVideoFrameCallback(next));
      video.requestVideoFrameCallback(next);
    }));
    await within(10_000, '11 frames of the player', frames);
    const now = await picture(target);
    changed = Math.max(changed, before.filter((value, i) => Math.abs(value - now[i]) > 24).length);
  }
  assert.ok(changed >= 10, 'the picture stands still');
}
