// What "a moving picture" and "audio flows" mean, said once.
import assert from 'node:assert/strict';
import { until } from './wait.mjs';

/** Ends a failing test with the evidence at hand: the viewer's getStats, the log of the server and of other `programs`. */
export async function withEvidence(server, page, id, body, programs = []) {
  try {
    return await body();
  } catch (error) {
    const stats = await page.call('stats', { id }).catch((cause) => String(cause));
    let evidence = `--- getStats of ${id}\n${JSON.stringify(stats, null, 1)}\n--- server\n${server.tail()}`;
    for (const program of programs) evidence += `\n--- ${program.name}\n${program.tail(60)}`;
    throw new Error(`${error.message}\n${evidence}`, { cause: error });
  }
}

/** Frames are decoded and go on being decoded, and the picture differs from what it was. */
export async function assertMovingPicture(page, id = 'viewer') {
  const before = await page.call('stats', { id });
  const first = await page.call('picture', { id });
  await page.call('frames', { id, count: 30, fresh: true });
  const after = await page.call('stats', { id });
  const second = await page.call('picture', { id });
  assert.ok(after.video.framesDecoded >= before.video.framesDecoded + 15,
    `frames decoded went from ${before.video.framesDecoded} to ${after.video.framesDecoded} while 30 were shown`);
  const changed = first.filter((value, index) => Math.abs(value - second[index]) > 24).length;
  assert.ok(changed >= 5, `${changed} of ${first.length} points changed: the picture stands still`);
  assert.ok(new Set(second).size >= 3, 'the picture is blank');
}

/** Packets arrive and, where the publisher sends a tone, energy with them. */
export async function assertAudioFlows(page, id = 'viewer', { audible = true } = {}) {
  const before = (await page.call('stats', { id })).audio;
  assert.ok(before, 'the viewer has an audio track');
  await until(8_000, 'audio to flow', async () => {
    const now = (await page.call('stats', { id })).audio;
    return now.packetsReceived >= before.packetsReceived + 25 && (!audible || now.totalAudioEnergy > before.totalAudioEnergy);
  }, 100);
}

/** Chromium only: Firefox's getStats does not name the SRTP profile. */
export async function assertGcm(page, id = 'viewer') {
  const { transport } = await page.call('stats', { id });
  assert.equal(transport.dtlsState, 'connected');
  assert.equal(transport.srtpCipher, 'AEAD_AES_128_GCM');
}
