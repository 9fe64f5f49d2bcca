import { useEffect, useState } from 'preact/hooks';
import { ask, type LayerReport } from '../api';
import { asProblem } from '../problem';
import { ConfirmButton } from '../ui/confirm';
import { Findings } from '../ui/findings';
import { Facts } from '../ui/frame';
import { bitrate, fixed } from '../words';
import { type Feed, percent } from './feed';
import { Happenings } from './happenings';
import { History, type Session, type Steps, type ViewerReport } from './model';
import { Plot } from './plot';
import { useSessions } from './sessions';
import { delayWords, layerWords } from './stream';

export function SessionPage({ feed, id, operatorKey }: { feed: Feed; id: string; operatorKey: string }) {
  const [session, setSession] = useState<Session | null>(null);
  const [history] = useState(() => new History());
  const told = useSessions(`session=${encodeURIComponent(id)}`, operatorKey);
  useEffect(() => {
    const now = told?.sessions[0];
    if (!told || !now) return;
    // What it was last is still shown when it is gone.
    setSession(now);
    history.add(told.at, {
      bitrate: now.viewer?.bitrate ?? now.publisher?.bitrate ?? null,
      estimate: now.viewer?.estimate ?? null,
      loss: percent(now.viewer?.loss ?? now.publisher?.loss),
      roundTrip: now.viewer?.roundTripMs ?? now.publisher?.roundTripMs ?? null,
    });
  }, [told]);
  const gone = told?.total === 0;
  const layers = feed.streams.find(({ name }) => name === session?.stream)?.publisher?.layers ?? [];
  const choosable = layers.filter(({ kind, rid }) => kind === 'video' && rid !== null);

  const plot = { history, tick: history.times.length };
  return (
    <>
      <p class="crumbs">
        <a href="#/">Overview</a>
        {session && (
          <>
            {' › '}
            <a href={`#/streams/${encodeURIComponent(session.stream)}`}>{session.stream}</a>
          </>
        )}
      </p>
      <div class="head">
        <h1>
          {session?.role === 'publisher' ? 'Publisher' : 'Viewer'} {id.slice(0, 6)}
        </h1>
        <span class={gone || !session ? 'live off' : 'live'}>
          {gone ? 'Ended' : (session?.state ?? 'Looking…')}
        </span>
        <span class="space" />
        {session && !gone && (
          <ConfirmButton
            label="End the session"
            question={`End this ${session.role}’s session?`}
            act={() => ask(`/api/v1/sessions/${id}`, 'DELETE', operatorKey)}
          >
            It is disconnected at once. Browsers, and OBS too, come back by themselves unless their key is
            refused.
          </ConfirmButton>
        )}
      </div>
      {session && (
        <>
          <Timeline steps={session.steps} createdAt={session.createdAt} />
          <div class="two">
            <section aria-labelledby="facts-title">
              <h2 id="facts-title">Now</h2>
              <SessionFacts session={session} />
              {session.viewer && !gone && choosable.length > 1 && (
                <LayerChoice id={id} viewer={session.viewer} layers={choosable} operatorKey={operatorKey} />
              )}
              {session.findings && <Findings findings={session.findings.filter(({ active }) => active)} />}
            </section>
            <section class="plots" aria-label="Over time">
              <Plot
                {...plot}
                title="Bitrate"
                lines={[
                  { series: 'bitrate', label: session.role === 'viewer' ? 'sent' : 'received' },
                  ...(session.role === 'viewer' ? [{ series: 'estimate', label: 'link carries' }] : []),
                ]}
                format={bitrate}
                least={100_000}
              />
              <Plot
                {...plot}
                title="Loss"
                lines={[{ series: 'loss', label: 'loss' }]}
                format={(value) => fixed(value, 1, ' %')}
                least={1}
              />
              <Plot
                {...plot}
                title="Round trip"
                lines={[{ series: 'roundTrip', label: 'round trip' }]}
                format={(value) => fixed(value, 0, ' ms')}
                least={10}
              />
            </section>
          </div>
        </>
      )}
      {gone && !session && <p class="empty">There is no such session, or it has ended.</p>}
      <Happenings
        list={feed.happenings.filter(({ session, previous }) => session === id || previous === id)}
      />
    </>
  );
}

