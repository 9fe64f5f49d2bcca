// How promptly a viewer is at live, judged against a viewer that has been there for long.
import assert from 'node:assert/strict';
import { withEvidence } from './assert-media.mjs';
import { wallClock } from './wait.mjs';

/**
 * Page has a viewer `reference` of a numbered picture. A second one joins `after` frames after a keyframe (the numbers of
 * keyframes are the multiples of `gop`): its first frame must be shown within 500 ms of the POST, and 2 s after the POST it
 * may show what the reference shows, half a second old at most. `length`: after how many frames the numbers begin anew.
 */
export async function assertPromptJoin(t, it, page, stream, { gop, after, length = 65_536, programs = [] }) {
  await page.call('numbered', { id: 'reference', from: after, to: after + 10, modulo: gop, since: wallClock(), ms: (gop / 30) * 1000 + 5_000 });
  await withEvidence(it.server, page, 'joined', async () => {
    // Muted, as a page that plays at once has to be.
    await page.call('watch', { id: 'joined', url: it.server.whep(stream), numbered: true, muted: true });
    const { postedAt } = await page.call('timing', { id: 'joined' });
    await page.call('frames', { id: 'joined', count: 1 });
    // The curve needs frames of both until two seconds and a half after the POST.
    await page.call('numbered', { id: 'reference', from: 0, since: postedAt + 2_500 });
    const joined = await page.call('shown', { id: 'joined' });
    const reference = await page.call('shown', { id: 'reference' });

    const at = (frames, time) => frames.findLast((frame) => frame.at <= time && frame.number !== null)?.number;
    const lag = (time) => {
      const [live, shown] = [at(reference, time), at(joined, time)];
      if (shown === undefined) return null;
      // The shortest way round, for a picture that is played over and over.
      const behind = (((live - shown) % length) + length) % length;
      return behind > length / 2 ? behind - length : behind;
    };
    const curve = Array.from({ length: 25 }, (_, i) => `${(i + 1) * 100}:${lag(postedAt + (i + 1) * 100) ?? '-'}`);
    const first = joined[0].at - postedAt;
    t.diagnostic(`first frame ${Math.round(first)} ms after the POST, ${lag(joined[0].at)} frames behind the reference`);
    t.diagnostic(`frames behind the reference, per ms after the POST: ${curve.join(' ')}`);
    assert.ok(first < 500, `the first frame was shown ${Math.round(first)} ms after the POST`);
    const late = lag(postedAt + 2_000);
    assert.ok(late !== null && Math.abs(late) <= 15, `2 s after the POST the viewer is ${late} frames behind live: ${curve.join(' ')}`);
  }, programs);
}
