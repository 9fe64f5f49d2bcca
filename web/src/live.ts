import { useEffect, useState } from 'preact/hooks';
import { type Stream, streams } from './api';
import { asProblem } from './problem';
import { explain } from './words';

/** How often the list is read again while the page is visible, ms. */
const REFRESH = 2000;

/** The streams of this server, kept up to date. `trouble`: why they are not. */
export function useStreams(): { list: Stream[] | null; trouble: string | null } {
  const [list, setList] = useState<Stream[] | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    let ended = false;
    const refresh = async () => {
      clearTimeout(timer);
      try {
        if (!document.hidden) {
          setList(await streams());
          setTrouble(null);
        }
      } catch (error) {
        const { what, todo } = explain(asProblem(error), 'watch', null);
        setTrouble(`${what} ${todo}`);
      }
      if (!ended) timer = setTimeout(refresh, REFRESH);
    };
    const visible = () => {
      if (!document.hidden) void refresh();
    };
    void refresh();
    document.addEventListener('visibilitychange', visible);
    return () => {
      ended = true;
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', visible);
    };
  }, []);
  return { list, trouble };
}
