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
  let changed = 0;
  // Several looks: Chromium's fake camera shows the same again after a second.
  for (let look = 0; look < 3; look++) {
    await page.call('frames', { id, count: 11, fresh: true });
    const now = await page.call('picture', { id });
    changed = Math.max(changed, first.filter((value, index) => Math.abs(value - now[index]) > 24).length);
  }
  const after = await page.call('stats', { id });
  assert.ok(after.video.framesDecoded >= before.video.framesDecoded + 15,
    `frames decoded went from ${before.video.framesDecoded} to ${after.video.framesDecoded} while 33 were shown`);
  assert.ok(changed >= 10, `${changed} of ${first.length} points changed: the picture stands still`);
  assert.ok(new Set(first).size >= 3, 'the picture is blank');
}

/** Packets arrive and, where the publisher sends a tone, energy with them. */
export async function assertAudioFlows(page, id = 'viewer', { audible = true } = {}) {
  // The entry is there from the first packet on.
  const before = await until(8_000, 'audio to begin', async () => (await page.call('stats', { id })).audio, 100);
  await until(8_000, 'audio to flow', async () => {
    const now = (await page.call('stats', { id })).audio;
    return now.packetsReceived >= before.packetsReceived + 25 && (!audible || now.totalAudioEnergy > before.totalAudioEnergy);
  }, 100);
}

/** Chromium only: Firefox's getStats does not name the SRTP profile. */
export async function assertGcm(page, id = 'viewer') {
  const { transport } = await page.call('stats', { id });
  assert.equal(transport.dtlsState, 'connected');
  assert.equal(transport.srtpCipher, 'SRTP_AEAD_AES_128_GCM');
}
