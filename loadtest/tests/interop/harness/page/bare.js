// The least that publishes by WHIP and watches by WHEP: no library, nothing of the product's own pages.
// Runs in Chromium and Firefox. All times are performance.now(); `origin` makes them comparable across pages.
'use strict';

const peers = new Map();
const wall = () => performance.timeOrigin + performance.now();

/** A wait for a condition that is looked at whenever something happens to the peer, and each 20 ms besides. */
function until(ms, what, probe) {
  return new Promise((resolve, reject) => {
    const deadline = performance.now() + ms;
    const look = async () => {
      try {
        const found = await probe();
        if (found) return resolve(found);
        if (performance.now() > deadline) return reject(new Error(`${what}: not within ${ms} ms`));
        setTimeout(look, 20);
      } catch (error) {
        reject(error);
      }
    };
    look();
  });
}

async function post(url, peer, { token } = {}) {
  const headers = { 'Content-Type': 'application/sdp', ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  peer.postedAt = wall();
  const answer = await fetch(url, { method: 'POST', headers, body: peer.pc.localDescription.sdp });
  const body = await answer.text();
  peer.answeredAt = wall();
  peer.status = answer.status;
  peer.answer = body;
  if (answer.status !== 201) throw new Error(`POST ${url}: ${answer.status} ${body}`);
  peer.location = new URL(answer.headers.get('Location'), url).href;
  peer.etag = answer.headers.get('ETag');
  await peer.pc.setRemoteDescription({ type: 'answer', sdp: body });
}

function remember(id, peer) {
  peers.set(id, peer);
  peer.states = [];
  peer.pc.onconnectionstatechange = () => peer.states.push({ at: wall(), state: peer.pc.connectionState });
}

// The publisher's picture carries its number (see harness/media.mjs): a row of 18 squares of 32 × 32 at the top left
// of 640 × 360; the first is white, the last black, between them 16 bits, the highest first.
function readNumber(context, video) {
  context.drawImage(video, 0, 0, 576 * video.videoWidth / 640, 32 * video.videoHeight / 360, 0, 0, 36, 2);
  const { data } = context.getImageData(0, 0, 36, 2);
  const bright = (square) => (data[square * 8] + data[square * 8 + 4] + data[144 + square * 8] + data[148 + square * 8]) / 4;
  if (bright(0) < 150 || bright(17) > 100) return null;
  let number = 0;
  for (let square = 1; square <= 16; square++) number = number * 2 + (bright(square) > 125 ? 1 : 0);
  return number;
}

// The pattern below the number: four quadrants, each of a colour of its own that no decoder's mistake looks like.
const QUADRANTS = [[200, 50, 50], [60, 80, 210], [215, 190, 60], [130, 130, 130]];

/** Paints the number and the quadrants thirty times a second; noise in the middle keeps an encoder busy. */
function patternTrack() {
  // From 960 × 540 on Chromium sends three layers; divisible by 32 at a quarter of the size.
  const canvas = Object.assign(document.createElement('canvas'), { width: 1024, height: 576 });
  const context = canvas.getContext('2d', { alpha: false });
  context.scale(1.6, 1.6);
  let number = 0;
  setInterval(() => {
    for (const [index, colour] of QUADRANTS.entries()) {
      context.fillStyle = `rgb(${colour})`;
      context.fillRect((index % 2) * 320, 40 + Math.floor(index / 2) * 160, 320, 160);
    }
    for (let spot = 0; spot < 24; spot++) {
      context.fillStyle = `hsl(${Math.random() * 360} 70% 50%)`;
      context.fillRect(250 + Math.random() * 120, 60 + Math.random() * 260, 20, 20);
    }
    context.fillStyle = '#000';
    context.fillRect(0, 0, 640, 40);
    context.fillStyle = '#fff';
    context.fillRect(0, 0, 32, 32);
    for (let bit = 0; bit < 16; bit++) if (number >> bit & 1) context.fillRect((16 - bit) * 32, 0, 32, 32);
    number = (number + 1) % 65536;
  }, 1000 / 30);
  return canvas.captureStream(30).getVideoTracks()[0];
}

/** How far the quadrants' colours are from what was painted, at most. */
function patternError(context, video) {
  context.drawImage(video, 0, 0, 64, 36);
  const { data } = context.getImageData(0, 0, 64, 36);
  let worst = 0;
  for (const [index, colour] of QUADRANTS.entries()) {
    const [left, top] = [(index % 2) * 32, 4 + Math.floor(index / 2) * 16];
    // Away from the noise, which is in the middle.
    for (const [dx, dy] of index % 2 ? [[14, 4], [20, 12], [27, 8]] : [[5, 4], [12, 12], [18, 8]]) {
      const at = ((top + dy) * 64 + left + dx) * 4;
      for (let channel = 0; channel < 3; channel++) worst = Math.max(worst, Math.abs(data[at + channel] - colour[channel]));
    }
  }
  return worst;
}

function recordFrames(peer) {
  const canvas = Object.assign(document.createElement('canvas'), { width: 36, height: 2 });
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const picture = Object.assign(document.createElement('canvas'), { width: 64, height: 36 });
  const pattern = picture.getContext('2d', { willReadFrequently: true });
  const record = (_now, about) => {
    const error = peer.patterned ? patternError(pattern, peer.video) : 0;
    peer.frames.push({
      ...(peer.patterned ? { error } : {}),
      ...(error > 60 ? { evidence: picture.toDataURL() } : {}),
      at: wall(),
      number: peer.numbered ? readNumber(context, peer.video) : null,
      rtp: about.rtpTimestamp,
      width: about.width,
    });
    peer.video.requestVideoFrameCallback(record);
  };
  peer.video.requestVideoFrameCallback(record);
}

/** Keeps a copy of every picture before it is decoded, as the packets' payloads put together. */
function recordEncoded(peer, receiver) {
  const code = `onrtctransform = ({ transformer: { readable, writable } }) => readable.pipeThrough(new TransformStream({
    transform(frame, controller) { postMessage(frame.data.slice(0)); controller.enqueue(frame); },
  })).pipeTo(writable);`;
  const worker = new Worker(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })));
  peer.encoded = [];
  worker.onmessage = ({ data }) => peer.encoded.push(new Uint8Array(data));
  receiver.transform = new RTCRtpScriptTransform(worker, {});
}

