// The product's own pages: /publish in one Chromium, /watch in another tab of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suite } from '../harness/suite.mjs';
import { assertLooks, assertMoves, openTab, reaches, screenshot } from '../harness/tab.mjs';

const it = suite();
const open = (path) => openTab(it, path);

test('publish page to watch page; the watch page waits, plays, is told of the end, and plays again', { timeout: 240_000 }, async (t) => {
  const stream = it.stream('pages');
  const watch = await open(`/watch/${stream}`);
  await reaches(watch.page, 'waiting');
  await assertLooks(watch.page, 'watch-waiting');

  const publish = await open(`/publish/${stream}`);
  await assertLooks(publish.page, 'publish-before');
  const start = publish.page.getByRole('button', { name: 'Start publishing' });
  const stop = publish.page.getByRole('button', { name: 'Stop publishing' });
  await start.click();
  await reaches(publish.page, 'connected');
  await reaches(watch.page, 'playing');
  await assertMoves(watch.page);
  await assertLooks(publish.page, 'publish-live');

  const late = await open(`/watch/${stream}`);
  await reaches(late.page, 'playing');
  const firstFrameMs = await late.page.evaluate(() => window.shibuki.firstFrameMs);
  t.diagnostic(`a late watch page: first frame after ${Math.round(firstFrameMs)} ms`);
  assert.ok(firstFrameMs < 1_000, `first frame after ${firstFrameMs} ms`);
  const stats = await late.page.evaluate(() => window.shibuki.stats());
  t.diagnostic(`its statistics: ${JSON.stringify(stats)}`);
  assert.ok(Object.keys(stats).length > 0, 'the page has statistics');
  await late.page.keyboard.press('i');
  await late.page.getByRole('region', { name: 'Statistics' }).waitFor();
  await assertLooks(late.page, 'watch-statistics');

  const embed = await open(`/embed/${stream}`);
  await reaches(embed.page, 'playing');
  await assertLooks(embed.page, 'embed');
  assert.deepEqual(embed.complaints, []);
  await embed.close();

  await stop.click();
  await reaches(watch.page, ['interrupted', 'waiting', 'reconnecting'], 20_000);
  await screenshot(watch.page, 'watch-interrupted');
  await start.click();
  await reaches(watch.page, 'playing');
  await assertMoves(watch.page);
  await stop.click();

  for (const tab of [watch, publish, late]) {
    assert.deepEqual(tab.complaints, [], 'nothing was complained of in the console');
    await tab.close();
  }
});

test('the start page names live streams, and unknown pages say so', { timeout: 240_000 }, async () => {
  const stream = it.stream('listed');
  const publish = await open(`/publish/${stream}`);
  await publish.page.getByRole('button', { name: 'Start publishing' }).click();
  await reaches(publish.page, 'connected');
  const home = await open('/');
  await home.page.getByText(stream).first().waitFor({ timeout: 15_000 });
  await assertLooks(home.page, 'home');
  assert.deepEqual(home.complaints, []);
  await home.close();

  for (const page of ['publish', 'watch', 'wall']) {
    const without = await open(`/${page}`);
    await assertLooks(without.page, `${page}-unnamed`);
    await without.close();
  }
  const api = await open('/api');
  await assertLooks(api.page, 'api');
  await api.close();

  const nowhere = await open('/no-such-page');
  await assertLooks(nowhere.page, '404');
  assert.match(await nowhere.page.textContent('h1'), /no page at this address/);
  await nowhere.close();
  await publish.close();
});
