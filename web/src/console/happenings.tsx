import type { Happening } from './feed';

/** What happened lately, the newest first. */
export function Happenings({ list }: { list: Happening[] }) {
  return (
    <section class="long" aria-labelledby="events-title">
      <h2 id="events-title">Events</h2>
      {list.length === 0 && <p class="empty">Nothing has happened since this page was opened.</p>}
      <ol class="events">
        {list.slice(0, 50).map((happening) => (
          <li key={happening.number}>
            <time dateTime={happening.at}>{new Date(happening.at).toLocaleTimeString()}</time>{' '}
            <Words happening={happening} />
          </li>
        ))}
      </ol>
    </section>
  );
}

function Words({ happening }: { happening: Happening }) {
  const { event, stream, session, viewers, reason, redirect, finding } = happening;
  const name = stream && <a href={`#/streams/${encodeURIComponent(stream)}`}>{stream}</a>;
  const who = session && <a href={`#/sessions/${session}`}>{session.slice(0, 6)}</a>;
  switch (event) {
    case 'stream-started':
      return (
        <span>
          {name} started, published by {who}.
        </span>
      );
    case 'stream-stopped':
      return (
        <span>
          {name} stopped: {reason}.
        </span>
      );
    case 'stream-taken-over':
      return (
        <span>
          {name} was taken over by {who}.
        </span>
      );
    case 'viewer-joined':
      return (
        <span>
          A viewer ({who}) joined {name}: {viewers} now.
        </span>
      );
    case 'viewer-left':
      return (
        <span>
          A viewer left {name}: {viewers} now. {reason}
        </span>
      );
    case 'finding':
      return (
        <span>
          {name}: {finding?.advice ?? finding?.code}
        </span>
      );
    case 'draining':
      return <span>The server is draining{redirect ? `: new sessions go to ${redirect}` : ''}.</span>;
    case 'drain-ended':
      return <span>The server takes new sessions again.</span>;
    default:
      return <span>{event}</span>;
  }
}