/** A bar that wanders. */
function paintedTrack() {
  const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 360 });
  const context = canvas.getContext('2d');
  let step = 0;
  setInterval(() => {
    context.fillStyle = '#048';
    context.fillRect(0, 0, 640, 360);
    context.fillStyle = '#fc4';
    context.fillRect((step * 7) % 600, 40, 40, 280);
    context.fillStyle = '#fff';
    context.fillRect(0, (step * 5) % 340, 640, 20);
    step++;
  }, 33);
  return canvas.captureStream(30).getVideoTracks()[0];
}

window.bare = {
  /**
   * Publishes the browser's fake camera and microphone. `codec` as in a=rtpmap: VP8, H264, …
   * `painted`: a picture of our own instead; Firefox's fake camera shows a plain colour. `patterned`: one whose every
   * frame can be checked. `encodings`: of simulcast or SVC, as RTCRtpTransceiverInit has them.
   */
  async publish({ id = 'publisher', url, codec, token, audio = true, video = true, painted = false, patterned = false, encodings }) {
    const camera = video && !painted && !patterned;
    const media = audio || camera
      ? await navigator.mediaDevices.getUserMedia({ audio, video: camera && { width: 640, height: 360, frameRate: 30 } })
      : new MediaStream();
    if (painted) media.addTrack(paintedTrack());
    if (patterned) media.addTrack(patternTrack());
    const pc = new RTCPeerConnection();
    const peer = { pc, media };
    remember(id, peer);
    for (const track of media.getTracks()) {
      const layers = track.kind === 'video' && encodings ? { sendEncodings: encodings } : {};
      const transceiver = pc.addTransceiver(track, { direction: 'sendonly', streams: [media], ...layers });
      if (track.kind === 'video' && codec) {
        const wanted = RTCRtpSender.getCapabilities('video').codecs
          .filter(({ mimeType }) => [`video/${codec}`, 'video/rtx'].some((name) => name.toLowerCase() === mimeType.toLowerCase()));
        transceiver.setCodecPreferences(wanted);
      }
    }
    await pc.setLocalDescription();
    await post(url, peer, { token });
    return { status: peer.status, location: peer.location, answer: peer.answer };
  },

  /** Watches. `descriptor`: takes AV1's dependency descriptor, which Chromium does where it is told to. `numbered` where the picture carries its number. Audio has no energy in getStats while it is muted. */
  async watch({ id = 'viewer', url, token, numbered = false, patterned = false, recorded = false, descriptor = false, muted = false, audio = true, video = true }) {
    const pc = new RTCPeerConnection();
    const element = Object.assign(document.createElement('video'), { muted, autoplay: true, playsInline: true });
    document.body.append(element);
    const peer = { pc, video: element, frames: [], numbered, patterned };
    remember(id, peer);
    const stream = new MediaStream();
    pc.ontrack = ({ track }) => {
      stream.addTrack(track);
      element.srcObject = stream;
    };
    if (video) {
      const transceiver = pc.addTransceiver('video', { direction: 'recvonly' });
      if (recorded) recordEncoded(peer, transceiver.receiver);
      if (descriptor) {
        const extensions = transceiver.getHeaderExtensionsToNegotiate();
        for (const extension of extensions) if (/dependency-descriptor/.test(extension.uri)) extension.direction = 'sendrecv';
        transceiver.setHeaderExtensionsToNegotiate(extensions);
      }
    }
    if (audio) pc.addTransceiver('audio', { direction: 'recvonly' });
    recordFrames(peer);
    await pc.setLocalDescription();
    await post(url, peer, { token });
    return { status: peer.status, location: peer.location, answer: peer.answer };
  },

  async connected({ id, ms = 5_000 }) {
    const { pc } = peers.get(id);
    await until(ms, `${id} to connect (is ${pc.connectionState})`, () => pc.connectionState === 'connected');
    return true;
  },

  /** Waits until `count` frames were shown after now (or in all). Gives the times and numbers of those. */
  async frames({ id = 'viewer', count = 1, fresh = false, ms = 10_000 }) {
    const peer = peers.get(id);
    const from = fresh ? peer.frames.length : 0;
    await until(ms, `${count} frames (${peer.frames.length - from} shown, ${peer.pc.connectionState})`,
      () => peer.frames.length - from >= count).catch((error) => {
        throw new Error(`${error.message}; ${peer.frames.length - from} shown in the end, ${peer.pc.connectionState}`);
      });
    return peer.frames.slice(from, from + count);
  },

  /** Waits for the first shown frame that is numbered `from` … `to`, modulo `modulo` where given. Gives it. */
  numbered({ id = 'viewer', from, to = 65535, modulo = 65536, since = 0, ms = 15_000 }) {
    const peer = peers.get(id);
    const fits = ({ at, number }) => at >= since && number !== null && number % modulo >= from && number % modulo <= to;
    return until(ms, `a frame numbered ${from}–${to}`, () => peer.frames.find(fits)).catch((error) => {
      const last = peer.frames.at(-1);
      throw new Error(`${error.message}; last was ${JSON.stringify(last)} at ${wall()}, ${peer.pc.connectionState}`);
    });
  },

  timing({ id = 'viewer' }) {
    const { postedAt, answeredAt, states, frames } = peers.get(id);
    return { postedAt, answeredAt, states, firstFrameAt: frames?.[0]?.at, frames: frames?.length };
  },

  shown: ({ id = 'viewer' }) => peers.get(id).frames,

  /** The picture as it is now: 160 × 90 grey values. */
  picture({ id = 'viewer' }) {
    const canvas = Object.assign(document.createElement('canvas'), { width: 160, height: 90 });
    const context = canvas.getContext('2d');
    context.drawImage(peers.get(id).video, 0, 0, 160, 90);
    const { data } = context.getImageData(0, 0, 160, 90);
    return Array.from({ length: 160 * 90 }, (_, i) => Math.round((data[i * 4] + data[i * 4 + 1] + data[i * 4 + 2]) / 3));
  },

  /** Chooses a layer by the WHEP layer extension; gives the status. */
  async choose({ id = 'viewer', ...wish }) {
    const url = `${peers.get(id).location}/layer`;
    const headers = { 'Content-Type': 'application/json' };
    const at = wall();
    const { status } = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ mediaId: '0', ...wish }) });
    return { status, at };
  },

  /** Waits for the first frame of this width that is shown after `since`. */
  sized({ id = 'viewer', width, since, ms = 5_000 }) {
    const peer = peers.get(id);
    return until(ms, `a frame ${width} wide`, () => peer.frames.find((frame) => frame.at >= since && frame.width === width))
      .catch((error) => { throw new Error(`${error.message}; last was ${JSON.stringify(peer.frames.at(-1))}`); });
  },

  /** Every picture that came to a viewer that watches `recorded`, still encoded, each in base64. */
  recorded({ id = 'viewer' }) {
    const text = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
    return peers.get(id).encoded.map((bytes) => btoa(text(bytes)));
  },

  /** What the publisher has encoded: an object by rid. */
  async encoded({ id = 'publisher' }) {
    const report = await peers.get(id).pc.getStats();
    const layers = [...report.values()].filter(({ type, kind }) => type === 'outbound-rtp' && kind === 'video');
    return Object.fromEntries(layers.map((entry) => [entry.rid ?? '', entry]));
  },

  /** What getStats says, one object per interest. */
  async stats({ id = 'viewer' }) {
    const stats = { video: null, audio: null, transport: null, outboundVideo: null };
    const report = await peers.get(id).pc.getStats();
    for (const entry of report.values()) {
      const copy = { ...entry };
      if (entry.codecId) copy.codec = report.get(entry.codecId)?.mimeType;
      if (entry.type === 'inbound-rtp') stats[entry.kind] = copy;
      else if (entry.type === 'outbound-rtp' && entry.kind === 'video') stats.outboundVideo = copy;
      else if (entry.type === 'transport') stats.transport = copy;
    }
    stats.connectionState = peers.get(id).pc.connectionState;
    return stats;
  },

  /** ICE restart by PATCH (RFC 9725, 4.3.3). Gives the status, both ETags and both local user fragments. */
  async restart({ id = 'viewer' }) {
    const peer = peers.get(id);
    const fragment = () => /a=ice-ufrag:(.*)/.exec(peer.pc.localDescription.sdp)[1].trim();
    const before = { etag: peer.etag, ufrag: fragment() };
    peer.pc.restartIce();
    await peer.pc.setLocalDescription();
    const lines = peer.pc.localDescription.sdp.split('\r\n');
    const first = (start) => lines.find((line) => line.startsWith(start));
    const body = ['a=ice-ufrag:', 'a=ice-pwd:', 'm=', 'a=mid:'].map((start) => `${first(start)}\r\n`).join('');
    const answer = await fetch(peer.location, {
      method: 'PATCH',
      headers: { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': before.etag },
      body,
    });
    const text = await answer.text();
    if (answer.status !== 200) throw new Error(`PATCH: ${answer.status} ${text}`);
    peer.etag = answer.headers.get('ETag');
    const given = (name) => new RegExp(`a=${name}:(.*)`).exec(text)[1].trim();
    let sdp = peer.answer;
    for (const name of ['ice-ufrag', 'ice-pwd']) sdp = sdp.replace(new RegExp(`a=${name}:.*`, 'g'), `a=${name}:${given(name)}`);
    await peer.pc.setRemoteDescription({ type: 'answer', sdp });
    return { status: answer.status, before, after: { etag: peer.etag, ufrag: fragment() }, at: wall() };
  },

  state: ({ id = 'viewer' }) => peers.get(id).pc.connectionState,

  async leave({ id = 'viewer' }) {
    const peer = peers.get(id);
    peers.delete(id);
    // Before close(): DTLS close_notify would end the session by itself.
    const { status } = await fetch(peer.location, { method: 'DELETE' });
    peer.pc.close();
    peer.media?.getTracks().forEach((track) => track.stop());
    peer.video?.remove();
    return status;
  },
};
