// The server under test: one per test file, on ports of its own.
import { createSocket } from 'node:dgram';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Program } from './process.mjs';
import { until } from './wait.mjs';

export const REPOSITORY = fileURLToPath(new URL('../../../../', import.meta.url));
const BINARY = process.env.SHIBUKI_BINARY ?? join(process.env.CARGO_TARGET_DIR ?? join(REPOSITORY, 'target'), 'release/shibuki');
/** Where logs and screenshots go. */
export const OUTPUT = process.env.SHIBUKI_E2E_OUTPUT ?? join(REPOSITORY, 'target/e2e');

/** The one place that knows the server's flags. */
const flags = (port) => ['--http', `127.0.0.1:${port}`, '--media-port', String(port), '--log', process.env.SHIBUKI_E2E_LOG ?? 'info'];

export class Server {
  constructor(program, port) {
    this.program = program;
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
  }

  whip(stream) {
    return `${this.url}/whip/${stream}`;
  }

  whep(stream) {
    return `${this.url}/whep/${stream}`;
  }

  /** The part of the log that belongs into a failure's message. */
  tail(count = 60) {
    return this.program.tail(count);
  }

  async stop() {
    const status = await this.program.stop();
    mkdirSync(OUTPUT, { recursive: true });
    writeFileSync(join(OUTPUT, `server-${this.port}.log`), this.program.lines.map((line) => line.text).join('\n'));
    return status;
  }
}

/** The server refuses SHIBUKI_ variables it does not know, and the tests have some of their own. */
function environment() {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('SHIBUKI_'));
  return { ...Object.fromEntries(own), NO_COLOR: '1' };
}

/** Starts a server and waits until it answers. */
export async function startServer({ extra = [] } = {}) {
  const port = await freePort();
  if (!existsSync(BINARY)) throw new Error(`no server at ${BINARY}: cargo build --release`);
  const program = new Program('server', BINARY, [...flags(port), ...extra], { env: environment() });
  const server = new Server(program, port);
  await until(10_000, `the server to answer\n${program.tail()}`, async () => {
    if (program.status) throw new Error(`the server ended: ${JSON.stringify(program.status)}\n${program.tail()}`);
    const answer = await fetch(`${server.url}/api/v1/info`).catch(() => null);
    return answer?.ok;
  });
  return server;
}

/** A number free for TCP and UDP alike. */
async function freePort() {
  for (let attempt = 0; attempt < 20; attempt++) {
    const port = await new Promise((resolve, reject) => {
      const probe = createServer().once('error', reject);
      probe.listen(0, '127.0.0.1', () => {
        const { port } = probe.address();
        probe.close(() => resolve(port));
      });
    });
    const free = await new Promise((resolve) => {
      const probe = createSocket('udp4').once('error', () => resolve(false));
      probe.bind(port, () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
  throw new Error('no port is free for both TCP and UDP');
}
