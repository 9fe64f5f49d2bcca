// Child processes that never outlive their test, and whose output is kept as evidence.
import { spawn } from 'node:child_process';
import { within, wallClock } from './wait.mjs';

const alive = new Set();
// The last resort: a test that throws, or a runner that is interrupted, leaves nothing behind.
process.on('exit', () => alive.forEach((child) => signalGroup(child, 'SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130));

function signalGroup(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

export class Program {
  /** Lines of stdout and stderr with the time they were read: `{ at, text }`. */
  lines = [];
  #waiting = new Set();

  constructor(name, command, args, options = {}) {
    this.name = name;
    this.startedAt = wallClock();
    // A process group of its own, so that what it starts dies with it.
    this.child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, ...options });
    alive.add(this.child);
    this.exited = new Promise((resolve) => {
      this.child.once('error', (error) => this.#finish({ error: String(error) }, resolve));
      this.child.once('exit', (code, signal) => this.#finish({ code, signal }, resolve));
    });
    for (const stream of [this.child.stdout, this.child.stderr]) this.#read(stream);
  }

  #finish(status, resolve) {
    if (this.status) return;
    this.status = { ...status, at: wallClock() };
    alive.delete(this.child);
    resolve(this.status);
    for (const waiter of this.#waiting) waiter.gone();
  }

  #read(stream) {
    let rest = '';
    stream.setEncoding('utf8');
    stream.on('data', (chunk) => {
      const parts = (rest + chunk).split(/[\r\n]+/);
      rest = parts.pop();
      for (const text of parts) {
        const line = { at: wallClock(), text };
        this.lines.push(line);
        for (const waiter of this.#waiting) waiter.offer(line);
      }
    });
  }

  /** The first line, past or future, that matches. Rejects when the program ends without it. */
  line(pattern, ms) {
    const past = this.lines.find((line) => pattern.test(line.text));
    if (past) return Promise.resolve(past);
    const future = new Promise((resolve, reject) => {
      const waiter = {
        offer: (line) => pattern.test(line.text) && (this.#waiting.delete(waiter), resolve(line)),
        gone: () => reject(new Error(`${this.name} ended (${JSON.stringify(this.status)}) before ${pattern}\n${this.tail()}`)),
      };
      if (this.status) waiter.gone();
      else this.#waiting.add(waiter);
    });
    return within(ms, `${this.name} to print ${pattern}`, future, () => `\n${this.tail()}`);
  }

  tail(count = 40) {
    return this.lines.slice(-count).map((line) => `  [${this.name}] ${line.text}`).join('\n');
  }

  signal(name) {
    signalGroup(this.child, name);
  }

  /** `SIGKILL`: what a crash or a power cut looks like from outside. */
  async kill() {
    if (!this.status) this.signal('SIGKILL');
    return within(5_000, `${this.name} to die`, this.exited);
  }

  /** `SIGTERM`, and `SIGKILL` where that does not help. */
  async stop(ms = 5_000) {
    if (this.status) return this.status;
    this.signal('SIGTERM');
    try {
      return await within(ms, `${this.name} to end`, this.exited);
    } catch {
      return this.kill();
    }
  }
}
