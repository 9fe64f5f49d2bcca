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

/** The server's order, those that fare worst first, is taken over so rarely, s: rows that jump about cannot be read. */
const REORDER = 10;

/** Sessions of a stream (`stream=NAME`), or one (`session=ID`), once a second as the server tells them; null before. */
export function useSessions(which: string, key: string): Sessions | null {
  const [told, setTold] = useState<Sessions | null>(null);
  useEffect(() => {
    setTold(null);
    const stopped = new AbortController();
    let places = new Map<string, number>();
    let ordered = Number.NEGATIVE_INFINITY;
    void followEvents(`/api/v1/events?names=sessions&${which}`, key, stopped.signal, {
      event: ({ name, data }) => {
        if (name !== 'sessions') return;
        const told = JSON.parse(data) as { at: string; total: number; sessions: Session[] };
        const at = Date.parse(told.at) / 1000;
        if (at - ordered < REORDER) {
          const place = ({ id }: Session) => places.get(id) ?? places.size;
          told.sessions.sort((a, b) => place(a) - place(b));
        } else ordered = at;
        places = new Map(told.sessions.map(({ id }, place) => [id, place]));
        setTold({ at, total: told.total, sessions: told.sessions });
      },
      // The console's own events break off with these, and it says so.
      problem: () => {},
    });
    return () => stopped.abort();
  }, [which, key]);
  return told;
}
