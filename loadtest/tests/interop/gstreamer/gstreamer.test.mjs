// GStreamer's whipsink publishes; whepsrc and Chromium watch. After clients/gst-plugins.sh (10 minutes, once).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { assertAudioFlows, assertMovingPicture, withEvidence } from '../harness/assert-media.mjs';
import { Program } from '../harness/process.mjs';
import { suite } from '../harness/suite.mjs';

const it = suite();
const SCRIPT = fileURLToPath(new URL('../clients/gst.sh', import.meta.url));
const SECONDS = 30;

function gst(t, element, url) {
  const program = new Program(element, SCRIPT, [element, url, String(SECONDS)]);
  t.after(() => program.stop());
  return program;
}

/** Buffers went on to arrive: `progressreport` counts them once a second. */
const arrived = (program) => program.line(/progressreport0 \(\d\d:\d\d:\d\d\): ([3-9]\d|\d{3,}) /, 25_000);

for (const element of ['whipsink', 'whipclientsink']) {
  test(`${element} to chromium`, { timeout: 90_000 }, async (t) => {
    const stream = it.stream(element);
    const publisher = gst(t, element, it.server.whip(stream));
    const page = await it.page();
    await withEvidence(it.server, page, 'viewer', async () => {
      await page.call('watch', { url: it.server.whep(stream) });
      await page.call('frames', { count: 5, ms: 20_000 });
      await assertMovingPicture(page);
      await assertAudioFlows(page, 'viewer', { audible: false });
    }, [publisher]);
    await page.page.context().close();
  });
}

for (const element of ['whepsrc', 'whepclientsrc']) {
  test(`whipsink to ${element}`, { timeout: 90_000 }, async (t) => {
    const stream = it.stream(element);
    const publisher = gst(t, 'whipsink', it.server.whip(stream));
    const viewer = gst(t, element, it.server.whep(stream));
    try {
      await arrived(viewer);
    } catch (error) {
      assert.fail(`${error.message}\n${publisher.tail()}\n${it.server.tail()}`);
    }
  });
}
