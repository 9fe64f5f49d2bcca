// A server, a publisher and viewers behind bad links; everything that was started ends with `close`.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const root = here('../../..');
const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');
const binary = (name, variable) => process.env[variable] ?? join(target, 'release', name);

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream', '--autoplay-policy=no-user-gesture-required',
  '--disable-background-timer-throttling', '--disable-renderer-backgrounding', '--disable-backgrounding-occluded-windows',
];

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const children = new Set();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));

function start(command, args, options = {}) {
  const child = spawn('nice', ['-n', '-10', command, ...args], { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  children.add(child);
  child.output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { child.output = (child.output + data).slice(-4000); });
  child.once('exit', () => children.delete(child));
  return child;
}

async function stop(child, signal = 'SIGTERM') {
  if (!children.has(child)) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await Promise.race([gone, sleep(3000)]);
}

async function until(ms, what, look) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(50)) {
    const found = await look().catch(() => null);
    if (found) return found;
  }
  throw new Error(`${what}: not within ${ms} ms`);
}

export class Stage {
  static async open({ port = 18580, args = [] } = {}) {
    const stage = new Stage();
    stage.port = port;
    stage.server = start(binary('shibuki', 'SERVER'), ['--http', `0.0.0.0:${port}`, '--media-port', `${port}`, '--log', process.env.LOG ?? 'warn', ...args]);
    await until(5000, 'the server', () => fetch(`http://127.0.0.1:${port}/`)).catch((error) => {
      throw new Error(`${error.message}\n${stage.server.output}`);
    });
    return stage;
  }

  #things = [];

  /** Ignores keyframe requests (`deaf`) or encodes what it is asked for. */
  async publish(stream, { clip, deaf = true }) {
    const args = ['publish', '--url', `http://127.0.0.1:${this.port}/whip/${stream}`, '--video-file', clip];
    const child = start(binary('shibuki-loadtest', 'LOADTEST'), deaf ? [...args, '--obs-like'] : args);
    this.#things.push(() => stop(child, 'SIGINT'));
    await until(5000, 'the publisher', async () => child.output.includes('1 of 1 publishers'));
    return { close: () => stop(child, 'SIGINT') };
  }

  /** Three layers of grey VP8 pictures: a tenth, three tenths and all of `bitrate`. Deaf and without RTX, as OBS, or not. */
  async publishLayers(stream, { bitrate = 1_700_000, deaf = false, interval = 2 } = {}) {
    const child = start(binary('shibuki-loadtest', 'LOADTEST'), [
      'publish', '--url', `http://127.0.0.1:${this.port}/whip/${stream}`, '--video', 'vp8', '--simulcast', '--bitrate', `${bitrate}`,
      '--keyframe-interval', `${interval}s`, ...(deaf ? ['--obs-like'] : []),
    ]);
    this.#things.push(() => stop(child, 'SIGINT'));
    await until(5000, 'the publisher', async () => child.output.includes('1 of 1 publishers'));
    await sleep(2500);
  }

  /** Chromium publishes a canvas full of noise: it answers keyframe requests. */
  async publishByChromium(stream, { bitrate = 1_500_000, layers = undefined } = {}) {
    // As many layers as are asked for, however small the picture.
    const args = [...FLAGS, '--force-fieldtrials=WebRTC-LegacySimulcastLayerLimit/Disabled/'];
    const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
    this.#things.push(() => browser.close());
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${this.port}/`);
    await page.evaluate(async ({ stream, encodings }) => {
      const canvas = document.createElement('canvas');
      Object.assign(canvas, { width: 640, height: 360 });
      const paint = canvas.getContext('2d');
      setInterval(() => {
        for (let i = 0; i < 60; i++) {
          paint.fillStyle = `hsl(${Math.random() * 360} 80% 50%)`;
          paint.fillRect(Math.random() * 640, Math.random() * 360, 40, 30);
        }
      }, 33);
      const media = canvas.captureStream(30);
      const sound = await navigator.mediaDevices.getUserMedia({ audio: true });
      media.addTrack(sound.getAudioTracks()[0]);
      const pc = new RTCPeerConnection();
      window.pc = pc;
      for (const track of media.getTracks()) {
        pc.addTransceiver(track, { direction: 'sendonly', streams: [media], sendEncodings: track.kind === 'video' ? encodings : undefined });
      }
      await pc.setLocalDescription();
      const answer = await fetch(`/whip/${stream}`, { method: 'POST', headers: { 'content-type': 'application/sdp' }, body: pc.localDescription.sdp });
      await pc.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
    }, { stream, encodings: layers ?? [{ maxBitrate: bitrate }] });
    await sleep(4000);
    return page;
  }

  async close() {
    for (const end of this.#things.reverse()) await end().catch(() => {});
    await stop(this.server);
  }
}

/** A bad link with a browser behind it. Each needs an `id` of its own, 0 to 63. */
export class Link {
  static async open(id, { delay = 0, jitter = 0, loss = 0, rate = '' } = {}) {
    const link = new Link();
    link.address = `10.98.${id}.1`;
    link.lab = start('python3', [here('netlab.py'), `${id}`, `${delay}`, `${jitter}`, `${loss}`, `${rate}`], { stdio: ['pipe', 'pipe', 'pipe'] });
    await new Promise((resolve, reject) => {
      link.lab.stdout.once('data', resolve);
      link.lab.once('exit', () => reject(new Error(`the link: ${link.lab.output}`)));
    });
    process.env.QUALITY_SPACE = `quality-${id}`;
    link.browser = await chromium.launch({ executablePath: here('chromium-in.sh'), args: FLAGS, env: { ...process.env } });
    return link;
  }

  /** From now on the link carries so many kbit/s, each way. */
  rate(kbits) {
    this.lab.stdin.write(`${kbits}\n`);
  }

  async page() {
    return (await this.browser.newContext()).newPage();
  }

  async close() {
    await this.browser?.close().catch(() => {});
    await stop(this.lab);
  }
}

/** A VP8 clip of moving noise with a keyframe each `interval` seconds: made once, then kept. */
export async function clip({ interval = 2, seconds = 20, bitrate = 1_500_000, width = 640, height = 360 } = {}) {
  const directory = process.env.QUALITY_CLIPS ?? mkdtempSync(join(tmpdir(), 'shibuki-clips-'));
  const path = join(directory, `vp8-${width}x${height}-${bitrate / 1000}k-${interval}s-${seconds}s.ivf`);
  if (!existsSync(path)) {
    const { writeClip } = await import('./clip.mjs');
    const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
    try {
      await writeClip(browser, path, { interval, seconds, bitrate, width, height });
    } finally {
      await browser.close();
    }
  }
  return path;
}
