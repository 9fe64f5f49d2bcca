// The console: what it shows of a stream agrees with what the browser and the server say; ending a session and a stream.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suite } from '../harness/suite.mjs';
import { assertAccessible, assertLooks, openTab } from '../harness/tab.mjs';
import { pause, until } from '../harness/wait.mjs';

const it = suite();

const api = async (path) => (await fetch(`${it.server.url}${path}`)).json();

/** A page that is closed with its test. */
async function pageOf(t) {
  const page = await it.page();
  t.after(() => page.page.context().close());
  return page;
}

/** A stream with a publisher and a viewer. */
async function populated(t, name) {
  const stream = it.stream(name);
  const publisher = await pageOf(t);
  await publisher.call('publish', { url: it.server.whip(stream), codec: 'VP8' });
  await publisher.call('connected', { id: 'publisher' });
  const viewer = await pageOf(t);
  await viewer.call('watch', { url: it.server.whep(stream) });
  await viewer.call('frames', { count: 30 });
  return stream;
}

test('the overview: streams with small pictures that move on; draining', { timeout: 120_000 }, async (t) => {
  const stream = await populated(t, 'overview');
  const tab = await openTab(it, '/console');
  const { page } = tab;
  await page.locator('.card', { hasText: stream }).waitFor({ timeout: 15_000 });
  // Its small picture is the latest keyframe, drawn again and again, and nobody's viewer.
  const drawn = () => page.locator('.card', { hasText: stream }).locator('canvas').getAttribute('data-drawn').then(Number);
  await until(20_000, 'a second small picture', async () => (await drawn()) > 1);
  await page.getByText('1 viewer ·').first().waitFor({ timeout: 5_000 });
  const grey = await page.locator('.card canvas').first().evaluate((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return [Math.min(...data.filter((_, i) => i % 4 === 1)), Math.max(...data.filter((_, i) => i % 4 === 1))];
  });
  assert.ok(grey[1] - grey[0] > 60, `the small picture is blank: green from ${grey}`);
  await assertLooks(page, 'console');

  // Draining, with a yes: nobody new comes in, and another console knows.
  await page.getByRole('button', { name: 'Drain' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Drain' }).click();
  await page.getByText('This server is draining').waitFor({ timeout: 5_000 });
  assert.equal((await fetch(`${it.server.url}/readyz`)).status, 503);
  const another = await openTab(it, '/console');
  await another.page.getByText('This server is draining').waitFor({ timeout: 10_000 });
  await another.close();
  await page.getByRole('button', { name: 'Take sessions again' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Take sessions again' }).click();
  await page.getByText('This server is draining').waitFor({ state: 'detached', timeout: 5_000 });
  assert.equal((await fetch(`${it.server.url}/readyz`)).status, 200);
  await tab.close();
});

/** A small picture that is not there yet: the browser says so, and the page asks again. */
const early = (text) => text.includes('503') && text.includes('thumbnail.jpg');

/** The share by which two numbers differ. */
const apart = (a, b) => Math.abs(a - b) / Math.max(a, b, 1);

/** What the page's facts say under a name: bits per second, milliseconds, or a plain number. */
async function fact(page, name) {
  const text = await page.locator('.facts > div', { has: page.getByText(name, { exact: true }) }).locator('dd').textContent();
  const value = Number.parseFloat(text);
  return value * (text.includes('Mbit') ? 1e6 : text.includes('kbit') ? 1e3 : 1);
}

async function metrics() {
  const text = await (await fetch(`${it.server.url}/metrics`)).text();
  const value = (name) => {
    // The one without labels, or with those named.
    const line = text.split('\n').find((line) => line.startsWith(`shibuki_${name}`));
    assert.ok(line, `no ${name} among the metrics`);
    return Number(line.split(' ')[1]);
  };
  return value;
}

test('of a codec that the server does not decode, the small picture plays', { timeout: 60_000 }, async (t) => {
  const stream = it.stream('undecoded');
  const publisher = await pageOf(t);
  await publisher.call('publish', { url: it.server.whip(stream), codec: 'VP9' });
  await publisher.call('connected', { id: 'publisher' });
  const tab = await openTab(it, `/console#/streams/${stream}`);
  await tab.page.waitForFunction(() => document.querySelector('.thumb shibuki-player')?.state === 'playing', null, { timeout: 20_000 });
  assert.deepEqual(tab.complaints, []);
  await tab.close();
});

test('the same numbers in the console, in /metrics and in getStats', { timeout: 120_000 }, async (t) => {
  const stream = it.stream('numbers');
  const publisher = await pageOf(t);
  await publisher.call('publish', { url: it.server.whip(stream), codec: 'VP8', painted: true });
  const viewer = await pageOf(t);
  await viewer.call('watch', { url: it.server.whep(stream) });
  await viewer.call('frames', { count: 60 });
  const { sessions } = await api(`/api/v1/sessions?stream=${stream}`);
  const ofStream = await openTab(it, `/console#/streams/${stream}`);
  const ofViewer = await openTab(it, `/console#/sessions/${sessions.find(({ role }) => role === 'viewer').id}`);
  const overview = await openTab(it, '/console');
  await overview.page.getByLabel('Pictures').uncheck();
  await ofViewer.page.getByText('First keyframe').waitFor({ timeout: 10_000 });
  await ofStream.page.getByRole('row', { name: /VP8/ }).waitFor({ timeout: 10_000 });

  // The console's own small pictures are viewers: they have gone by now, or are counted by everybody.
  const wire = async (page, id) => (await page.call('stats', { id })).transport;
  const shown = [];
  const from = { publisher: await wire(publisher, 'publisher'), viewer: await wire(viewer, 'viewer') };
  for (let second = 0; second < 6; second++) {
    await pause(1000);
    const value = await metrics();
    shown.push({
      publisher: [await fact(ofStream.page, 'Bitrate'), value(`stream_bitrate_bits_per_second{stream="${stream}"}`)],
      viewer: [await fact(ofViewer.page, 'Bitrate')],
      viewers: [Number(await ofStream.page.locator('#viewers-title .count').textContent()), value(`stream_viewers{stream="${stream}"}`)],
      memory: [
        Number.parseFloat(await overview.page.getByRole('figure', { name: /^Memory/ }).locator('strong').textContent()) * 2 ** 20,
        value('process_resident_memory_bytes'),
      ],
    });
  }
  const to = { publisher: await wire(publisher, 'publisher'), viewer: await wire(viewer, 'viewer') };
  const rate = (side, key) => (8000 * (to[side][key] - from[side][key])) / (to[side].timestamp - from[side].timestamp);
  const mean = (name, index) => shown.reduce((sum, sample) => sum + sample[name][index], 0) / shown.length;
  const own = { publisher: rate('publisher', 'bytesSent'), viewer: rate('viewer', 'bytesReceived') };
  t.diagnostic(`publisher: console ${mean('publisher', 0)}, metrics ${mean('publisher', 1)}, getStats ${own.publisher} bit/s`);
  t.diagnostic(`viewer: console ${mean('viewer', 0)}, getStats ${own.viewer} bit/s`);
  // Bitrates over six seconds within 15 %: the page is a second behind at most, and getStats counts RTCP and headers too.
  assert.ok(apart(mean('publisher', 0), mean('publisher', 1)) < 0.15, JSON.stringify(shown));
  assert.ok(apart(mean('publisher', 0), own.publisher) < 0.15, `${mean('publisher', 0)} ${own.publisher}`);
  assert.ok(apart(mean('viewer', 0), own.viewer) < 0.15, `${mean('viewer', 0)} ${own.viewer}`);
  // Memory within 10 %; who watches, to the viewer.
  assert.ok(apart(mean('memory', 0), mean('memory', 1)) < 0.1, JSON.stringify(shown));
  const { viewers } = shown.at(-1);
  assert.equal(viewers[0], viewers[1]);

  const { video } = await viewer.call('stats', { id: 'viewer' });
  assert.equal(await fact(ofViewer.page, 'Picture'), video.frameHeight);
  const row = ofStream.page.getByRole('row', { name: /VP8/ });
  const cells = await row.getByRole('cell').allTextContents();
  assert.ok(cells.includes(`${video.frameWidth} × ${video.frameHeight}`), cells.join());
  const pictures = Number.parseFloat(cells.find((text) => text.includes('pictures')));
  assert.ok(Math.abs(pictures - video.framesPerSecond) <= 5, `${pictures} pictures a second, getStats has ${video.framesPerSecond}`);
  for (const tab of [ofStream, ofViewer, overview]) {
    assert.deepEqual(tab.complaints.filter((text) => !early(text)), []);
    await tab.close();
  }
});

test('a stream, its viewers and a session as they are; a session and a stream are ended', { timeout: 150_000 }, async (t) => {
  if ((await fetch(`${it.server.url}/api/v1/sessions`)).status === 404) return t.skip('this server tells nothing of sessions');
  const stream = await populated(t, 'console');
  const tab = await openTab(it, `/console#/streams/${stream}`);
  const { page } = tab;
  await page.getByRole('heading', { name: stream }).waitFor();
  await page.getByRole('heading', { name: /Viewers/ }).waitFor();
  await page.getByRole('row', { name: /VP8/ }).waitFor({ timeout: 10_000 });
  await assertLooks(page, 'console-stream');
  // A sound that is mono is a remark, and nothing wrong.
  assert.equal(await page.locator('.notice.error, .notice.warn').count(), 0);

  const { sessions } = await api(`/api/v1/sessions?stream=${stream}&role=viewer`);
  assert.ok(sessions.length >= 1, JSON.stringify(sessions));
  const oldest = sessions[0];
  await page.goto(`${it.server.url}/console#/sessions/${oldest.id}`);
  await page.getByText('First keyframe').waitFor({ timeout: 10_000 });
  await assertLooks(page, 'console-session');
  const end = page.getByRole('button', { name: 'End the session' });
  await end.click();
  const dialog = page.getByRole('dialog');
  await assertAccessible(page, 'the dialog that asks');
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  assert.equal((await api(`/api/v1/sessions/${oldest.id}`)).id, oldest.id, 'nothing happens without a yes');
  await end.click();
  await dialog.getByRole('button', { name: 'End the session' }).click();
  await page.getByText('Ended', { exact: true }).waitFor({ timeout: 10_000 });

  await page.goto(`${it.server.url}/console#/streams/${stream}`);
  await page.getByRole('button', { name: 'End the stream' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'End the stream' }).click();
  await page.getByText('Not live').first().waitFor({ timeout: 10_000 });
  await until(5_000, 'the stream to be over', async () => (await api(`/api/v1/streams/${stream}`)).publishing !== true);
  // The session that was ended is asked for once more.
  assert.deepEqual(tab.complaints.filter((text) => !text.includes(oldest.id) && !early(text)), []);
  t.diagnostic(`sessions seen: ${sessions.length}`);
  await tab.close();
});
