// A link that falls from 5 to 0.7 Mbit/s for 20 s and recovers: which layer Chromium shows when, and what froze.
import { sleep } from './stage.mjs';
import { join } from './watch.mjs';

/** What the viewer has got so far. */
export const look = (page) => page.evaluate(async () => {
  const report = [...(await window.__pc.getStats()).values()];
  const video = report.find((entry) => entry.type === 'inbound-rtp' && entry.kind === 'video') ?? {};
  const audio = report.find((entry) => entry.type === 'inbound-rtp' && entry.kind === 'audio') ?? {};
  return {
    keyframes: video.keyFramesDecoded ?? 0, rate: video.framesPerSecond ?? 0,
    at: performance.now() / 1000, height: video.frameHeight ?? 0, frames: video.framesDecoded ?? 0, freezes: video.freezeCount ?? 0,
    frozen: video.totalFreezesDuration ?? 0, bytes: (video.bytesReceived ?? 0) + (video.headerBytesReceived ?? 0) + (audio.bytesReceived ?? 0),
    packets: video.packetsReceived ?? 0, concealed: audio.concealedSamples ?? 0, samples: audio.totalSamplesReceived ?? 0,
  };
});

/** Seconds are from the change of the rate; `used` is the share of 0.7 Mbit/s from 5 s after the fall on, headers of UDP and IP included. */
export async function fallAndRecovery(link, stage, stream, { query = '' } = {}) {
  const { page, first } = await join(link, stage, stream, { query });
  const samples = [];
  const phase = async (seconds) => {
    const from = samples.length;
    for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(100)) samples.push(await look(page));
    return samples.slice(from);
  };
  const before = await phase(12);
  link.rate(700);
  const low = await phase(20);
  link.rate(5000);
  const after = await phase(15);
  await page.close();
  const top = before.at(-1).height;
  const since = (list, holds) => {
    const found = list.find(holds);
    return found ? +(found.at - list[0].at).toFixed(1) : null;
  };
  const changes = (list) => list.reduce((text, { height, at }) => (text.at(-1)?.[1] === height ? text : [...text, [+(at - list[0].at).toFixed(1), height]]), []);
  const grown = (list, name) => list.at(-1)[name] - list[0][name];
  const steady = low.filter(({ at }) => at > low[0].at + 5);
  const bits = 8 * (grown(steady, 'bytes') + 28 * grown(steady, 'packets') * 1.2);
  return {
    first: Math.round(first), top, onTop: since(before, ({ height }) => height === top),
    lower: since(low, ({ height }) => height < top), back: since(after, ({ height }) => height === top),
    used: +(bits / (steady.at(-1).at - steady[0].at) / 700_000).toFixed(2),
    freezes: [before, low, after].map((list) => grown(list, 'freezes')), frozen: [before, low, after].map((list) => +grown(list, 'frozen').toFixed(2)),
    concealed: +(grown(samples, 'concealed') / Math.max(1, grown(samples, 'samples'))).toFixed(4),
    changes: [before, low, after].map(changes),
  };
}
