// The library inside OBS publishes, with OBS's default of 8.33 s between keyframes (250 frames at 30 a second).
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertAudioFlows, assertMovingPicture, withEvidence } from '../harness/assert-media.mjs';
import { assertPromptJoin } from '../harness/join.mjs';
import { h264File } from '../harness/media.mjs';
import { Program } from '../harness/process.mjs';
import { REPOSITORY, startServer } from '../harness/server.mjs';
import { suite } from '../harness/suite.mjs';
import { wallClock } from '../harness/wait.mjs';

const it = suite();
const GOP = 250;
const LENGTH = 500;
const TARGET = join(process.env.CARGO_TARGET_DIR ?? join(REPOSITORY, 'target'), 'libdatachannel');

async function publish(t, url) {
  const file = await h264File({ gop: GOP, frames: LENGTH });
  const program = new Program('libdatachannel', join(TARGET, 'release/libdatachannel-publisher'), [url, file]);
  t.after(() => program.kill());
  return program;
}

test('libdatachannel to chromium: a viewer joins between keyframes', { timeout: 90_000 }, async (t) => {
  const stream = it.stream('libdatachannel');
  const publisher = await publish(t, it.server.whip(stream));
  t.diagnostic((await publisher.line(/^connected/, 10_000)).text);
  const page = await it.page();
  await withEvidence(it.server, page, 'reference', async () => {
    await page.call('watch', { id: 'reference', url: it.server.whep(stream), numbered: true });
    await page.call('frames', { id: 'reference', count: 5 });
    await assertMovingPicture(page, 'reference');
    await assertAudioFlows(page, 'reference', { audible: false });
  }, [publisher]);
  await assertPromptJoin(t, it, page, stream, { gop: GOP, after: 150, length: LENGTH, programs: [publisher] });

  await publisher.stop();
  assert.ok(publisher.lines.some(({ text }) => text === 'deleted'), `its DELETE was answered 200\n${publisher.tail()}`);
  await page.page.context().close();
});

test('the server ends: the publisher sees it at once', { timeout: 60_000 }, async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  const publisher = await publish(t, server.whip(it.stream('goodbye')));
  await publisher.line(/^connected/, 10_000);
  const ended = publisher.line(/^ended/, 10_000);
  const asked = wallClock();
  const status = await server.stop();
  const { at, text } = await ended;
  t.diagnostic(`${text} ${Math.round(at - asked)} ms after SIGTERM; the server was gone after ${Math.round(status.at - asked)} ms`);
  assert.ok(at - asked < 2_000, `the publisher got to know after ${Math.round(at - asked)} ms\n${server.tail()}`);
  assert.equal(status.signal, null, 'the server ended by itself');
  assert.equal(status.code, 0);
  assert.ok(status.at - asked < 2_500, `the server took ${Math.round(status.at - asked)} ms to end`);
});
