import type { ComponentChildren } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { ask, type LayerReport, type Stream } from '../api';
import { ConfirmButton } from '../ui/confirm';
import { Findings } from '../ui/findings';
import { Facts } from '../ui/frame';
import { bitrate, codecName, elapsed, fixed, resolution } from '../words';
import type { Feed } from './feed';
import { Happenings } from './happenings';
import { History, type Session } from './model';
import { Plot } from './plot';
import { useSessions } from './sessions';
import { Thumbnail } from './thumbnail';

const NONE = new History();

export function StreamPage({ feed, name, operatorKey }: { feed: Feed; name: string; operatorKey: string }) {
  const stream = feed.streams.find((stream) => stream.name === name) ?? null;
  const told = useSessions(`stream=${encodeURIComponent(name)}`, operatorKey);
  const sessions = told?.sessions ?? [];
  const history = feed.each.get(name) ?? NONE;
  const publisher = sessions.find(({ role, current }) => role === 'publisher' && current);
  // Drawn when they change, not whenever anything does.
  const viewers = useMemo(() => {
    const sessions = told?.sessions ?? [];
    const unseen = (told?.total ?? 0) - sessions.length;
    return <Viewers viewers={sessions.filter(({ role }) => role === 'viewer')} unseen={unseen} />;
  }, [told]);
  const plot = { history, tick: feed.tick };
  return (
    <>
      <p class="crumbs">
        <a href="#/">Overview</a>
      </p>
      <div class="head">
        <h1>{name}</h1>
        <span class={stream?.publishing ? 'live' : 'live off'}>
          {stream?.publishing ? 'Live' : 'Not live'}
        </span>
        <span class="space" />
        <a class="button small" href={`/watch/${name}`}>
          Watch
        </a>
        {stream && <Mute stream={stream} operatorKey={operatorKey} />}
        {stream?.publishing && (
          <ConfirmButton
            label="End the stream"
            question={`End ${name}?`}
            act={() => ask(`/api/v1/streams/${name}`, 'DELETE', operatorKey)}
          >
            Its publisher is disconnected. Viewers stay and wait for the next one.
          </ConfirmButton>
        )}
      </div>
      {!stream && <p class="empty">Nobody publishes or watches this stream now.</p>}
      <div class="two">
        <section aria-labelledby="health-title">
          <h2 id="health-title">Publisher</h2>
          {stream?.publishing && stream.video && (
            <span class="thumb" aria-hidden="true">
              <Thumbnail stream={stream} operatorKey={operatorKey} />
            </span>
          )}
          {stream && <Health stream={stream} session={publisher} />}
        </section>
        <section class="plots" aria-label="Over time">
          <Plot
            {...plot}
            title="Bitrate"
            lines={[{ series: 'bitrate', label: 'bitrate' }]}
            format={bitrate}
            least={100_000}
          />
          <Plot
            {...plot}
            title="Viewers"
            lines={[{ series: 'viewers', label: 'viewers' }]}
            format={(value) => fixed(value, 0, '')}
            least={4}
            whole
          />
          <Plot
            {...plot}
            title="Loss on the way here"
            lines={[{ series: 'loss', label: 'loss' }]}
            format={(value) => fixed(value, 1, ' %')}
            least={1}
          />
          <Plot
            {...plot}
            title="Publisher’s round trip"
            lines={[{ series: 'roundTrip', label: 'round trip' }]}
            format={(value) => fixed(value, 0, ' ms')}
            least={10}
          />
        </section>
      </div>
      <Layers layers={stream?.publisher?.layers ?? []} />
      {viewers}
      <Happenings list={feed.happenings.filter(({ stream }) => stream === name)} />
    </>
  );
}

/** Sound and picture taken from all who watch, and given back. */
function Mute({ stream, operatorKey }: { stream: Stream; operatorKey: string }) {
  const path = `/api/v1/streams/${encodeURIComponent(stream.name)}`;
  const kinds = [
    { kind: 'audio', word: 'sound', there: stream.audio !== null },
    { kind: 'video', word: 'picture', there: stream.video !== null },
  ] as const;
  return (
    <>
      {kinds
        .filter(({ kind, there }) => there || stream.muted[kind])
        .map(({ kind, word }) => {
          const muted = stream.muted[kind];
          return (
            <ConfirmButton
              key={`${kind} ${muted}`}
              label={muted ? `Give the ${word} back` : `Mute the ${word}`}
              question={muted ? `Give the ${word} back?` : `Mute the ${word} of ${stream.name}?`}
              danger={!muted}
              act={() => ask(path, 'PATCH', operatorKey, { muted: { [kind]: !muted } })}
            >
              {muted
                ? `All who watch get the ${word} again.`
                : `Nobody who watches gets the ${word}, until you give it back.`}
            </ConfirmButton>
          );
        })}
    </>
  );
}

