// Chromium publishes three layers; a viewer in Chromium is sent from one to another without a freeze, an error or a wrong
// picture, and FFmpeg decodes what it received. `SHIBUKI_SWITCHES` says how often (6), `SHIBUKI_CODECS` of which codecs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withEvidence } from '../harness/assert-media.mjs';
import { decodeByFfmpeg } from '../harness/media.mjs';
import { suite } from '../harness/suite.mjs';
import { pause, until } from '../harness/wait.mjs';

const it = suite();
const SWITCHES = Number(process.env.SHIBUKI_SWITCHES ?? 6);
const CODECS = (process.env.SHIBUKI_CODECS ?? 'VP8,H264,VP9,AV1').split(',');
const WIDTHS = { q: 256, h: 512, f: 1024 };

/** VP9 and AV1 take several encodings for layers of one stream, unless each is said to be one by itself. */
const encodings = (codec) => [
  { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 400_000 },
  { rid: 'f', maxBitrate: 1_200_000 },
].map((layer) => (['VP9', 'AV1'].includes(codec) ? { ...layer, scalabilityMode: 'L1T1' } : layer));

/** A page that publishes, once all its layers are encoded. */
async function published(stream, codec) {
  const publisher = await it.page();
  const { status } = await publisher.call('publish', {
    url: it.server.whip(stream), codec, audio: false, patterned: true, encodings: encodings(codec),
  });
  assert.equal(status, 201);
  // The browser begins with the smallest and adds the others as its estimate of the link grows.
  let layers;
  await until(30_000, 'all layers to be encoded', async () => {
    layers = await publisher.call('encoded', {});
    return Object.keys(WIDTHS).every((rid) => layers[rid]?.frameWidth === WIDTHS[rid] && layers[rid].framesEncoded > 60);
  }, 250).catch((error) => { throw new Error(`${error.message}: ${JSON.stringify(layers)}`); });
  return publisher;
}

for (const codec of SWITCHES > 0 ? CODECS : []) {
  test(`${SWITCHES} switches of layer, ${codec}`, { timeout: 60_000 + SWITCHES * 6_000 }, async (t) => {
    const stream = it.stream(`layers-${codec.toLowerCase()}`);
    const publisher = await published(stream, codec);
    const viewer = await it.page();
    await viewer.call('watch', { url: it.server.whep(stream), audio: false, muted: true, numbered: true, patterned: true, recorded: true });
    await withEvidence(it.server, viewer, 'viewer', async () => {
      await viewer.call('frames', { count: 30 });
      const before = (await viewer.call('stats', {})).video;
      const from = (await viewer.call('timing', {})).frames;
      const delays = [];
      let playing = 'f';
      for (let round = 0; round < SWITCHES; round++) {
        const others = Object.keys(WIDTHS).filter((rid) => rid !== playing);
        playing = others[round % 3 === 2 ? 1 : 0];
        const { status, at } = await viewer.call('choose', { rid: playing });
        assert.equal(status, 200);
        const first = await viewer.call('sized', { width: WIDTHS[playing], since: at });
        delays.push(Math.round(first.at - at));
        await pause(500);
      }
      const after = (await viewer.call('stats', {})).video;
      const frames = (await viewer.call('shown', {})).slice(from);
      const encoded = (await viewer.call('recorded', {}, 60_000)).map((text) => Buffer.from(text, 'base64'));

      const steps = frames.slice(1).map((frame, index) => {
        const { at, number, rtp, width } = frames[index];
        return { gap: Math.round(frame.at - at), by: frame.number - number, rtp: (frame.rtp - rtp) | 0, widths: [width, frame.width] };
      });
      const grown = (name) => after[name] - before[name];
      const longest = steps.reduce((most, step) => (step.gap > most.gap ? step : most));
      delays.sort((a, b) => a - b);
      t.diagnostic(`the new layer was shown ${delays.at(0)} / ${delays.at(delays.length >> 1)} / ${delays.at(-1)} ms after the wish (least, median, most); longest gap ${JSON.stringify(longest)}`);
      t.diagnostic(`freezes ${grown('freezeCount')}, dropped ${grown('framesDropped')}, PLI ${grown('pliCount')}, decoded ${grown('framesDecoded')}, of them keyframes ${grown('keyFramesDecoded')}, worst colour ${Math.max(...frames.map(({ error }) => error))}`);
      assert.equal(grown('freezeCount'), 0, 'by Chromium\'s own count');
      assert.equal(grown('pliCount'), 0, 'the decoder never lost its way');
      const wrong = frames.filter(({ number, error }) => number === null || error > 60).map((frame) => JSON.stringify({ ...frame, index: frames.indexOf(frame), before: frames[frames.indexOf(frame) - 1] }));
      assert.deepEqual(wrong, [], 'every frame shows what was painted');
      // Both layers may show what was captured last: the same number again.
      const back = steps.filter(({ by, widths }) => (by < 0 || (by === 0 && widths[0] === widths[1])) && by > -60_000);
      assert.deepEqual(back, [], 'time never goes back');

      const judged = await decodeByFfmpeg(codec, encoded);
      t.diagnostic(`FFmpeg: ${judged.frames} of ${encoded.length} pictures, ${judged.complaints.length} complaints`);
      assert.deepEqual(judged, { code: 0, frames: encoded.length, complaints: [] });
    });
    await viewer.page.context().close();
    await publisher.page.context().close();
  });
}

