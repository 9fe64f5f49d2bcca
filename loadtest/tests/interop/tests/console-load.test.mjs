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
const MOST = Number(process.env.SHIBUKI_MOST_MS ?? 50);

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
      layer: { rid: 'f', width: 1280, height: 720 }, target: { rid: 'f', width: 1280, height: 720 }, videoPaused: false,
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

/** Milliseconds of the main thread (script, style, layout, paint) in each of the next seconds. */
async function work(page, seconds) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Performance.enable');
  const spent = async () => {
    const { metrics } = await devtools.send('Performance.getMetrics');
    return 1000 * metrics.find(({ name }) => name === 'TaskDuration').value;
  };
  const each = [];
  let before = await spent();
  for (let second = 0; second < seconds; second++) {
    await pause(1000);
    const now = await spent();
    each.push(now - before);
    before = now;
  }
  await devtools.detach();
  return each.sort((a, b) => a - b);
}

const told = (each) => `median ${each[each.length >> 1].toFixed(1)} ms, worst ${each.at(-1).toFixed(1)} ms`;

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
  await page.getByRole('row').nth(90).waitFor({ timeout: 60_000 });
  // 104 rows: 100 viewers of 999, three layers, two headings.
  assert.equal(await page.getByRole('table').last().getByRole('row').count(), 101);
  await page.getByText('And 899 more, who fare better.').waitFor();
  await pause(2000);
  const stream = await work(page, 12);
  t.diagnostic(`the page's work in a second: overview ${told(calm)}; with 20 joins and leaves ${told(busy)}; a stream with 999 viewers ${told(stream)}`);
  for (const each of [calm, busy, stream]) assert.ok(each[each.length >> 1] < MOST, `${told(each)}, at most ${MOST} ms wanted`);
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
    await tab.page.getByRole('row').nth(90).waitFor({ timeout: 60_000 });
    const page = await work(tab.page, 10);
    t.diagnostic(`${VIEWERS} viewers; the page's work in a second: overview ${told(overview)}; the stream ${told(page)}`);
    t.diagnostic(`from the request to the first event: statistics ${told(await first('statistics'))}; sessions ${told(await first('sessions'))}`);
    await tab.close();
  } finally {
    for (const program of crowd) await program.stop();
  }
});
