import { useEffect, useState } from 'preact/hooks';
import { type Finding, type Stream, stream } from '../api';
import { Findings } from '../ui/findings';

/** How often the server is asked what it sees, ms. */
const REFRESH = 2000;

/** What the server sees of the stream: how many watch, and what is wrong with what it gets. */
export function Health({ name, publishKey }: { name: string; publishKey: string }) {
  const [seen, setSeen] = useState<Stream | null>(null);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    let ended = false;
    const look = async () => {
      // A key that may not look leaves this part of the page away: publishing goes on.
      const found = await stream(name, publishKey).catch(() => null);
      if (ended) return;
      setSeen(found);
      timer = setTimeout(look, REFRESH);
    };
    void look();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, [name, publishKey]);
  if (!seen) return null;
  const active: Finding[] = seen.findings?.filter((finding) => finding.active) ?? [];
  return (
    <section aria-labelledby="health-title">
      <h2 id="health-title">What the server sees</h2>
      <p role="status">
        {seen.viewers === 0
          ? 'Nobody watches yet.'
          : seen.viewers === 1
            ? '1 viewer watches.'
            : `${seen.viewers} viewers watch.`}{' '}
        {seen.findings !== undefined && active.length === 0 && 'Nothing is wrong with the stream.'}
      </p>
      <Findings findings={active} />
    </section>
  );
}
