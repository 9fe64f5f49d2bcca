// The console with a thousand sessions: what an update costs the page, and the server. With an event feed made here, so that
// an hour of history is there at once; with SHIBUKI_VIEWERS=1000 also with as many viewers of the load test (needs its
// release build, and a machine that carries them).
import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { Program } from '../harness/process.mjs';
import { REPOSITORY } from '../harness/server.mjs';
import { suite } from '../harness/suite.mjs';
import { openTab } from '../harness/tab.mjs';
import { pause, until } from '../harness/wait.mjs';

const it = suite();
const STREAMS = 50;
const VIEWERS_EACH = 19;
/** Milliseconds of the page's main thread for one update, at most: a machine that does other things besides may take longer. */
const MOST = Number(process.env.SHIBUKI_MOST_MS ?? 40);

const publisher = (bitrate) => ({
  bitrate, packets: 1e6, bytes: 1e9, lost: 12, loss: 0.01, retransmitted: 9, nacked: 12, keyframeRequests: 3,
  answersKeyframeRequests: true, roundTripMs: 20,
  layers: ['q', 'h', 'f'].map((rid, i) => ({
    kind: 'video', rid, codec: 'VP8', width: 320 << i, height: 180 << i, bitrate: bitrate / 4, framesPerSecond: 30, packets: 1, bytes: 1,
    lost: 0, keyframeIntervalMs: 2000, keyframeAgeMs: 300,
  })),
});

function statistics(second) {
  const wave = 1 + Math.sin(second / 40);
  const streams = Array.from({ length: STREAMS }, (_, index) => ({
    name: `stream-${index}`, publishing: true, viewers: VIEWERS_EACH, video: { codec: 'VP8' }, audio: { codec: 'opus' },
    since: '2026-01-01T00:00:00Z', muted: { audio: false, video: false }, publisher: publisher(2e6 * wave + index), findings: [],
  }));
  const server = {
    cpuSeconds: second / 3, memoryBytes: 1e8 + second * 1e4, datagramsSent: second * 200_000, viewersBitrate: 2e9 * wave,
    viewersLoss: 0.001 * wave, viewersRoundTripMs: 20 * wave,
  };
  const sessions = STREAMS * (VIEWERS_EACH + 1);
  return { at: new Date(Date.UTC(2026, 0, 2) + 1000 * second).toISOString(), sessions, draining: false, streams, server };
}

function sessionsOf(second, total) {
  const viewer = (index) => ({
    id: String(index).padStart(16, '0'), role: 'viewer', stream: 'stream-0', state: 'connected', current: false,
    createdAt: '2026-01-01T00:00:00Z', worker: 0, srtp: 'AEAD_AES_128_GCM', address: `192.0.2.1:${10_000 + index}`,
    steps: { firstCheckMs: 1, connectedMs: 5, firstPacketMs: 5, firstKeyframeMs: 6 },
    viewer: {
      bitrate: 2e6 + second * 100 + index, packets: second * 200, bytes: 1e6, lost: index, loss: (100 - index) / 1000, jitterMs: second % 7,
      roundTripMs: 20 + (second + index) % 9, nacked: 1, retransmitted: second, keyframeRequests: 1, estimate: 4e6,
      layer: { rid: 'f', width: 1280, height: 720 }, target: { rid: 'f', width: 1280, height: 720 }, videoPaused: false, latency: { ms: 60 + index % 40, kind: 'exact' },
    },
  });
  // Who fares worst changes all the time.
  const order = Array.from({ length: 100 }, (_, index) => (index * 7 + second) % 100);
  return { at: statistics(second).at, total, sessions: order.map(viewer) };
}

