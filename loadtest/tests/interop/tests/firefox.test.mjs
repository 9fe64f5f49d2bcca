// Firefox watches what Chromium publishes, and the other way round. It has no H.264 here: VP8.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertAudioFlows, assertMovingPicture, withEvidence } from '../harness/assert-media.mjs';
import { suite } from '../harness/suite.mjs';

const it = suite({ firefox: true });

test('chromium to firefox, VP8', { timeout: 90_000 }, async (t) => {
  const stream = it.stream('firefox');
  const publisher = await it.page();
  await publisher.call('publish', { url: it.server.whip(stream), codec: 'VP8' });
  await publisher.call('connected', { id: 'publisher' });

  const viewer = await it.firefoxPage();
  const { status } = await viewer.call('watch', { url: it.server.whep(stream) });
  assert.equal(status, 201);
  await withEvidence(it.server, viewer, 'viewer', async () => {
    await viewer.call('frames', { count: 5 });
    const { postedAt, firstFrameAt } = await viewer.call('timing', {});
    t.diagnostic(`first frame ${Math.round(firstFrameAt - postedAt)} ms after the POST`);
    await assertMovingPicture(viewer);
    await assertAudioFlows(viewer, 'viewer', { audible: false });
  });
  assert.equal(await viewer.call('leave', {}), 200);
});

test('firefox to chromium, VP8', { timeout: 90_000 }, async () => {
  const stream = it.stream('from-firefox');
  const publisher = await it.firefoxPage();
  await publisher.call('publish', { url: it.server.whip(stream), codec: 'VP8', painted: true });
  await publisher.call('connected', { id: 'publisher' });

  const viewer = await it.page();
  await withEvidence(it.server, viewer, 'viewer', async () => {
    await viewer.call('watch', { url: it.server.whep(stream) });
    await viewer.call('frames', { count: 5 });
    await assertMovingPicture(viewer);
    await assertAudioFlows(viewer);
  });
  assert.equal(await publisher.call('leave', { id: 'publisher' }), 200);
});
