// A clip encoded by Chromium (WebCodecs), as IVF: no other encoder is needed.
import { writeFileSync } from 'node:fs';

const RATE = 30;

export async function writeClip(browser, path, { interval, seconds, bitrate, width, height }) {
  const page = await browser.newPage();
  // WebCodecs wants a secure context.
  await page.route('http://localhost/', (route) => route.fulfill({ contentType: 'text/html', body: '<html></html>' }));
  await page.goto('http://localhost/');
  const frames = await page.evaluate(async ({ interval, seconds, bitrate, width, height, rate }) => {
    const canvas = new OffscreenCanvas(width, height);
    const paint = canvas.getContext('2d');
    const frames = [];
    const encoder = new VideoEncoder({
      output: (chunk) => {
        const bytes = new Uint8Array(chunk.byteLength);
        chunk.copyTo(bytes);
        let text = '';
        for (const byte of bytes) text += String.fromCharCode(byte);
        frames.push(btoa(text));
      },
      error: (error) => { throw error; },
    });
    encoder.configure({ codec: 'vp8', width, height, bitrate, framerate: rate, latencyMode: 'realtime' });
    for (let n = 0; n < seconds * rate; n++) {
      for (let i = 0; i < 60; i++) {
        paint.fillStyle = `hsl(${Math.random() * 360} 80% 50%)`;
        paint.fillRect(Math.random() * width, Math.random() * height, width / 16, height / 12);
      }
      const frame = new VideoFrame(canvas, { timestamp: Math.round((n * 1e6) / rate) });
      encoder.encode(frame, { keyFrame: n % Math.round(interval * rate) === 0 });
      frame.close();
      while (encoder.encodeQueueSize > 4) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await encoder.flush();
    return frames;
  }, { interval, seconds, bitrate, width, height, rate: RATE });
  await page.close();

  const header = Buffer.alloc(32);
  header.write('DKIF', 0, 'latin1');
  header.writeUInt16LE(32, 6);
  header.write('VP80', 8, 'latin1');
  header.writeUInt16LE(width, 12);
  header.writeUInt16LE(height, 14);
  header.writeUInt32LE(RATE, 16);
  header.writeUInt32LE(1, 20);
  header.writeUInt32LE(frames.length, 24);
  const parts = [header];
  frames.forEach((text, n) => {
    const data = Buffer.from(text, 'base64');
    const head = Buffer.alloc(12);
    head.writeUInt32LE(data.length, 0);
    head.writeUInt32LE(n, 4);
    parts.push(head, data);
  });
  writeFileSync(path, Buffer.concat(parts));
}