/** The server's own pages and API, but for its events: those come from here. */
async function withFeed(t, write) {
  const http = createServer((incoming, outgoing) => {
    const url = new URL(incoming.url, it.server.url);
    if (url.pathname !== '/api/v1/events') {
      const onward = request(url, { method: incoming.method, headers: { ...incoming.headers, host: url.host } }, (answer) => {
        outgoing.writeHead(answer.statusCode, answer.headers);
        answer.pipe(outgoing);
      });
      return incoming.pipe(onward);
    }
    outgoing.writeHead(200, { 'content-type': 'text/event-stream' });
    write((name, data) => outgoing.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`), url.searchParams, outgoing);
  });
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
  t.after(() => (http.closeAllConnections(), http.close()));
  return `http://127.0.0.1:${http.address().port}`;
}

/** Tasks that follow each other within so many milliseconds belong to one update. */
const TOGETHER = 15;

/**
 * Milliseconds of processor time that the page's main thread spends on each update of so many seconds: script, style,
 * layout and paint, by Chromium's own trace. The least first.
 */
async function work(page, seconds) {
  const browser = page.context().browser();
  await browser.startTracing(page, { categories: ['toplevel', 'disabled-by-default-devtools.timeline', '__metadata'] });
  await pause(1000 * seconds);
  const { traceEvents } = JSON.parse(await browser.stopTracing());
  const threads = new Map();
  for (const { name, args, pid, tid } of traceEvents)
    if (name === 'thread_name' && args.name === 'CrRendererMain') threads.set(`${pid} ${tid}`, []);
  // The names of a task in Chromium's versions; where both are there they are the same tasks.
  for (const name of ['RunTask', 'ThreadControllerImpl::RunTask']) {
    const tasks = traceEvents.filter((event) => event.name === name && event.ph === 'X' && event.tdur !== undefined);
    if (tasks.length === 0) continue;
    for (const task of tasks) threads.get(`${task.pid} ${task.tid}`)?.push(task);
    break;
  }
  const spent = (tasks) => tasks.reduce((sum, { tdur }) => sum + tdur, 0);
  const tasks = [...threads.values()].sort((a, b) => spent(b) - spent(a))[0].sort((a, b) => a.ts - b.ts);
  const updates = [];
  let end = Number.NEGATIVE_INFINITY;
  for (const { ts, dur, tdur } of tasks) {
    if (ts - end > 1000 * TOGETHER) updates.push(0);
    updates[updates.length - 1] += tdur / 1000;
    end = ts + dur;
  }
  // Timers that find nothing to do are no updates.
  const real = updates.filter((ms) => ms > 1).sort((a, b) => a - b);
  assert.ok(real.length >= seconds / 2, `${real.length} updates in ${seconds} s, of ${tasks.length} tasks`);
  return real;
}

const told = (each) => `${each.length} of median ${each[each.length >> 1].toFixed(1)} ms, worst ${each.at(-1).toFixed(1)} ms`;

test('a thousand sessions, an hour of history: the page keeps up', { timeout: 180_000 }, async (t) => {
  let live = false;
  const url = await withFeed(t, (tell, query, outgoing) => {
    let second = 0;
    if (query.get('names').includes('statistics')) while (second < 3600) tell('statistics', statistics(second++));
    second = 3600;
    const timer = setInterval(() => {
      if (query.get('names').includes('statistics')) tell('statistics', statistics(second));
      else tell('sessions', sessionsOf(second, 999));
      second++;
      // Viewers come and go: twenty a second.
      for (let turn = 0; live && turn < 20; turn++) {
        const number = second * 100 + turn;
        const event = turn % 2 ? 'viewer-joined' : 'viewer-left';
        tell(event, { number, at: statistics(second).at, event, stream: `stream-${turn}`, session: `${number}`.padStart(16, '0'), viewers: 19, reason: 'closed by the client' });
      }
    }, 1000);
    outgoing.on('close', () => clearInterval(timer));
  });
  const tab = await openTab(it, `${url}/console`);
  const { page } = tab;
  await page.getByText('stream-49').waitFor({ timeout: 60_000 });
  // Pictures are another matter: they play in processes of their own.
  await page.getByLabel('Pictures').uncheck();
  assert.equal(await page.locator('.card').count(), STREAMS);
  await page.getByRole('figure', { name: 'Viewers 950' }).waitFor();
  await pause(2000);
  const calm = await work(page, 12);
  live = true;
  const busy = await work(page, 12);
  await page.goto(`${url}/console#/streams/stream-0`);
  await page.getByText('And 974 more, who fare better.').waitFor({ timeout: 60_000 });
  await pause(2000);
  const stream = await work(page, 12);
  await page.getByRole('button', { name: 'Show 75 of them' }).click();
  await page.getByText('And 899 more, who fare better.').waitFor();
  // With the table's heading.
  assert.equal(await page.getByRole('table').last().getByRole('row').count(), 101);
  // Away from where the button was: a pointer over rows that change is work of its own.
  await page.mouse.move(0, 0);
  await pause(2000);
  const hundred = await work(page, 12);
  t.diagnostic(`the page's updates in 12 s: overview ${told(calm)}; with 20 joins and leaves ${told(busy)}; a stream with 999 viewers ${told(stream)}; with 100 of them in the table ${told(hundred)}`);
  for (const each of [calm, busy, stream, hundred]) assert.ok(each[each.length >> 1] < MOST, `${told(each)}, at most ${MOST} ms wanted`);
  await tab.close();
});

const VIEWERS = Number(process.env.SHIBUKI_VIEWERS ?? 0);
test('as many viewers of the load test', { timeout: 180_000, skip: VIEWERS === 0 && 'SHIBUKI_VIEWERS says how many' }, async (t) => {
  const loadtest = process.env.SHIBUKI_LOADTEST ?? join(REPOSITORY, 'target/release/shibuki-loadtest');
  const stream = it.stream('crowd');
  const crowd = [
    new Program('publish', loadtest, ['publish', '--url', it.server.whip(stream), '--duration', '120s']),
    new Program('watch', loadtest, ['watch', '--url', it.server.whep(stream), '--viewers', String(VIEWERS), '--duration', '120s']),
  ];
  try {
    await until(60_000, `${VIEWERS} viewers`, async () => {
      const answer = await fetch(`${it.server.url}/api/v1/streams/${stream}`);
      return answer.ok && (await answer.json()).viewers >= VIEWERS;
    }, 500);
    const first = async (names) => {
      const times = [];
      for (let round = 0; round < 20; round++) {
        const at = performance.now();
        const answer = await fetch(`${it.server.url}/api/v1/events?names=${names}&stream=${stream}`);
        await answer.body.getReader().read();
        times.push(performance.now() - at);
        await answer.body.cancel().catch(() => {});
      }
      return times.sort((a, b) => a - b);
    };
    const tab = await openTab(it, '/console');
    await tab.page.getByText(stream).first().waitFor({ timeout: 30_000 });
    await tab.page.getByLabel('Pictures').uncheck();
    const overview = await work(tab.page, 10);
    await tab.page.goto(`${it.server.url}/console#/streams/${stream}`);
    await tab.page.getByRole('row').nth(20).waitFor({ timeout: 60_000 });
    const page = await work(tab.page, 10);
    t.diagnostic(`${VIEWERS} viewers; the page's updates in 10 s: overview ${told(overview)}; the stream ${told(page)}`);
    t.diagnostic(`from the request to the first event: statistics ${told(await first('statistics'))}; sessions ${told(await first('sessions'))}`);
    await tab.close();
  } finally {
    for (const program of crowd) await program.stop();
  }
});
