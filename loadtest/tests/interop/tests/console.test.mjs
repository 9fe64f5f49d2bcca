// The console: what it shows of a stream agrees with what the browser and the server say; ending a session and a stream.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suite } from '../harness/suite.mjs';
import { assertAccessible, assertLooks, openTab } from '../harness/tab.mjs';
import { until } from '../harness/wait.mjs';

const it = suite();

const api = async (path) => (await fetch(`${it.server.url}${path}`)).json();

/** A stream with a publisher and a viewer. */
async function populated(name) {
  const stream = it.stream(name);
  const publisher = await it.page();
  await publisher.call('publish', { url: it.server.whip(stream), codec: 'VP8' });
  await publisher.call('connected', { id: 'publisher' });
  const viewer = await it.page();
  await viewer.call('watch', { url: it.server.whep(stream) });
  await viewer.call('frames', { count: 30 });
  return stream;
}

test('the overview: streams with live pictures', { timeout: 120_000 }, async () => {
  const stream = await populated('overview');
  const tab = await openTab(it, '/console');
  const { page } = tab;
  await page.locator('.card', { hasText: stream }).waitFor({ timeout: 15_000 });
  // Its live picture is a viewer too.
  await page.getByText('2 viewers').first().waitFor({ timeout: 15_000 });
  await page.waitForFunction(() => document.querySelector('.card shibuki-player')?.state === 'playing', null, { timeout: 15_000 });
  await assertLooks(page, 'console');
  await tab.close();
});

test('a stream, its viewers and a session as they are; a session and a stream are ended', { timeout: 150_000 }, async (t) => {
  if ((await fetch(`${it.server.url}/api/v1/sessions`)).status === 404) return t.skip('this server tells nothing of sessions');
  const stream = await populated('console');
  const tab = await openTab(it, `/console#/streams/${stream}`);
  const { page } = tab;
  await page.getByRole('heading', { name: stream }).waitFor();
  await page.getByRole('heading', { name: /Viewers/ }).waitFor();
  await page.getByRole('row', { name: /VP8/ }).waitFor({ timeout: 10_000 });
  // The bitrate in the page against the server's own count.
  const shown = async () => Number.parseFloat(await page.locator('.facts').getByText(/bit\/s/).first().textContent());
  await until(20_000, 'the bitrate shown to be the one counted', async () => {
    const { publisher } = await api(`/api/v1/streams/${stream}`);
    const text = await page.locator('.facts dd', { hasText: 'bit/s' }).first().textContent();
    const unit = text.includes('Mbit') ? 1e6 : 1e3;
    const value = (await shown()) * unit;
    return publisher && Math.abs(value - publisher.bitrate) < 0.4 * publisher.bitrate;
  }, 300);
  await assertLooks(page, 'console-stream');

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
  assert.deepEqual(tab.complaints.filter((text) => !text.includes(oldest.id)), []);
  t.diagnostic(`sessions seen: ${sessions.length}`);
  await tab.close();
});
