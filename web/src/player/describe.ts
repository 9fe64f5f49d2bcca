import type { Problem } from '../problem';
import type { PlayerState } from '../whep';
import { explain, type Words } from '../words';

export interface Situation {
  state: PlayerState;
  problem: Problem | null;
  /** The UDP port of the server's media, where the page knows it. */
  mediaPort: number | null;
  /** Video has come, of which nothing could be shown yet. */
  pictureUnderWay: boolean;
}

/** What stands in place of the picture; null while there is one to look at. */
export function describe({ state, problem, mediaPort, pictureUnderWay }: Situation): Words | null {
  switch (state) {
    case 'playing':
      return null;
    case 'idle':
    case 'connecting':
      return { what: 'Connecting…', todo: '' };
    case 'waiting':
      if (pictureUnderWay) {
        return {
          what: 'Waiting for the first picture',
          todo: 'Video arrives; it can be shown from its next keyframe on.',
        };
      }
      return { what: 'Waiting for the stream to start', todo: 'It plays here as soon as it is live.' };
    case 'interrupted':
      return {
        what: 'The publisher has stopped sending',
        todo: 'The picture comes back by itself when they return.',
      };
    case 'stopped':
      return { what: 'Stopped', todo: '' };
    case 'reconnecting':
      return problem && problem.kind !== 'lost'
        ? explain(problem, 'watch', mediaPort)
        : { what: 'The connection broke off. Reconnecting…', todo: '' };
    case 'failed':
      return problem ? explain(problem, 'watch', mediaPort) : { what: 'It did not work.', todo: '' };
  }
}
