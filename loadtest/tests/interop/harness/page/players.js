// Other people's clients, bundled as a page's script would be. Each gets its key as its own interface wants it.
import { WebRTCPlayer } from '@eyevinn/webrtc-player';
import { WHIPClient as EyevinnWhip } from '@eyevinn/whip-web-client';
import { WHEPClient } from 'whip-whep/whep.js';
import { WHIPClient } from 'whip-whep/whip.js';

const running = new Map();
/** Each request that a client made, with its answer's status. */
const requests = [];
const plain = window.fetch;
window.fetch = async (url, init = {}) => {
  const request = { method: init.method ?? 'GET', path: new URL(url).pathname, status: null };
  requests.push(request);
  const answer = await plain(url, init);
  request.status = answer.status;
  return answer;
};

const camera = () => navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 360, frameRate: 30 } });

function element() {
  return document.body.appendChild(Object.assign(document.createElement('video'), { muted: true, autoplay: true, playsInline: true }));
}

/** whip-whep 1.2.0 joins the candidates of a restart's answer by commas, which is no SDP where there are several. */
function restartable(pc) {
  const plain = pc.setRemoteDescription.bind(pc);
  pc.setRemoteDescription = ({ type, sdp }) => plain({ type, sdp: sdp.replaceAll('\r\n,a=', '\r\na=') });
  return pc;
}

const publishers = {
  async 'whip-whep'(url, token) {
    const pc = restartable(new RTCPeerConnection());
    const media = await camera();
    for (const track of media.getTracks()) pc.addTransceiver(track, { direction: 'sendonly', streams: [media] });
    const client = new WHIPClient();
    await client.publish(pc, url, token);
    return { pc, restart: () => client.restart(), stop: () => client.stop() };
  },

  async '@eyevinn/whip-web-client'(url, token) {
    const client = new EyevinnWhip({ endpoint: url, opts: { authkey: token, iceServers: [] } });
    await client.setIceServersFromEndpoint();
    await client.ingest(await camera());
    return { pc: client.peer, stop: () => client.destroy() };
  },
};

const players = {
  async 'whip-whep'(url, token) {
    const pc = restartable(new RTCPeerConnection());
    const video = element();
    const stream = new MediaStream();
    pc.ontrack = ({ track }) => {
      stream.addTrack(track);
      video.srcObject = stream;
    };
    for (const kind of ['audio', 'video']) pc.addTransceiver(kind, { direction: 'recvonly' });
    const client = new WHEPClient();
    await client.view(pc, url, token);
    return {
      pc, video, restart: () => client.restart(), stop: () => client.stop(),
      choose: (layer) => (layer ? client.selectLayer(layer) : client.unselectLayer()),
    };
  },

  async '@eyevinn/webrtc-player'(url, token) {
    const video = element();
    const player = new WebRTCPlayer({ video, type: 'whep', iceServers: [] });
    await player.load(new URL(url), token);
    return { get pc() { return player.peer; }, video, stop: () => player.unload() };
  },
};

window.players = {
  requests: () => requests.splice(0),

  async publish({ id, client, url, token }) {
    running.set(id, await publishers[client](url, token));
  },

  async watch({ id, client, url, token }) {
    running.set(id, await players[client](url, token));
  },

  state: ({ id }) => running.get(id).pc.connectionState,

  /** Frames and sound decoded so far. */
  async decoded({ id }) {
    const report = [...(await running.get(id).pc.getStats()).values()];
    const of = (kind) => report.find((entry) => entry.type === 'inbound-rtp' && entry.kind === kind);
    return { frames: of('video')?.framesDecoded ?? 0, samples: of('audio')?.totalSamplesReceived ?? 0, shown: running.get(id).video.currentTime };
  },

  userFragment: ({ id }) => /a=ice-ufrag:(\S+)/.exec(running.get(id).pc.remoteDescription.sdp)[1],
  restart: ({ id }) => running.get(id).restart(),
  choose: ({ id, layer }) => running.get(id).choose(layer),
  stop: ({ id }) => running.get(id).stop(),
};
