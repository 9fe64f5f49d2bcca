// Clients from npm that nobody here wrote publish and watch from another origin, in Chromium: keys, CORS, trickle, restart, end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suite } from '../harness/suite.mjs';
import { openTab } from '../harness/tab.mjs';
import { until, within } from '../harness/wait.mjs';

const ADMIN = 'operator';
const it = suite({ serverFlags: ['--keys-publish', 'studio', '--keys-watch', 'sofa', '--keys-admin', ADMIN] });

const PUBLISHERS = ['whip-whep', '@eyevinn/whip-web-client'];
const PLAYERS = ['whip-whep', '@eyevinn/webrtc-player'];

async function open() {
  const tab = await openTab(it, `${it.pages.url}players.html`);
  const call = (name, argument = {}) => within(15_000, `${name}(${JSON.stringify(argument)})`,
    tab.page.evaluate(([name, argument]) => window.players[name](argument), [name, argument]), () => tab.complaints.join('\n'));
  return { ...tab, call };
}

const sessions = async (stream) => {
  const answer = await fetch(`${it.server.url}/api/v1/sessions?stream=${stream}`, { headers: { Authorization: `Bearer ${ADMIN}` } });
  return (await answer.json()).sessions;
};

/** Frames and sound are decoded, and go on to be. */
async function flows(tab, id) {
  const before = await until(15_000, `${id} to decode`, async () => {
    const now = await tab.call('decoded', { id });
    return now.frames > 10 && now;
  });
  await until(10_000, `${id} to go on`, async () => {
    const now = await tab.call('decoded', { id });
    return now.frames > before.frames + 15 && now.samples > before.samples && now.shown > before.shown;
  });
}

for (const client of PUBLISHERS) {
  test(`${client} publishes, ${PLAYERS.join(' and ')} watch, and each ends its session`, { timeout: 90_000 }, async (t) => {
    const stream = it.stream('theirs');
    const publisher = await open();
    await publisher.call('publish', { id: 'publisher', client, url: it.server.whip(stream), token: 'studio' });
    await until(10_000, 'it to connect', async () => (await publisher.call('state', { id: 'publisher' })) === 'connected');
    for (const player of PLAYERS) {
      const tab = await open();
      await tab.call('watch', { id: player, client: player, url: it.server.whep(stream), token: 'sofa' });
      await flows(tab, player);
      const seen = (await sessions(stream)).find(({ role }) => role === 'viewer');
      await tab.call('stop', { id: player });
      await until(5_000, `the server to have forgotten ${player}`, async () => !(await sessions(stream)).some(({ id }) => id === seen.id));
      const requests = await tab.call('requests');
      t.diagnostic(`${player}: ${requests.map(({ method, status }) => `${method} ${status}`).join(', ')}`);
      // Our DELETE may come after the close of DTLS has ended the session.
      assert.ok(requests.every(({ method, status }) => status < 300 || (method === 'DELETE' && status === 404)), JSON.stringify(requests));
      assert.deepEqual(tab.complaints.filter((text) => !text.includes('404')), []);
      await tab.close();
    }
    await publisher.call('stop', { id: 'publisher' });
    await until(5_000, 'the server to have forgotten the publisher', async () => (await sessions(stream)).length === 0);
    const requests = await publisher.call('requests');
    t.diagnostic(`${client}: ${requests.map(({ method, status }) => `${method} ${status}`).join(', ')}`);
    assert.ok(requests.every(({ method, status }) => status < 300 || (method === 'DELETE' && status === 404)), JSON.stringify(requests));
    assert.ok(requests.some(({ method }) => method === 'PATCH'), `${client} trickles: ${JSON.stringify(requests)}`);
    assert.deepEqual(publisher.complaints.filter((text) => !text.includes('404')), []);
    await publisher.close();
  });
}

test('whip-whep restarts ICE on both sides and chooses a layer', { timeout: 60_000 }, async () => {
  const stream = it.stream('restarted');
  const tab = await open();
  await tab.call('publish', { id: 'publisher', client: 'whip-whep', url: it.server.whip(stream), token: 'studio' });
  await tab.call('watch', { id: 'viewer', client: 'whip-whep', url: it.server.whep(stream), token: 'sofa' });
  await flows(tab, 'viewer');
  for (const id of ['publisher', 'viewer']) {
    const before = await tab.call('userFragment', { id });
    await tab.call('restart', { id });
    await until(5_000, `${id} to have other credentials`, async () => (await tab.call('userFragment', { id })) !== before);
    await flows(tab, 'viewer');
  }
  await tab.call('requests');
  await tab.call('choose', { id: 'viewer', layer: { mediaId: '0', maxTemporalLayerId: 0 } });
  await tab.call('choose', { id: 'viewer' });
  assert.deepEqual((await tab.call('requests')).map(({ method, status }) => [method, status]), [['POST', 200], ['DELETE', 200]]);
  await flows(tab, 'viewer');
  await tab.close();
});

test('a wrong key is an error that each client can read', { timeout: 60_000 }, async () => {
  const stream = it.stream('refused');
  const tab = await open();
  await assert.rejects(tab.call('publish', { id: 'p', client: 'whip-whep', url: it.server.whip(stream), token: 'wrong' }), /401/);
  await assert.rejects(tab.call('watch', { id: 'v', client: 'whip-whep', url: it.server.whep(stream), token: 'wrong' }), /401/);
  await tab.call('watch', { id: 'e', client: '@eyevinn/webrtc-player', url: it.server.whep(stream), token: 'wrong' });
  const refused = (status) => tab.complaints.some((text) => text.includes(`response: ${status}`));
  await until(5_000, 'the player to name the status', async () => refused(401));
  await tab.close();
});