/** What a viewer is shown in the 1.5 s after it had 0.6 s to get used to something: pictures a second, and their widths. */
async function shownWithin(viewer) {
  await pause(600);
  const from = (await viewer.call('timing', {})).frames;
  await pause(1_500);
  const frames = (await viewer.call('shown', {})).slice(from);
  return { rate: Math.round(frames.length / 1.5), widths: [...new Set(frames.map(({ width }) => width))] };
}

const MODES = [['VP8', 'L1T3'], ['VP9', 'L1T3'], ['AV1', 'L1T3']];
// Two cores do not encode these in time beside anything else: only where asked for.
if (process.env.SHIBUKI_MODES) MODES.push(['VP9', 'L3T3'], ['VP9', 'L3T3_KEY'], ['AV1', 'L3T3'], ['AV1', 'L3T3_KEY']);

// What is left out within a layer: pictures (of temporal layers), sizes (of spatial ones).
for (const [codec, mode] of MODES) {
  if (!CODECS.includes(codec) || !(process.env.SHIBUKI_MODES?.split(',') ?? [mode]).includes(mode)) continue;
  test(`fewer layers and more again, ${codec} ${mode}`, { timeout: 90_000 }, async (t) => {
    const stream = it.stream(`svc-${codec.toLowerCase()}-${mode.toLowerCase()}`);
    const publisher = await it.page();
    const { status } = await publisher.call('publish', {
      url: it.server.whip(stream), codec, audio: false, patterned: true, encodings: [{ scalabilityMode: mode, maxBitrate: 1_500_000 }],
    });
    assert.equal(status, 201);
    let layers;
    // Where the estimate of the link does not suffice, VP8 begins smaller.
    await until(30_000, 'all layers to be encoded', async () => {
      layers = (await publisher.call('encoded', {}))[''];
      return (layers?.frameWidth === 1024 || codec === 'VP8') && layers?.framesEncoded > 90 && layers.scalabilityMode === mode;
    }, 250).catch((error) => { throw new Error(`${error.message}: ${JSON.stringify(layers)}`); });
    const viewer = await it.page();
    await viewer.call('watch', { url: it.server.whep(stream), audio: false, muted: true, numbered: true, patterned: true, recorded: true, descriptor: codec === 'AV1' });
    await withEvidence(it.server, viewer, 'viewer', async () => {
      await viewer.call('frames', { count: 30 });
      await pause(1_500);
      const before = (await viewer.call('stats', {})).video;
      const from = (await viewer.call('timing', {})).frames;
      const whole = await shownWithin(viewer);
      const seen = [`whole ${JSON.stringify(whole)}`];
      const wishes = [
        { maxTemporalLayerId: 0 }, { maxTemporalLayerId: 1 }, {}, { maxTemporalLayerId: 0 }, {},
        ...(mode.startsWith('L3') ? [{ maxSpatialLayerId: 0 }, { maxSpatialLayerId: 1 }, { maxSpatialLayerId: 0, maxTemporalLayerId: 1 }, {}] : []),
      ];
      const results = [];
      for (const wish of wishes) {
        assert.equal((await viewer.call('choose', wish)).status, 200);
        const shown = await shownWithin(viewer);
        results.push({ wish, ...shown });
        seen.push(`${JSON.stringify(wish)} ${JSON.stringify(shown)}`);
      }
      const after = (await viewer.call('stats', {})).video;
      const frames = (await viewer.call('shown', {})).slice(from);
      const encoded = (await viewer.call('recorded', {}, 60_000)).map((text) => Buffer.from(text, 'base64'));
      const grown = (name) => after[name] - before[name];
      t.diagnostic(seen.join('; '));
      t.diagnostic(`freezes ${grown('freezeCount')}, dropped ${grown('framesDropped')}, PLI ${grown('pliCount')}, NACK ${grown('nackCount')}, decoded ${grown('framesDecoded')}, worst colour ${Math.max(...frames.map(({ error }) => error))}`);
      const judged = await decodeByFfmpeg(codec, encoded);
      t.diagnostic(`FFmpeg: ${judged.frames} of ${encoded.length} pictures, complaints ${JSON.stringify(judged.complaints.slice(0, 5))}`);
      assert.equal(grown('freezeCount'), 0, 'by Chromium\'s own count');
      assert.equal(grown('pliCount'), 0, 'the decoder never lost its way');
      assert.deepEqual(frames.filter(({ number, error }) => number === null || error > 60).map((frame) => JSON.stringify(frame)), []);
      for (const { wish, rate, widths } of results) {
        const share = { 0: 0.25, 1: 0.5 }[wish.maxTemporalLayerId] ?? 1;
        assert.ok(Math.abs(rate / whole.rate - share) < 0.15, `${rate} pictures a second of ${whole.rate} with ${JSON.stringify(wish)}`);
        // VP8 grows with the estimate of the link.
        if (mode.startsWith('L3')) assert.deepEqual(widths, [{ 0: 256, 1: 512 }[wish.maxSpatialLayerId] ?? 1024], JSON.stringify(wish));
      }
      assert.deepEqual({ code: judged.code, complaints: judged.complaints }, { code: 0, complaints: [] });
    });
    await viewer.page.context().close();
    await publisher.page.context().close();
  });
}
