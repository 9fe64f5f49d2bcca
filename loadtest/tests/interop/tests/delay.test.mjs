// The delay that the player shows, against the delay that there is: each frame carries its number, and one page knows when
// it painted which number and when it saw it again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suite } from '../harness/suite.mjs';
import { openTab } from '../harness/tab.mjs';

const it = suite();

/** Runs in the page of the player. Publishes a numbered picture, and compares. */
async function compare({ whip, seconds }) {
  const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 360 });
  const context = canvas.getContext('2d', { alpha: false });
  const painted = new Map();
  let number = 0;
  setInterval(() => {
    number += 1;
    context.fillStyle = '#246';
    context.fillRect(0, 40, 640, 320);
    context.fillStyle = '#fff';
    context.fillRect((number * 7) % 600, 80, 40, 200);
    context.fillStyle = '#000';
    context.fillRect(0, 0, 640, 40);
    context.fillStyle = '#fff';
    for (let bit = 0; bit < 16; bit++) if (number >> bit & 1) context.fillRect(bit * 32, 0, 32, 32);
    painted.set(number, performance.now());
  }, 1000 / 30);
  const stream = canvas.captureStream(30);
  const pc = new RTCPeerConnection();
  const transceiver = pc.addTransceiver(stream.getVideoTracks()[0], { direction: 'sendonly', streams: [stream] });
  const extensions = transceiver.getHeaderExtensionsToNegotiate();
  for (const extension of extensions) if (extension.uri.endsWith('/abs-capture-time')) extension.direction = 'sendrecv';
  transceiver.setHeaderExtensionsToNegotiate(extensions);
  await pc.setLocalDescription();
  const answer = await fetch(whip, { method: 'POST', headers: { 'content-type': 'application/sdp' }, body: pc.localDescription.sdp });
  await pc.setRemoteDescription({ type: 'answer', sdp: await answer.text() });

  const player = document.querySelector('shibuki-player');
  const small = Object.assign(document.createElement('canvas'), { width: 40, height: 2 }).getContext('2d', { willReadFrequently: true });
  const truth = [];
  const shown = [];
  player.video.requestVideoFrameCallback(function look(_now, { expectedDisplayTime }) {
    small.drawImage(player.video, 0, 0, 640, 32, 0, 0, 40, 2);
    const { data } = small.getImageData(0, 1, 40, 1);
    let seen = 0;
    for (let bit = 0; bit < 16; bit++) if (data[bit * 8] > 128) seen |= 1 << bit;
    if (painted.has(seen)) truth.push(expectedDisplayTime - painted.get(seen));
    player.video.requestVideoFrameCallback(look);
  });
  // Both sides settle: the first sender reports, the jitter buffer.
  const settled = performance.now() + 5_000;
  await new Promise((resolve) => {
    player.addEventListener('stats', ({ detail }) => {
      if (performance.now() < settled) truth.length = 0;
      else if (detail.latency) shown.push(detail.latency);
      if (performance.now() > settled + 1000 * seconds) resolve();
    });
  });
  const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
  return { frames: truth.length, truth: median(truth), shown: median(shown.map(({ ms }) => ms)), kinds: [...new Set(shown.map(({ kind }) => kind))] };
}

test('the delay shown is the delay there is, where frames carry their capture time', { timeout: 60_000 }, async (t) => {
  const stream = it.stream('delay');
  const tab = await openTab(it, `/wall?streams=${stream}`);
  await tab.page.waitForSelector('shibuki-player');
  const result = await tab.page.evaluate(compare, { whip: it.server.whip(stream), seconds: 6 });
  t.diagnostic(JSON.stringify(result));
  assert.ok(result.frames > 60, `${result.frames} frames were recognised`);
  assert.deepEqual(result.kinds, ['exact']);
  assert.ok(Math.abs(result.shown - result.truth) < 40, `shown ${result.shown} ms, true ${result.truth} ms`);
  await tab.close();
});
