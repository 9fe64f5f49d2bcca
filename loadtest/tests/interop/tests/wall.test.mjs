// The wall: six streams at once, and what a change of focus does on the wire.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suite } from '../harness/suite.mjs';
import { assertLooks, openTab } from '../harness/tab.mjs';
import { until } from '../harness/wait.mjs';

const it = suite();
const ENCODINGS = [{ rid: 'q', scaleResolutionDownBy: 2, maxBitrate: 100_000 }, { rid: 'f', maxBitrate: 400_000 }];

/** Lines of the picture that each player of the page decodes now. */
const heights = (page) => page.evaluate(async () => {
  const all = [...document.querySelectorAll('.tile')];
  const entries = all.map(async (tile) => [tile.dataset.stream, (await tile.querySelector('shibuki-player').stats())?.height ?? 0]);
  return Object.fromEntries(await Promise.all(entries));
});

test('six streams; the one in focus in full, the others small; a click and a key change the focus', { timeout: 150_000 }, async (t) => {
  const publisher = await it.page();
  const names = [];
  for (let index = 0; index < 6; index++) {
    const name = it.stream(`wall${index}`);
    names.push(name);
    // Two with layers: more encoders than that and a small machine is busy with nothing else.
    const layers = index < 2 ? { encodings: ENCODINGS } : {};
    await publisher.call('publish', { id: name, url: it.server.whip(name), codec: 'VP8', audio: false, ...layers });
    await publisher.call('connected', { id: name });
  }
  const [first, second] = names;
  const tab = await openTab(it, '/wall');
  const { page } = tab;
  await until(30_000, 'six pictures', async () => Object.values(await heights(page)).filter((height) => height > 0).length === 6);
  await until(20_000, 'the first in full, the second small', async () => {
    const now = await heights(page);
    return now[first] === 360 && now[second] === 180;
  });
  assert.equal(await page.locator('.tile.focus').getAttribute('data-stream'), first);
  await assertLooks(page, 'wall');

  await page.getByRole('button', { name: `Show ${second} large` }).click();
  await until(20_000, 'the second in full, the first small', async () => {
    const now = await heights(page);
    return now[first] === 180 && now[second] === 360;
  });
  await page.keyboard.press('1');
  await until(20_000, 'the first in full again', async () => {
    const now = await heights(page);
    return now[first] === 360 && now[second] === 180;
  });
  const states = await page.evaluate(() => [...document.querySelectorAll('shibuki-player')].map(({ state, video }) => [state, video.muted]));
  assert.ok(states.every(([state]) => state === 'playing'), JSON.stringify(states));
  assert.equal(states.filter(([, muted]) => !muted).length, 1, 'one is heard');
  t.diagnostic(`pictures: ${JSON.stringify(await heights(page))}`);

  await page.goto(`${it.server.url}/wall?streams=${second},${names[2]}`);
  await until(20_000, 'two pictures', async () => Object.values(await heights(page)).filter((height) => height > 0).length === 2);
  assert.deepEqual(Object.keys(await heights(page)), [second, names[2]]);
  assert.deepEqual(tab.complaints, []);
  await tab.close();
});
