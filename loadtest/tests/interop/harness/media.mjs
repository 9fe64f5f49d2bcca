// FFmpeg as a publisher, and the numbered picture by which a viewer's page can tell which frame it shows.
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Program } from './process.mjs';
import { OUTPUT } from './server.mjs';
import { within } from './wait.mjs';

const FFMPEG = fileURLToPath(new URL('../clients/ffmpeg.sh', import.meta.url));
export const RATE = 30;

/**
 * The test picture with its number painted in, read back by `readNumber` in page/bare.js: 18 squares of 32 pixels, white,
 * then the frame's number plus `base` in 16 bits, then black. `enable` is evaluated per frame, so this costs next to nothing.
 */
export function numberedPicture(base) {
  const square = (index, colour, when) =>
    `drawbox=x=${index * 32}:y=0:w=32:h=32:color=${colour}:t=fill${when ? `:enable='${when}'` : ''}`;
  const squares = [`drawbox=x=0:y=0:w=576:h=32:color=black:t=fill`, square(0, 'white')];
  for (let bit = 0; bit < 16; bit++) {
    squares.push(square(16 - bit, 'white', `gte(mod(n+${base}\\,${2 ** (bit + 1)})\\,${2 ** bit})`));
  }
  return `testsrc2=size=640x360:rate=${RATE},${squares.join(',')}`;
}

/** Constrained baseline, no B-frames: what browsers take from every publisher. */
const h264 = (gop) => [
  '-c:v', 'libx264', '-profile:v', 'baseline', '-preset', 'ultrafast', '-tune', 'zerolatency', '-bf', '0',
  '-g', String(gop), '-keyint_min', String(gop), '-sc_threshold', '0', '-pix_fmt', 'yuv420p', '-b:v', '1500k', '-maxrate', '1500k', '-bufsize', '1500k',
];

/** Publishes in real time until it is stopped. `gop`: frames from one keyframe to the next; `base`: the first frame's number. */
export function publishByFfmpeg(url, { gop = 300, base = 0, seconds = 120, extra = [] } = {}) {
  return new Program('ffmpeg', FFMPEG, [
    '-hide_banner', '-nostdin', '-nostats', '-loglevel', 'verbose',
    '-re', '-f', 'lavfi', '-i', numberedPicture(base), '-re', '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000',
    '-t', String(seconds), ...h264(gop), '-c:a', 'libopus', '-ar', '48000', '-ac', '2', '-b:a', '64k',
    ...extra, '-f', 'whip', url,
  ]);
}

/** An H.264 file (Annex B, an access unit delimiter before each frame) of the numbered picture. Made once, then kept. */
export async function h264File({ gop = 250, frames = 600 } = {}) {
  mkdirSync(OUTPUT, { recursive: true });
  const path = join(OUTPUT, `numbered-${gop}-${frames}.h264`);
  if (existsSync(path)) return path;
  const encoder = new Program('ffmpeg', FFMPEG, [
    '-hide_banner', '-nostdin', '-nostats', '-loglevel', 'warning', '-f', 'lavfi', '-i', numberedPicture(0),
    '-frames:v', String(frames), ...h264(gop), '-x264-params', 'aud=1', '-f', 'h264', '-y', `${path}.part`,
  ]);
  const status = await within(60_000, 'the test file to be encoded', encoder.exited);
  if (status.code !== 0) throw new Error(`ffmpeg: ${JSON.stringify(status)}\n${encoder.tail()}`);
  renameSync(`${path}.part`, path);
  return path;
}

/**
 * Has FFmpeg decode encoded pictures (Buffers, in order), as an independent judge: how many pictures it got out of them and
 * what it complained about. `codec`: VP8, H264, VP9, AV1.
 */
export async function decodeByFfmpeg(codec, pictures) {
  mkdirSync(OUTPUT, { recursive: true });
  const annexB = codec === 'H264';
  const path = join(OUTPUT, `received-${codec.toLowerCase()}.${annexB ? 'h264' : 'ivf'}`);
  writeFileSync(path, annexB ? Buffer.concat(pictures) : ivf({ VP8: 'VP80', VP9: 'VP90', AV1: 'AV01' }[codec], pictures));
  const decoder = new Program('ffmpeg', FFMPEG, [
    '-hide_banner', '-nostdin', '-nostats', '-loglevel', 'error', '-err_detect', 'explode', '-xerror', '-i', path,
    '-fps_mode', 'passthrough', '-progress', 'pipe:1', '-f', 'null', '-',
  ]);
  const status = await within(60_000, 'FFmpeg to decode what was received', decoder.exited);
  const progress = /^(frame|fps|bitrate|stream_\S+|total_size|out_time\S*|dup_frames|drop_frames|speed|progress)=/;
  const frames = decoder.lines.findLast(({ text }) => text.startsWith('frame='));
  return {
    code: status.code,
    frames: Number(frames?.text.slice('frame='.length).trim()),
    complaints: decoder.lines.map(({ text }) => text).filter((text) => text.trim() && !progress.test(text)),
  };
}

/** https://wiki.multimedia.cx/index.php/IVF */
function ivf(fourcc, pictures) {
  const header = Buffer.alloc(32);
  header.write('DKIF');
  header.writeUInt16LE(32, 6);
  header.write(fourcc, 8);
  header.writeUInt16LE(1024, 12);
  header.writeUInt16LE(576, 14);
  header.writeUInt32LE(RATE, 16);
  header.writeUInt32LE(1, 20);
  header.writeUInt32LE(pictures.length, 24);
  const parts = pictures.flatMap((picture, index) => {
    const head = Buffer.alloc(12);
    head.writeUInt32LE(picture.length);
    head.writeUInt32LE(index, 4);
    return [head, picture];
  });
  return Buffer.concat([header, ...parts]);
}
