// FFmpeg publishes H.264 with ten seconds between keyframes and answers no PLI: what OBS's users have, and worse.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertAudioFlows, assertMovingPicture, withEvidence } from '../harness/assert-media.mjs';
import { assertPromptJoin } from '../harness/join.mjs';
import { publishByFfmpeg, RATE } from '../harness/media.mjs';
import { suite } from '../harness/suite.mjs';
import { tapHttp } from '../harness/tap.mjs';
import { pause } from '../harness/wait.mjs';

const it = suite();
const GOP = 10 * RATE;

test('a viewer joins five seconds after a keyframe: first frame under 500 ms, live within 2 s', { timeout: 90_000 }, async (t) => {
  const stream = it.stream('ffmpeg');
  const ffmpeg = publishByFfmpeg(it.server.whip(stream), { gop: GOP });
  t.after(() => ffmpeg.kill());
  const page = await it.page();
  await withEvidence(it.server, page, 'reference', async () => {
    await page.call('watch', { id: 'reference', url: it.server.whep(stream), numbered: true });
    await page.call('frames', { id: 'reference', count: 30, ms: 20_000 });
    await assertMovingPicture(page, 'reference');
    await assertAudioFlows(page, 'reference');
  }, [ffmpeg]);
  await assertPromptJoin(t, it, page, stream, { gop: GOP, after: 5 * RATE, programs: [ffmpeg] });
  await page.page.context().close();
});

test('FFmpeg as DTLS client (dtls_active)', { timeout: 60_000 }, async (t) => {
  const stream = it.stream('active');
  const ffmpeg = publishByFfmpeg(it.server.whip(stream), { gop: 60, extra: ['-whip_flags', 'dtls_active'] });
  t.after(() => ffmpeg.kill());
  const page = await it.page();
  await withEvidence(it.server, page, 'viewer', async () => {
    await page.call('watch', { url: it.server.whep(stream), numbered: true });
    await page.call('frames', { count: 5, ms: 20_000 });
    await assertMovingPicture(page);
    await assertAudioFlows(page);
  }, [ffmpeg]);
  await page.page.context().close();
});

test('a publisher is killed and returns five seconds later: accepted at once, seen within 1 s, without a new POST', { timeout: 90_000 }, async (t) => {
  const stream = it.stream('returns');
  const tap = await tapHttp(it.server.url);
  t.after(() => tap.close());
  const first = publishByFfmpeg(`${tap.url}/whip/${stream}`, { gop: GOP });
  t.after(() => first.kill());
  const programs = [first];
  const page = await it.page();
  await withEvidence(it.server, page, 'viewer', async () => {
    await page.call('watch', { url: it.server.whep(stream), numbered: true });
    await page.call('numbered', { from: 60, ms: 20_000 });
    await first.kill();
    await pause(5_000);
    assert.equal(await page.call('state', {}), 'connected', 'the viewer stays attached while nobody publishes');

    // Another base, so that a frame tells which of the two publishers it comes from.
    const base = 20_000;
    const second = publishByFfmpeg(`${tap.url}/whip/${stream}`, { gop: GOP, base });
    t.after(() => second.kill());
    programs.push(second);
    const seen = await page.call('numbered', { from: base, ms: 15_000 });
    const secured = await second.line(/SRTP setup done|DTLS handshake.*done|handshake is done/i, 1_000);
    const posts = tap.exchanges.filter(({ method }) => method === 'POST');
    assert.deepEqual(posts.map(({ status }) => status), [201, 201]);
    const answer = posts[1].answeredAt - posts[1].at;
    t.diagnostic(`201 after ${answer.toFixed(1)} ms; handshake done after ${Math.round(secured.at - posts[1].at)} ms; ` +
      `frame ${seen.number - base} seen ${Math.round(seen.at - secured.at)} ms after it`);
    assert.ok(answer < 500, `the returning publisher's POST took ${answer} ms`);
    // The keyframe is the first thing sent once the handshake is done.
    assert.ok(seen.at - secured.at < 1_000, `seen ${seen.at - secured.at} ms after the returning publisher could send`);
    assert.ok(seen.number - base < RATE, `the first frame seen was number ${seen.number - base}: the keyframe was missed`);
    await assertMovingPicture(page);
    await assertAudioFlows(page);
    await page.call('numbered', { from: base + 2 * RATE, ms: 10_000 });
    const { states } = await page.call('timing', {});
    assert.deepEqual(states.filter(({ state }) => state !== 'connecting').map(({ state }) => state), ['connected']);
  }, programs);
  await page.page.context().close();
});
