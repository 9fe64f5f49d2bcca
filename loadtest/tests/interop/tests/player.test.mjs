// The player in a page of another origin: by its tag and in a frame; its keys, its menu, what it says.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { packedPlayer } from '../harness/browser.mjs';
import { suite } from '../harness/suite.mjs';
import { assertAccessible, assertLooks, assertMoves, openTab, reaches, screenshot } from '../harness/tab.mjs';
import { until } from '../harness/wait.mjs';

const it = suite();

async function publishing(stream) {
  const tab = await openTab(it, `/publish/${stream}`);
  await tab.page.getByRole('button', { name: 'Start publishing' }).click();
  await reaches(tab.page, 'connected');
  return tab;
}

const foreign = (stream, as) =>
  openTab(it, `${it.pages.url}foreign.html?${new URLSearchParams({ server: it.server.url, stream, as })}`);

const player = (page, read) => page.evaluate(`(() => { const player = document.querySelector('shibuki-player'); return ${read}; })()`);
const inState = (page, state) => until(15_000, `the player to be ${state}`, async () => (await player(page, 'player.state')) === state);

test('by its tag, in a foreign page with a strict policy: plays, and tells the page', { timeout: 60_000 }, async () => {
  const stream = it.stream('tag');
  const publisher = await publishing(stream);
  const tab = await foreign(stream, 'tag');
  const { page } = tab;
  await inState(page, 'playing');
  await assertMoves(page);
  const events = await page.evaluate(() => window.events);
  assert.ok(events.some(([name, detail]) => name === 'statechange' && detail === 'playing'), JSON.stringify(events));
  assert.ok(events.some(([name, detail]) => name === 'firstframe' && detail > 0), JSON.stringify(events));

  // Keys: only with the focus on the player, where the page has not said otherwise.
  await page.keyboard.press('i');
  assert.equal(await page.getByRole('region', { name: 'Statistics' }).count(), 0);
  await page.getByRole('group', { name: 'Live video' }).focus();
  await page.keyboard.press('i');
  await page.getByText('Frames decoded').waitFor();
  const muted = await player(page, 'player.video.muted');
  await page.keyboard.press('m');
  assert.equal(await player(page, 'player.video.muted'), !muted);

  // Once the server has told the layers, they are what there is to choose from.
  await until(10_000, 'the layers to be told', async () => (await player(page, 'player.layers.length')) > 1);
  await page.keyboard.press('ArrowDown');
  assert.equal(await player(page, 'player.quality.kind'), 'layer');
  await page.keyboard.press('ArrowUp');
  assert.equal(await player(page, 'player.quality.kind'), 'auto');
  const quality = page.getByRole('button', { name: /Quality/ });
  await quality.click();
  await page.getByRole('menuitemradio', { name: 'Automatic', exact: true }).waitFor();
  await screenshot(page, 'player-menu');
  await assertAccessible(page, 'the player with its menu open');
  await page.keyboard.press('End');
  await page.keyboard.press('Enter');
  assert.equal(await player(page, 'player.quality.kind'), 'height');
  await page.getByRole('menu').waitFor({ state: 'hidden' });

  // A pause ends the session; going on starts at live.
  await page.getByRole('group', { name: 'Live video' }).focus();
  await page.keyboard.press(' ');
  await inState(page, 'stopped');
  await screenshot(page, 'player-paused');
  await page.keyboard.press(' ');
  await inState(page, 'playing');
  await assertMoves(page);
  await assertLooks(page, 'player-foreign');

  // Gone from the page, gone from the server.
  await page.evaluate(() => document.querySelector('shibuki-player').remove());
  await until(5_000, 'the viewer to be gone', async () => {
    const answer = await fetch(`${it.server.url}/api/v1/streams/${stream}`);
    return (await answer.json()).viewers === 0;
  });
  assert.deepEqual(tab.complaints, []);
  await tab.close();
  await publisher.close();
});

test('as a module from npm, as it is packed', { timeout: 90_000 }, async () => {
  const stream = it.stream('packed');
  const publisher = await publishing(stream);
  const tab = await foreign(stream, 'package');
  await inState(tab.page, 'playing');
  await assertMoves(tab.page);
  await assertAccessible(tab.page, 'the player as a module');
  assert.deepEqual(tab.complaints, []);
  await tab.close();
  await publisher.close();
  const contents = readdirSync(packedPlayer(), { recursive: true });
  for (const wanted of ['package.json', 'README.md', 'LICENSE-MIT', 'LICENSE-APACHE', 'dist/shibuki-player.js', 'dist/types/player/index.d.ts'])
    assert.ok(contents.includes(wanted), `${wanted} is not among ${contents}`);
});

test('in a frame of a foreign page; the other pages refuse to be framed', { timeout: 60_000 }, async () => {
  const stream = it.stream('frame');
  const publisher = await publishing(stream);
  const tab = await foreign(stream, 'frame');
  const frame = await (await tab.page.waitForSelector('iframe')).contentFrame();
  await frame.waitForFunction(() => window.shibuki?.state === 'playing', null, { timeout: 15_000, polling: 50 });
  await assertMoves(frame);
  await screenshot(tab.page, 'player-frame');
  await assertAccessible(frame, 'the player in a frame');
  assert.deepEqual(tab.complaints, []);
  await tab.page.evaluate((url) => { document.querySelector('iframe').src = url; }, `${it.server.url}/watch/${stream}`);
  await until(5_000, 'the browser to refuse', async () => tab.complaints.some((text) => text.includes('frame-ancestors')));
  await tab.close();
  await publisher.close();
});

test('a server that is not there is named as the reason, and tried again', { timeout: 60_000 }, async () => {
  const tab = await openTab(it, `${it.pages.url}foreign.html?${new URLSearchParams({ server: it.server.url, stream: 'x', as: 'tag' })}`);
  await player(tab.page, "player.setAttribute('src', 'http://127.0.0.1:9/whep/x')");
  await tab.page.getByText('The server cannot be reached.').waitFor({ timeout: 15_000 });
  assert.equal(await player(tab.page, 'player.state'), 'reconnecting');
  await screenshot(tab.page, 'player-unreachable');
  await player(tab.page, `player.setAttribute('src', '${it.server.whep('x')}')`);
  await inState(tab.page, 'waiting');
  await tab.close();
});
