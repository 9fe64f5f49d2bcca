// What Chromium makes of a stream on a bad link. As root (network namespaces, TUN), after `cargo build --release`:
//   node run.mjs loss  [--loss 5] [--delay 50] [--jitter 0] [--repeat 3] [--seconds 20] [--query '?latency=auto'] [--chromium]
//              [--interval 2] [--bitrate 1500]   of the clip: seconds between keyframes, kbit/s
//   node run.mjs table [--seconds 20] [--repeat 1] [--at-once 2]     loss × jitter × round trip, as docs/quality.md has it
//   node run.mjs start [--repeat 10] [--loss 0] [--round-trips 0,20,100,250]  first pictures, for keyframe intervals 1, 2, 4, 10 s
//   node run.mjs fall  [--repeat 1] [--delay 20] [--jitter 0] [--loss 0]  5 Mbit/s, 0.7 for 20 s, 5 again; three layers,
//                 synthetic ones, also as OBS sends them (--deaf), or Chromium's (--chromium)
//   node run.mjs drift [--minutes 15] [--loss 2] [--bitrate 1500]  whether the picture falls behind over time
//   node run.mjs thin  [--rate 500] [--bitrate 1500]  a link too thin for the only layer there is
//   node run.mjs ten   [--rates 200,350,…] [--bitrate 1700] [--deaf] [--chromium]  different links, three layers, all at once
import { parseArgs } from 'node:util';
import { clip, Link, Stage } from './stage.mjs';
import { drift } from './drift.mjs';
import { fallAndRecovery } from './fall.mjs';
import { different, thin } from './narrow.mjs';
import { join, watch } from './watch.mjs';

const { positionals: [what = 'loss'], values: options } = parseArgs({
  allowPositionals: true,
  options: {
    loss: { type: 'string', default: '' }, delay: { type: 'string', default: '50' }, jitter: { type: 'string', default: '0' },
    rate: { type: 'string', default: '' }, repeat: { type: 'string', default: '' }, seconds: { type: 'string', default: '20' },
    query: { type: 'string', default: '' }, chromium: { type: 'boolean', default: false }, 'at-once': { type: 'string', default: '2' },
    interval: { type: 'string', default: '' }, bitrate: { type: 'string', default: '' },
    minutes: { type: 'string', default: '' }, port: { type: 'string', default: '' }, deaf: { type: 'boolean', default: false }, rates: { type: 'string', default: '200,350,500,700,1000,1500,2000,3000,5000,10000' },
    'round-trips': { type: 'string', default: '0,20,100,250' }, intervals: { type: 'string', default: '1,2,4,10' },
    losses: { type: 'string', default: '0,1,5,10' }, jitters: { type: 'string', default: '0,30' }, json: { type: 'boolean', default: false },
  },
});
const number = (name, otherwise) => (options[name] === '' ? otherwise : Number(options[name]));

const brief = ({ video, audio, ...rest }) => JSON.stringify(options.json ? { ...rest, video, audio } : rest);

async function publish(stage, stream, interval = number('interval', 2)) {
  if (options.chromium) return stage.publishByChromium(stream);
  return stage.publish(stream, { clip: await clip({ interval, bitrate: 1000 * number('bitrate', 1500) }) });
}

async function loss() {
  const stage = await Stage.open();
  try {
    await publish(stage, 'live');
    const conditions = { delay: number('delay'), jitter: number('jitter'), loss: number('loss', 5), rate: options.rate };
    const atOnce = number('at-once');
    const links = await Promise.all(Array.from({ length: Math.min(atOnce, number('repeat', 3)) }, (_, id) => Link.open(id, conditions)));
    for (let done = 0; done < number('repeat', 3); done += links.length) {
      const results = await Promise.all(links.map((link) => watch(link, stage, 'live', { query: options.query, seconds: number('seconds') })));
      for (const result of results) console.log(brief(result));
    }
    for (const link of links) await link.close();
  } finally {
    await stage.close();
  }
}

