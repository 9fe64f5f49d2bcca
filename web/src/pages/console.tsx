import { render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Feed } from '../console/feed';
import { Overview } from '../console/overview';
import { SessionPage } from '../console/session';
import { StreamPage } from '../console/stream';
import { storedKey, storeKey } from '../keys';
import type { Problem } from '../problem';
import { Bar, Notice } from '../ui/frame';
import { KeyForm } from '../ui/keyform';
import '../console.css';

/** Between two drawings, ms. */
const APART = 250;

function Console() {
  const [key, setKey] = useState(storedKey('admin', ''));
  const [feed, setFeed] = useState<Feed | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [, redraw] = useState(0);
  const place = usePlace();

  useEffect(() => {
    const next = new Feed(key);
    let count = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let drawn = Number.NEGATIVE_INFINITY;
    // Many things may happen in a second.
    next.on('change', () => {
      timer ??= setTimeout(
        () => {
          timer = undefined;
          drawn = performance.now();
          count += 1;
          redraw(count);
        },
        drawn + APART - performance.now(),
      );
    });
    next.on('problem', setProblem);
    next.start();
    setFeed(next);
    return () => {
      clearTimeout(timer);
      next.stop();
    };
  }, [key]);

  if (problem?.kind === 'key' || !feed) {
    return (
      <>
        <Bar />
        <main class="narrow">
          <h1>Console</h1>
          {problem && (
            <>
              <Notice
                tone="info"
                what={
                  problem.status === 403
                    ? 'This is for operators.'
                    : key === ''
                      ? 'An operator’s key is needed.'
                      : 'This key is not right: an operator’s key is needed.'
                }
                todo={
                  problem.status === 403
                    ? `${problem.detail.charAt(0).toUpperCase()}${problem.detail.slice(1)}.`
                    : 'The server’s configuration has it as “admin” below “[keys]”.'
                }
              />
              <KeyForm
                action="Open"
                onKey={(given) => {
                  storeKey('admin', '', given);
                  setProblem(null);
                  setKey(given);
                }}
              />
            </>
          )}
        </main>
      </>
    );
  }
  return (
    <>
      <Bar>
        <nav aria-label="Pages">
          <a href="#/">Overview</a>
          <a href="/wall">Wall</a>
          <a href="/api">API</a>
        </nav>
      </Bar>
      <main class="console">
        {problem && (
          <Notice
            tone="warn"
            what="What you see is not up to date."
            todo={
              problem.kind === 'network' ? 'The server cannot be reached; it is tried again.' : problem.detail
            }
          />
        )}
        {place.kind === 'overview' && <Overview feed={feed} operatorKey={key} />}
        {place.kind === 'stream' && (
          <StreamPage key={place.name} feed={feed} name={place.name} operatorKey={key} />
        )}
        {place.kind === 'session' && (
          <SessionPage key={place.id} feed={feed} id={place.id} operatorKey={key} />
        )}
      </main>
    </>
  );
}

type Place = { kind: 'overview' } | { kind: 'stream'; name: string } | { kind: 'session'; id: string };

/** `#/streams/NAME` and `#/sessions/ID`: so that the browser's back button works, and a page has an address. */
function usePlace(): Place {
  const read = (): Place => {
    const [, kind, name] = location.hash.split('/');
    if (kind === 'streams' && name) return { kind: 'stream', name: decodeURIComponent(name) };
    if (kind === 'sessions' && name) return { kind: 'session', id: name };
    return { kind: 'overview' };
  };
  const [place, setPlace] = useState(read);
  useEffect(() => {
    const go = () => {
      setPlace(read());
      scrollTo(0, 0);
    };
    window.addEventListener('hashchange', go);
    return () => window.removeEventListener('hashchange', go);
  }, []);
  return place;
}

const root = document.getElementById('app');
if (root) render(<Console />, root);
