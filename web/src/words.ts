import type { Problem } from './problem';

/** What happened, and what to do about it. */
export interface Words {
  what: string;
  todo: string;
}

/** A problem in plain words, for someone who watches or publishes. */
export function explain(problem: Problem, doing: 'watch' | 'publish', mediaPort: number | null): Words {
  const again = 'It is tried again by itself.';
  const port = mediaPort === null ? 'the server’s UDP port' : `UDP port ${mediaPort} of the server`;
  switch (problem.kind) {
    case 'network':
      return {
        what: 'The server cannot be reached.',
        todo: `Check your network connection, or whether the server is running. ${again}`,
      };
    case 'key':
      if (problem.status === 403) {
        return {
          what: `This key does not allow you to ${doing} this stream.`,
          todo: 'Ask for one that does, and enter it below.',
        };
      }
      if (problem.detail.includes('expired')) {
        return {
          what: 'The key, or the link with a key in it, has expired.',
          todo: 'Ask for a new one, and enter it below.',
        };
      }
      return {
        what: `A key is needed to ${doing} this stream, or the one you gave is not right.`,
        todo: 'Enter the key that you got with the address.',
      };
    case 'codec':
      return doing === 'watch'
        ? {
            what: `This browser cannot play the stream. ${problem.detail}`.trim(),
            todo: 'Try another browser, or ask the publisher to send H.264 or VP8 video and Opus audio.',
          }
        : {
            what: `The server does not take this stream. ${problem.detail}`.trim(),
            todo: 'Choose another codec and start again.',
          };
    case 'busy':
      return {
        what: `The server is asking everyone to wait. ${problem.detail}`.trim(),
        todo: again,
      };
    case 'conflict':
      return doing === 'publish'
        ? {
            what: 'Somebody else is publishing under this name.',
            todo: `Choose another name, or wait until they stop. ${again}`,
          }
        : { what: 'The stream is not live.', todo: again };
    case 'path':
      return {
        what: 'The server answers, but no media can be exchanged with it.',
        todo: `A firewall probably blocks ${port}; it has to be open. ${again}`,
      };
    case 'lost':
      return { what: 'The connection broke off.', todo: again };
    case 'refused':
      return {
        what: `The server refused: ${problem.detail || `status ${problem.status}`}`,
        todo: 'Correct what it names, then try again.',
      };
    case 'server':
      return {
        what: `The server had an error of its own. ${problem.detail}`.trim(),
        todo: `${again} If it stays so, the server’s log says more.`,
      };
    case 'browser':
      return {
        what: `This browser reports: ${problem.detail || 'an unknown error'}`,
        todo: 'Try an up-to-date Chrome, Edge, Firefox or Safari.',
      };
  }
}

/** 2,480,000 → "2.48 Mbit/s"; 64,000 → "64 kbit/s". */
export function bitrate(bitsPerSecond: number | null): string {
  if (bitsPerSecond === null) return '–';
  if (bitsPerSecond >= 1e9) return `${(bitsPerSecond / 1e9).toFixed(2)} Gbit/s`;
  if (bitsPerSecond >= 1e6) return `${(bitsPerSecond / 1e6).toFixed(2)} Mbit/s`;
  return `${Math.round(bitsPerSecond / 1000)} kbit/s`;
}

export function fixed(value: number | null, digits: number, unit: string): string {
  return value === null ? '–' : `${value.toFixed(digits)}${unit}`;
}

export function resolution(width: number | null, height: number | null): string {
  return width === null || height === null ? '–' : `${width} × ${height}`;
}

/** How long ago, in the coarsest unit that says something: "just now", "4 min", "2 h 5 min", "3 days". */
export function elapsed(since: string, now: number): string {
  const seconds = Math.max(0, (now - Date.parse(since)) / 1000);
  if (Number.isNaN(seconds)) return '';
  if (seconds < 60) return 'just now';
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} days`;
}

/** Codecs as people write them. */
export function codecName(codec: string): string {
  const names: Record<string, string> = { H264: 'H.264', H265: 'H.265', HEVC: 'H.265', OPUS: 'Opus' };
  const plain = codec.replace(/^(video|audio)\//i, '');
  return names[plain.toUpperCase()] ?? plain.toUpperCase();
}