async function table() {
  const stage = await Stage.open();
  const rows = [];
  try {
    await publish(stage, 'live');
    const jobs = [];
    for (const loss of options.losses.split(',').map(Number)) {
      for (const jitter of options.jitters.split(',').map(Number)) {
        for (const trip of options['round-trips'].split(',').map(Number).filter((trip) => trip > 0)) {
          for (let n = 0; n < number('repeat', 1); n++) jobs.push({ loss, jitter, trip });
        }
      }
    }
    const work = async (id) => {
      for (let job = jobs.shift(); job; job = jobs.shift()) {
        // Jitter is spread around the delay, as far as the delay is long enough.
        const delay = Math.max(0, (job.trip - job.jitter) / 2);
        const link = await Link.open(id, { delay, jitter: job.jitter, loss: job.loss });
        try {
          const result = await watch(link, stage, 'live', { query: options.query, seconds: number('seconds') });
          console.error(JSON.stringify(job), brief(result));
          rows.push({ ...job, ...result });
        } catch (error) {
          console.error(JSON.stringify(job), String(error));
        }
        await link.close();
      }
    };
    await Promise.all(Array.from({ length: number('at-once') }, (_, id) => work(id)));
  } finally {
    await stage.close();
  }
  const mean = (list, of) => list.reduce((sum, row) => sum + of(row), 0) / list.length;
  console.log('| loss | jitter | round trip | freezes per minute | frozen ms per minute | frames complete | mean buffer | first picture |');
  console.log('| --- | --- | --- | --- | --- | --- | --- | --- |');
  for (const loss of [...new Set(rows.map((row) => row.loss))].sort((a, b) => a - b)) {
    for (const jitter of [...new Set(rows.map((row) => row.jitter))].sort((a, b) => a - b)) {
      for (const trip of [...new Set(rows.map((row) => row.trip))].sort((a, b) => a - b)) {
        const list = rows.filter((row) => row.loss === loss && row.jitter === jitter && row.trip === trip);
        if (list.length === 0) continue;
        const buffer = list.flatMap((row) => row.buffer.slice(5)).filter((value) => value !== null);
        console.log(`| ${loss} % | ${jitter} ms | ${trip} ms | ${mean(list, (row) => (60 * row.freezes) / row.seconds).toFixed(1)} | ${mean(list, (row) => (60_000 * row.frozen) / row.seconds).toFixed(0)} | ${(100 * mean(list, (row) => row.complete)).toFixed(1)} % | ${(buffer.reduce((a, b) => a + b, 0) / buffer.length).toFixed(0)} ms | ${mean(list, (row) => row.first).toFixed(0)} ms |`);
      }
    }
  }
}

async function start() {
  const stage = await Stage.open();
  const intervals = options.chromium ? ['asked'] : options.intervals.split(',').map(Number);
  console.log('| keyframes each | round trip | loss | first picture: median | p95 | worst |');
  console.log('| --- | --- | --- | --- | --- | --- |');
  try {
    for (const interval of intervals) await publish(stage, `live-${interval}`, options.chromium ? 0 : interval);
    for (const trip of options['round-trips'].split(',').map(Number)) {
      const link = await Link.open(0, { delay: trip / 2, loss: number('loss', 0) });
      for (const interval of intervals) {
        const times = [];
        for (let n = 0; n < number('repeat', 10); n++) {
          const { page, first } = await join(link, stage, `live-${interval}`, { query: options.query });
          times.push(first);
          // Somewhere else between two keyframes each time.
          await page.waitForTimeout(137 + Math.random() * 400);
          await page.close();
        }
        times.sort((a, b) => a - b);
        const at = (share) => times[Math.min(times.length - 1, Math.ceil(share * times.length) - 1)].toFixed(0);
        console.log(`| ${interval}${options.chromium ? '' : ' s'} | ${trip} ms | ${number('loss', 0)} % | ${at(0.5)} ms | ${at(0.95)} ms | ${at(1)} ms |`);
        if (options.json) console.error(times.map(Math.round).join(' '));
      }
      await link.close();
    }
  } finally {
    await stage.close();
  }
}

/** Three layers: from Chromium, or synthetic ones, of a publisher that answers keyframe requests or is as OBS. */
async function publishLayers(stage, stream) {
  if (!options.chromium) return stage.publishLayers(stream, { bitrate: 1000 * number('bitrate', 1700), deaf: options.deaf });
  return stage.publishByChromium(stream, {
    layers: [
      { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 150_000 },
      { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500_000 },
      { rid: 'f', maxBitrate: 2_500_000 },
    ],
  });
}

async function narrow() {
  const stage = await Stage.open();
  try {
    await publish(stage, 'live');
    for (let n = 0; n < number('repeat', 1); n++) console.log(JSON.stringify(await thin(stage, 'live', { rate: number('rate', 500), delay: number('delay', 20) })));
  } finally {
    await stage.close();
  }
}

async function longWatch() {
  const stage = await Stage.open({ port: number('port', 18580) });
  try {
    await publish(stage, 'live');
    const link = await Link.open(63, { delay: number('delay'), jitter: number('jitter'), loss: number('loss', 2) });
    await drift(link, stage, 'live', { minutes: number('minutes', 15), told: (line) => console.log(JSON.stringify(line)) });
    await link.close();
  } finally {
    await stage.close();
  }
}

async function ten() {
  const stage = await Stage.open();
  try {
    await publishLayers(stage, 'live');
    for (const row of await different(stage, 'live', { rates: options.rates.split(',').map(Number), delay: number('delay', 20) })) console.log(JSON.stringify(row));
  } finally {
    await stage.close();
  }
}

async function fall() {
  const stage = await Stage.open();
  try {
    await publishLayers(stage, 'live');
    for (let n = 0; n < number('repeat', 1); n++) {
      const link = await Link.open(n, { delay: number('delay', 20), jitter: number('jitter'), loss: number('loss', 0), rate: '5000' });
      console.log(JSON.stringify(await fallAndRecovery(link, stage, 'live', { query: options.query })));
      await link.close();
    }
  } finally {
    await stage.close();
  }
}

await { loss, table, start, fall, thin: narrow, ten, drift: longWatch }[what]();
process.exit(0);
