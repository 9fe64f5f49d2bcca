// Whether a viewer falls behind over time: pictures' time on the screen against their time in the stream.
import { sleep } from './stage.mjs';
import { join } from './watch.mjs';

/** Each picture's time on the screen less its RTP time, ms, as long as the page lives. */
const FOLLOW = () => {
  const all = (root) => [...root.querySelectorAll('*')].flatMap((element) => [element, ...(element.shadowRoot ? all(element.shadowRoot) : [])]);
  const video = all(document).find((element) => element instanceof HTMLVideoElement);
  window.__behind = [];
  const look = (_, { presentationTime, rtpTimestamp }) => {
    if (rtpTimestamp !== undefined) window.__behind.push(presentationTime - rtpTimestamp / 90);
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
};

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];

/**
 * One line for each `every` seconds: how much further behind the stream the pictures are shown than in the first of the
 * session, and what the jitter buffer held. A machine that stood still in between, or another session, begins anew.
 */
export async function drift(link, stage, stream, { minutes, every = 30, told }) {
  const { page } = await join(link, stage, stream, { ms: 60_000 });
  await sleep(10_000);
  await page.evaluate(FOLLOW);
  let base = null;
  let before = null;
  let since = 0;
  for (const end = Date.now() + minutes * 60_000; Date.now() < end;) {
    const slept = Date.now();
    await sleep(every * 1000);
    const late = Date.now() - slept - every * 1000;
    const [behind, video] = await page.evaluate(async () => {
      const report = [...(await window.__pc.getStats()).values()];
      const { jitterBufferDelay, jitterBufferEmittedCount, freezeCount, packetsLost } = report.find((entry) => entry.type === 'inbound-rtp' && entry.kind === 'video');
      return [window.__behind.splice(0), { jitterBufferDelay, jitterBufferEmittedCount, freezeCount, packetsLost }];
    });
    const shown = median(behind);
    const stood = late > 1000;
    if (base === null || stood || Math.abs(shown - base) > 5000) [base, since, before] = [shown, Date.now(), null];
    const emitted = before && video.jitterBufferEmittedCount - before.jitterBufferEmittedCount;
    const buffer = emitted > 0 ? Math.round((1000 * (video.jitterBufferDelay - before.jitterBufferDelay)) / emitted) : null;
    told({ minute: +((Date.now() - since) / 60_000).toFixed(1), behind: Math.round(shown - base), buffer, freezes: video.freezeCount, lost: video.packetsLost, ...(stood ? { stood: Math.round(late / 1000) } : {}) });
    before = video;
  }
  await page.close();
}