function Health({ stream, session }: { stream: Stream; session: Session | undefined }) {
  const { publisher, findings, since } = stream;
  return (
    <>
      {findings && <Findings findings={findings.filter(({ active }) => active)} />}
      {publisher && (
        <Facts
          rows={[
            ['Since', since ? elapsed(since, Date.now()) : '–'],
            ['Bitrate', bitrate(publisher.bitrate)],
            ['Loss', `${fixed(100 * publisher.loss, 1, ' %')} (${publisher.lost} packets)`],
            ['Sent again', `${publisher.retransmitted} (asked for: ${publisher.nacked})`],
            ['Round trip', fixed(publisher.roundTripMs, 0, ' ms')],
            [
              'Keyframes on request',
              publisher.answersKeyframeRequests === null
                ? 'not known yet'
                : publisher.answersKeyframeRequests
                  ? 'yes'
                  : 'no',
            ],
          ]}
        />
      )}
      {session && (
        <p>
          <a href={`#/sessions/${session.id}`}>Its session</a>
        </p>
      )}
    </>
  );
}

function Layers({ layers }: { layers: LayerReport[] }) {
  if (layers.length === 0) return null;
  return (
    <section aria-labelledby="layers-title">
      <h2 id="layers-title">Tracks and layers</h2>
      <Scroll label="Table of tracks and layers">
        <table>
          <thead>
            <tr>
              <th scope="col">Layer</th>
              <th scope="col">Codec</th>
              <th scope="col">Size</th>
              <th scope="col">Bitrate</th>
              <th scope="col">Per second</th>
              <th scope="col">Lost</th>
              <th scope="col">Keyframes</th>
            </tr>
          </thead>
          <tbody>
            {layers.map((layer) => (
              <tr key={`${layer.kind} ${layer.rid}`}>
                <th scope="row">{layer.rid ?? layer.kind}</th>
                <td>{codecName(layer.codec)}</td>
                <td>{resolution(layer.width, layer.height)}</td>
                <td>{bitrate(layer.bitrate)}</td>
                <td>{fixed(layer.framesPerSecond, 0, layer.kind === 'video' ? ' pictures' : ' packets')}</td>
                <td>{layer.lost}</td>
                <td>
                  {layer.kind === 'video' && layer.keyframeIntervalMs !== null
                    ? `every ${fixed(layer.keyframeIntervalMs / 1000, 1, ' s')}`
                    : '–'}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </section>
  );
}

/** Rows drawn before somebody wants more of them. */
const FIRST = 25;

/** Those who fare worst come first, as the server tells them. */
function Viewers({ viewers, unseen }: { viewers: Session[]; unseen: number }) {
  const [all, setAll] = useState(false);
  const shown = all ? viewers : viewers.slice(0, FIRST);
  const rest = viewers.length + unseen - shown.length;
  return (
    <section class="long" aria-labelledby="viewers-title">
      <h2 id="viewers-title">
        Viewers <span class="count">{viewers.length + unseen}</span>
      </h2>
      {viewers.length === 0 && <p class="empty">Nobody watches.</p>}
      {viewers.length > 0 && (
        <Scroll label="Table of viewers">
          <table>
            <thead>
              <tr>
                <th scope="col">Session</th>
                <th scope="col">Address</th>
                <th scope="col">Picture</th>
                <th scope="col">Bitrate</th>
                <th scope="col">Its link carries</th>
                <th scope="col">Loss</th>
                <th scope="col">Round trip</th>
                <th scope="col">Jitter</th>
                <th scope="col">Delay</th>
                <th scope="col">Sent again</th>
              </tr>
            </thead>
            <tbody>
              {shown.map(({ id, state, address, viewer }) => (
                <tr key={id}>
                  <th scope="row">
                    <a href={`#/sessions/${id}`}>{id.slice(0, 6)}</a>
                  </th>
                  <td>{address ?? state}</td>
                  <td>{viewer?.videoPaused ? 'paused: sound only' : layerWords(viewer)}</td>
                  <td>{bitrate(viewer?.bitrate ?? null)}</td>
                  <td>{bitrate(viewer?.estimate ?? null)}</td>
                  <td>{fixed(viewer?.loss == null ? null : 100 * viewer.loss, 1, ' %')}</td>
                  <td>{fixed(viewer?.roundTripMs ?? null, 0, ' ms')}</td>
                  <td>{fixed(viewer?.jitterMs ?? null, 1, ' ms')}</td>
                  <td>{delayWords(viewer)}</td>
                  <td>{viewer?.retransmitted ?? '–'}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      {rest > 0 && (
        <p class="more hint">
          And {rest} more, who fare better.
          {shown.length < viewers.length && (
            <button type="button" class="button small" onClick={() => setAll(true)}>
              Show {viewers.length - shown.length} of them
            </button>
          )}
        </p>
      )}
    </section>
  );
}

export function layerWords(viewer: Session['viewer']): string {
  const { layer, target } = viewer ?? {};
  if (!layer) return '–';
  const name = (of: typeof layer) => (of.height ? `${of.height}p` : (of.rid ?? 'the only one'));
  const going = target && target.rid !== layer.rid ? ` → ${name(target)}` : '';
  return name(layer) + going;
}

/** How old the picture is; ≈: from its arrival at the server on, for the publisher tells no capture times. */
export function delayWords(viewer: Session['viewer']): string {
  const { latency } = viewer ?? {};
  if (!latency) return '–';
  return `${latency.kind === 'estimate' ? '≈ ' : ''}${fixed(latency.ms, 0, ' ms')}`;
}

/** A table may be wider than a phone. */
function Scroll({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard
    <section class="scroll" tabIndex={0} aria-label={label}>
      {children}
    </section>
  );
}
