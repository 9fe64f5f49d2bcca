// Chromium publishes, Chromium watches.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertAudioFlows, assertGcm, assertMovingPicture, withEvidence } from '../harness/assert-media.mjs';
import { suite } from '../harness/suite.mjs';
import { until } from '../harness/wait.mjs';

const it = suite();

for (const codec of ['VP8', 'H264', 'VP9', 'AV1']) {
  test(`chromium to chromium, ${codec}`, { timeout: 60_000 }, async (t) => {
    const stream = it.stream(codec.toLowerCase());
    const publisher = await it.page();
    const { status } = await publisher.call('publish', { url: it.server.whip(stream), codec });
    assert.equal(status, 201);
    await publisher.call('connected', { id: 'publisher' });

    const viewer = await it.page();
    // The first viewer waits for the encoder's start as well; the second one's time is the server's own.
    for (const id of ['first', 'second']) {
      await withEvidence(it.server, viewer, id, async () => {
        await viewer.call('watch', { id, url: it.server.whep(stream) });
        await viewer.call('frames', { id, count: 5 });
        const { postedAt, answeredAt, firstFrameAt, states } = await viewer.call('timing', { id });
        const connectedAt = states.find(({ state }) => state === 'connected')?.at;
        const since = (at) => `${Math.round(at - postedAt)} ms`;
        t.diagnostic(`${codec}, ${id} viewer: answer ${since(answeredAt)}, connected ${since(connectedAt)}, first frame ${since(firstFrameAt)}`);
        assert.ok(firstFrameAt - postedAt < (id === 'first' ? 2_000 : 500), `first frame after ${since(firstFrameAt)}`);
        await assertMovingPicture(viewer, id);
        await assertAudioFlows(viewer, id);
        await assertGcm(viewer, id);
      });
    }
    await assertGcm(publisher, 'publisher');
    assert.equal((await viewer.call('stats', { id: 'second' })).video.codec.toLowerCase(), `video/${codec.toLowerCase()}`);
    assert.equal(await viewer.call('leave', { id: 'second' }), 200);
    await assertMovingPicture(viewer, 'first');
    assert.equal(await publisher.call('leave', { id: 'publisher' }), 200);
    await viewer.page.context().close();
    await publisher.page.context().close();
  });
}

test('a viewer that comes first waits, and sees the publisher come', { timeout: 60_000 }, async (t) => {
  const stream = it.stream('wait');
  const page = await it.page();
  const { status } = await page.call('watch', { url: it.server.whep(stream) });
  assert.equal(status, 201);
  await page.call('connected', { id: 'viewer' });
  assert.equal((await page.call('timing', {})).frames, 0);

  await withEvidence(it.server, page, 'viewer', async () => {
    await page.call('publish', { url: it.server.whip(stream), codec: 'VP8' });
    const [first] = await page.call('frames', { count: 1 });
    const { postedAt } = await page.call('timing', { id: 'publisher' });
    t.diagnostic(`first frame ${Math.round(first.at - postedAt)} ms after the publisher's POST`);
    await assertMovingPicture(page);
    await assertAudioFlows(page);
  });
  await page.page.context().close();
});

test('audio alone', { timeout: 60_000 }, async () => {
  const stream = it.stream('audio');
  const page = await it.page();
  await page.call('publish', { url: it.server.whip(stream), video: false });
  await withEvidence(it.server, page, 'viewer', async () => {
    await page.call('watch', { url: it.server.whep(stream) });
    // Chromium's fake microphone beeps along with its fake camera only.
    await assertAudioFlows(page, 'viewer', { audible: false });
  });
  await page.page.context().close();
});

test('ICE restart by PATCH: the picture goes on', { timeout: 60_000 }, async (t) => {
  const stream = it.stream('restart');
  const page = await it.page();
  await page.call('publish', { url: it.server.whip(stream), codec: 'VP8' });
  await withEvidence(it.server, page, 'viewer', async () => {
    await page.call('watch', { url: it.server.whep(stream) });
    await page.call('frames', { count: 10 });
    for (const id of ['viewer', 'publisher']) {
      const { before, after, at } = await page.call('restart', { id });
      assert.notEqual(after.etag, before.etag, 'a new ICE session has a new ETag');
      assert.notEqual(after.ufrag, before.ufrag);
      // The pair in use is one of the new ICE session.
      await until(5_000, `${id} to use its new credentials`, async () => {
        const { transport, connectionState } = await page.call('stats', { id });
        return transport.iceLocalUsernameFragment === after.ufrag && connectionState === 'connected';
      });
      await page.call('frames', { count: 45, fresh: true });
      const times = (await page.call('shown', {})).map((frame) => frame.at).filter((time) => time > at - 500);
      const gap = Math.max(...times.slice(1).map((time, i) => time - times[i]));
      t.diagnostic(`${id}: longest gap between two frames ${Math.round(gap)} ms`);
      assert.ok(gap < 1_000, `${gap} ms without a frame around ${id}'s restart`);
    }
  });
  await page.page.context().close();
});
