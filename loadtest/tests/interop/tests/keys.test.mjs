// Publishing and watching through the pages of a server that wants keys: none, a wrong one, an expired link, a good one.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { suite } from '../harness/suite.mjs';
import { assertLooks, assertMoves, openTab, reaches } from '../harness/tab.mjs';

const SECRET = '0123456789abcdef0123456789abcdef';
const it = suite({ serverFlags: ['--keys-secret', SECRET, '--keys-publish', 'studio-key', '--keys-admin', 'operator-key'] });
const open = (path) => openTab(it, path);

/** As `shibuki key new` signs one. */
function signed(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const body = `${part({ typ: 'JWT', alg: 'HS256' })}.${part(claims)}`;
  return `${body}.${createHmac('sha256', SECRET).update(body).digest('base64url')}`;
}

const now = () => Math.floor(Date.now() / 1000);
const says = (page, text) => page.getByText(text).first().waitFor({ timeout: 10_000 });

test('keys on the pages: none, wrong, expired, good', { timeout: 180_000 }, async () => {
  const stream = it.stream('keyed');

  const publish = await open(`/publish/${stream}`);
  const start = publish.page.getByRole('button', { name: 'Start publishing' });
  const field = publish.page.getByLabel(/^Key for publishing/);
  await field.fill('wrong');
  await start.click();
  await says(publish.page, /A key is needed to publish|not right/);
  await assertLooks(publish.page, 'publish-key');
  await field.fill('studio-key');
  await start.click();
  await reaches(publish.page, 'connected');

  const without = await open(`/watch/${stream}`);
  await says(without.page, /A key is needed to watch/);
  await assertLooks(without.page, 'watch-key');
  const player = without.page.locator('shibuki-player');
  await player.locator('input').first().fill(signed({ watch: 'another', exp: now() + 600 }));
  await player.locator('form button').first().click();
  await says(without.page, /does not allow you to watch this stream/);
  await player.locator('input').first().fill(signed({ watch: stream, exp: now() + 600 }));
  await player.locator('form button').first().click();
  await reaches(without.page, 'playing');
  await assertMoves(without.page);
  // The publisher's page is told by its session's own events: its key is none for watching.
  await says(publish.page, /1 viewer watches/);

  const expired = await open(`/watch/${stream}?token=${signed({ watch: stream, exp: now() - 3600 })}`);
  await says(expired.page, /has expired/);
  await assertLooks(expired.page, 'watch-expired');

  const link = await open(`/watch/${stream}?token=${signed({ watch: stream, exp: now() + 600 })}`);
  await reaches(link.page, 'playing');
  await assertMoves(link.page);
  assert.deepEqual(link.complaints, []);
  for (const tab of [publish, without, expired, link]) await tab.close();
});

test('the console asks for an operator’s key, and takes no other', { timeout: 60_000 }, async () => {
  const stream = it.stream('operated');
  const publish = await open(`/publish/${stream}`);
  await publish.page.getByLabel(/^Key for publishing/).fill('studio-key');
  await publish.page.getByRole('button', { name: 'Start publishing' }).click();
  await reaches(publish.page, 'connected');
  const { page, complaints, close } = await open('/console');
  await says(page, /operator’s key is needed/);
  await assertLooks(page, 'console-key');
  const give = async (key) => {
    await page.getByLabel('Key').fill(key);
    await page.getByRole('button', { name: 'Open' }).click();
  };
  await give('wrong');
  await says(page, /This key is not right/);
  await give('studio-key');
  await says(page, /operator/);
  await give('operator-key');
  await page.locator('.card', { hasText: stream }).waitFor({ timeout: 10_000 });
  await page.reload();
  await page.locator('.card', { hasText: stream }).waitFor({ timeout: 10_000 });
  assert.deepEqual(complaints.filter((text) => !/40[13]/.test(text)), []);
  await close();
  await publish.close();
});
