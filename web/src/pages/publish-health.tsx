import type { Finding } from '../api';
import { Findings } from '../ui/findings';

/** What the server sees of the stream: how many watch, and what is wrong with what it gets. Null: it has not said. */
export function Health({ viewers, findings }: { viewers: number | null; findings: Finding[] | null }) {
  if (viewers === null && findings === null) return null;
  const active = findings?.filter((finding) => finding.active) ?? [];
  return (
    <section aria-labelledby="health-title">
      <h2 id="health-title">What the server sees</h2>
      <p role="status">
        {viewers !== null && audience(viewers)} {active.length === 0 && 'Nothing is wrong with the stream.'}
      </p>
      <Findings findings={active} />
    </section>
  );
}

function audience(viewers: number): string {
  if (viewers === 0) return 'Nobody watches yet.';
  return viewers === 1 ? '1 viewer watches.' : `${viewers} viewers watch.`;
}
