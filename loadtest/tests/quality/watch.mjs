// One viewer: the watch page in Chromium, behind a link, judged by Chromium's own counts.
import { sleep } from './stage.mjs';

/** Keeps the page's peer connection where `counts` finds it, and remembers what changed meanwhile. */
const SPY = () => {
  const Real = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Real {
    constructor(...args) {
      super(...args);
      window.__pc = this;
    }
  };
};

const counts = (page) => page.evaluate(async () => {
  const report = [...(await window.__pc.getStats()).values()];
  const video = report.find((entry) => entry.type === 'inbound-rtp' && entry.kind === 'video') ?? {};
  const audio = report.find((entry) => entry.type === 'inbound-rtp' && entry.kind === 'audio') ?? {};
  const of = (entry, ...names) => Object.fromEntries(names.map((name) => [name, entry[name] ?? 0]));
  return {
    at: performance.now(),
    video: of(video, 'framesReceived', 'framesDecoded', 'framesDropped', 'freezeCount', 'totalFreezesDuration', 'nackCount', 'pliCount',
      'packetsReceived', 'packetsLost', 'retransmittedPacketsReceived', 'retransmittedBytesReceived', 'bytesReceived',
      'jitterBufferDelay', 'jitterBufferEmittedCount', 'jitterBufferMinimumDelay', 'keyFramesDecoded', 'totalProcessingDelay'),
    audio: of(audio, 'packetsReceived', 'packetsLost', 'concealedSamples', 'silentConcealedSamples', 'totalSamplesReceived', 'fecPacketsReceived',
      'jitterBufferDelay', 'jitterBufferEmittedCount', 'nackCount', 'retransmittedPacketsReceived'),
  };
});

/** Opens the page: ms from just before its POST to the first picture. */
export async function join(link, stage, stream, { query = '', ms = 20_000, page = null } = {}) {
  page ??= await link.page();
  await page.addInitScript(SPY);
  await page.goto(`http://${link.address}:${stage.port}/watch/${stream}${query}`);
  await page.waitForFunction(() => window.shibuki?.firstFrameMs != null, null, { timeout: ms });
  return { page, first: await page.evaluate(() => window.shibuki.firstFrameMs) };
}

/** Watches for `seconds` from the first picture on. `fps` is what the publisher sends. */
export async function watch(link, stage, stream, { query = '', seconds = 20, fps = 30 } = {}) {
  const { page, first } = await join(link, stage, stream, { query });
  const before = await counts(page);
  const buffer = [];
  let last = before;
  for (const end = Date.now() + seconds * 1000; Date.now() < end - 100;) {
    await sleep(Math.min(1000, end - Date.now()));
    const now = await counts(page);
    const emitted = now.video.jitterBufferEmittedCount - last.video.jitterBufferEmittedCount;
    buffer.push(emitted ? Math.round((1000 * (now.video.jitterBufferDelay - last.video.jitterBufferDelay)) / emitted) : null);
    last = now;
  }
  const after = last;
  const took = (after.at - before.at) / 1000;
  const video = Object.fromEntries(Object.keys(after.video).map((name) => [name, after.video[name] - before.video[name]]));
  const audio = Object.fromEntries(Object.keys(after.audio).map((name) => [name, after.audio[name] - before.audio[name]]));
  await page.close();
  return {
    first: Math.round(first), seconds: took, freezes: video.freezeCount, frozen: +video.totalFreezesDuration.toFixed(2),
    complete: +(video.framesDecoded / (fps * took)).toFixed(4), plis: video.pliCount, nacks: video.nackCount,
    lost: video.packetsLost, repeated: video.retransmittedPacketsReceived, packets: video.packetsReceived,
    buffer, concealed: +(audio.concealedSamples / Math.max(1, audio.totalSamplesReceived)).toFixed(4), video, audio,
  };
}
