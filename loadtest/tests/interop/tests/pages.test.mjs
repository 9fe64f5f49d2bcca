// The product's own pages: /publish in one Chromium, /watch in another tab of it.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { OUTPUT } from '../harness/server.mjs';
import { suite } from '../harness/suite.mjs';
import { within } from '../harness/wait.mjs';

const it = suite();

/** A tab, and all that went wrong in it. */
async function open(path) {
  const page = await (await it.chromium.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  await page.goto(`${it.server.url}${path}`);
  return { page, complaints, close: () => page.context().close() };
}

async function screenshot(page, name) {
  mkdirSync(OUTPUT, { recursive: true });
  await page.screenshot({ path: join(OUTPUT, `${name}.png`) });
}

const playing = (page, ms) => page.waitForFunction(() => window.shibuki?.state === 'playing', null, { timeout: ms, polling: 20 });

/** The picture of the page's video as 160 × 90 grey values. */
const picture = (page) => page.evaluate(() => {
  const canvas = Object.assign(document.createElement('canvas'), { width: 160, height: 90 });
  const context = canvas.getContext('2d');
  context.drawImage(document.querySelector('video'), 0, 0, 160, 90);
  const { data } = context.getImageData(0, 0, 160, 90);
  return Array.from({ length: 160 * 90 }, (_, i) => (data[i * 4] + data[i * 4 + 1] + data[i * 4 + 2]) / 3);
});

async function assertMoves(page) {
  const before = await picture(page);
  let changed = 0;
  for (let look = 0; look < 3; look++) {
    const frames = page.evaluate(() => new Promise((resolve) => {
      const video = document.querySelector('video');
      let left = 11;
      const next = () => (--left === 0 ? resolve() : video.requestVideoFrameCallback(next));
      video.requestVideoFrameCallback(next);
    }));
    await within(10_000, '11 frames on the watch page', frames);
    const now = await picture(page);
    changed = Math.max(changed, before.filter((value, i) => Math.abs(value - now[i]) > 24).length);
  }
  assert.ok(changed >= 10, 'the picture stands still');
}

test('publish page to watch page; the watch page waits, plays, is told of the end, and plays again', { timeout: 90_000 }, async (t) => {
  const stream = it.stream('pages');
  const watch = await open(`/watch/${stream}`);
  await watch.page.waitForFunction(() => window.shibuki?.state === 'waiting', null, { timeout: 10_000 });
  await screenshot(watch.page, 'watch-waiting');

  const publish = await open(`/publish/${stream}`);
  await screenshot(publish.page, 'publish-before');
  const start = publish.page.getByRole('button', { name: 'Start publishing' });
  const stop = publish.page.getByRole('button', { name: 'Stop publishing' });
  await start.click();
  await publish.page.waitForFunction(() => window.shibuki?.state === 'connected', null, { timeout: 10_000 });
  await playing(watch.page, 10_000);
  await assertMoves(watch.page);
  await screenshot(publish.page, 'publish-live');
  await screenshot(watch.page, 'watch-live');

  const late = await open(`/watch/${stream}`);
  await playing(late.page, 10_000);
  const firstFrameMs = await late.page.evaluate(() => window.shibuki.firstFrameMs);
  t.diagnostic(`a late watch page: first frame after ${Math.round(firstFrameMs)} ms`);
  assert.ok(firstFrameMs < 1_000, `first frame after ${firstFrameMs} ms`);
  const stats = await late.page.evaluate(() => window.shibuki.stats());
  t.diagnostic(`its statistics: ${JSON.stringify(stats)}`);
  assert.ok(Object.keys(stats).length > 0, 'the page has statistics');
  await late.page.keyboard.press('i');
  await screenshot(late.page, 'watch-statistics');

  // On a phone.
  await late.page.setViewportSize({ width: 390, height: 844 });
  await screenshot(late.page, 'watch-phone');
  assert.ok(await late.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing sticks out of a phone');

  await stop.click();
  await watch.page.waitForFunction(() => ['interrupted', 'waiting', 'reconnecting'].includes(window.shibuki.state), null, { timeout: 20_000 });
  await screenshot(watch.page, 'watch-interrupted');
  await start.click();
  await playing(watch.page, 10_000);
  await assertMoves(watch.page);
  await stop.click();

  for (const tab of [watch, publish, late]) {
    assert.deepEqual(tab.complaints, [], 'nothing was complained of in the console');
    await tab.close();
  }
});

test('the start page names live streams, and unknown pages say so', { timeout: 60_000 }, async () => {
  const stream = it.stream('listed');
  const publish = await open(`/publish/${stream}`);
  await publish.page.getByRole('button', { name: 'Start publishing' }).click();
  await publish.page.waitForFunction(() => window.shibuki?.state === 'connected', null, { timeout: 10_000 });
  const home = await open('/');
  await home.page.getByText(stream).first().waitFor({ timeout: 15_000 });
  await screenshot(home.page, 'home');
  await home.page.setViewportSize({ width: 390, height: 844 });
  await screenshot(home.page, 'home-phone');
  assert.ok(await home.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing sticks out of a phone');
  assert.deepEqual(home.complaints, []);
  await home.close();

  const nowhere = await open('/no-such-page');
  await screenshot(nowhere.page, '404');
  assert.match(await nowhere.page.textContent('body'), /not|no /i);
  await nowhere.close();
  await publish.close();
});