/** The join step by step. */
function Timeline({ steps, createdAt }: { steps: Steps; createdAt: string }) {
  const rows: [string, number | null][] = [
    ['First check (ICE)', steps.firstCheckMs],
    ['Connected (DTLS)', steps.connectedMs],
    ['First packet', steps.firstPacketMs],
    ['First keyframe', steps.firstKeyframeMs],
  ];
  const longest = Math.max(1, ...rows.map(([, ms]) => ms ?? 0));
  return (
    <section aria-labelledby="join-title">
      <h2 id="join-title">Join</h2>
      <ol class="timeline">
        <li>
          <span>POST</span>
          <span>{new Date(createdAt).toLocaleString()}</span>
        </li>
        {rows.map(([name, ms]) => (
          <li key={name}>
            <span>{name}</span>
            <span>
              <progress value={ms ?? 0} max={longest} aria-hidden="true" />
              <span class="after">{ms === null ? 'not yet' : `after ${fixed(ms, 0, ' ms')}`}</span>
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}

function SessionFacts({ session }: { session: Session }) {
  const { viewer, publisher } = session;
  const rows: [string, string][] = [
    ['Address', session.address ?? '–'],
    ['Encryption', session.srtp ?? '–'],
    ['Worker', session.worker === null ? '–' : String(session.worker)],
  ];
  if (viewer) {
    rows.push(
      ['Picture', viewer.videoPaused ? 'paused: sound only' : layerWords(viewer)],
      ['Bitrate', bitrate(viewer.bitrate)],
      ['Its link carries', bitrate(viewer.estimate)],
      ['Loss', `${fixed(percent(viewer.loss), 1, ' %')} (${viewer.lost} packets)`],
      ['Round trip', fixed(viewer.roundTripMs, 0, ' ms')],
      ['Jitter', fixed(viewer.jitterMs, 1, ' ms')],
      ['Delay', delayWords(viewer)],
      ['Sent again', `${viewer.retransmitted} (asked for: ${viewer.nacked})`],
      ['Asked for keyframes', String(viewer.keyframeRequests)],
    );
  }
  if (publisher) {
    rows.push(
      ['Bitrate', bitrate(publisher.bitrate)],
      ['Loss', `${fixed(100 * publisher.loss, 1, ' %')} (${publisher.lost} packets)`],
      ['Round trip', fixed(publisher.roundTripMs, 0, ' ms')],
      ['Asked for keyframes', String(publisher.keyframeRequests)],
    );
  }
  return <Facts rows={rows} />;
}

/** What the viewer gets, chosen by an operator in its place. */
function LayerChoice({
  id,
  viewer,
  layers,
  operatorKey,
}: {
  id: string;
  viewer: ViewerReport;
  layers: LayerReport[];
  operatorKey: string;
}) {
  const [chosen, setChosen] = useState('');
  const [trouble, setTrouble] = useState('');
  const choose = async (rid: string) => {
    setChosen(rid);
    setTrouble('');
    try {
      await ask(`/api/v1/sessions/${id}/layer`, 'POST', operatorKey, rid === '' ? {} : { rid });
    } catch (error) {
      setChosen('');
      setTrouble(asProblem(error).detail);
    }
  };
  return (
    <>
      <label class="field">
        <span>Layer (now {layerWords(viewer)})</span>
        <select value={chosen} onChange={(event) => void choose(event.currentTarget.value)}>
          <option value="">What its link carries, or it asked for</option>
          {layers.map(({ rid, height }) => (
            <option key={rid} value={rid ?? ''}>
              {height ? `${height}p (${rid})` : rid}
            </option>
          ))}
        </select>
      </label>
      <p class="trouble" role="status">
        {trouble}
      </p>
    </>
  );
}
