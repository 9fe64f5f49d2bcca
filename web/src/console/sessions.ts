import { useEffect, useState } from 'preact/hooks';
import { followEvents } from '../sse';
import type { Session } from './model';

export interface Sessions {
  /** Seconds since 1970. */
  at: number;
  /** How many there are; the server tells of those that matter most. */
  total: number;
  sessions: Session[];
}

/** Sessions of a stream (`stream=NAME`), or one (`session=ID`), once a second as the server tells them; null before. */
export function useSessions(which: string, key: string): Sessions | null {
  const [told, setTold] = useState<Sessions | null>(null);
  useEffect(() => {
    setTold(null);
    const stopped = new AbortController();
    void followEvents(`/api/v1/events?names=sessions&${which}`, key, stopped.signal, {
      event: ({ name, data }) => {
        if (name !== 'sessions') return;
        const { at, total, sessions } = JSON.parse(data);
        setTold({ at: Date.parse(at) / 1000, total, sessions });
      },
      // The console's own events break off with these, and it says so.
      problem: () => {},
    });
    return () => stopped.abort();
  }, [which, key]);
  return told;
}
