import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { ask, get, type LayerReport, type Stream } from '../api';
import { ConfirmButton } from '../ui/confirm';
import { Findings } from '../ui/findings';
import { Facts } from '../ui/frame';
import { bitrate, codecName, elapsed, fixed, resolution } from '../words';
import type { Feed } from './feed';
import { Happenings } from './happenings';
import { History, type Session } from './model';
import { Thumbnail } from './overview';
import { Plot } from './plot';

/** Viewers drawn at a time. */
const ROWS = 100;
/** The sessions are read again with every so many samples, which come once a second; many of them more rarely. */
const EVERY = 2;
const EVERY_OF_MANY = 10;
const MANY = 200;

const NONE = new History();

export function StreamPage({ feed, name, operatorKey }: { feed: Feed; name: string; operatorKey: string }) {
  const stream = feed.streams.find((stream) => stream.name === name) ?? null;
  const [sessions, setSessions] = useState<Session[]>([]);
  const round = Math.floor(feed.tick / ((stream?.viewers ?? 0) > MANY ? EVERY_OF_MANY : EVERY));
  useEffect(() => {
    let ended = false;
    get(`/api/v1/sessions?stream=${name}&limit=1000`, operatorKey).then(
      (found) => {
        if (!ended) setSessions((found as { sessions: Session[] }).sessions);
      },
      () => {},
    );
    return () => {
      ended = true;
    };
  }, [name, operatorKey, round]);

  const history = feed.each.get(name) ?? NONE;
  const publisher = sessions.find(({ role, current }) => role === 'publisher' && current);
  const viewers = sessions.filter(({ role }) => role === 'viewer');
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
          {stream?.publishing && (
            <span class="thumb" aria-hidden="true">
              <Thumbnail name={name} operatorKey={operatorKey} />
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
          />
          <Plot
            {...plot}
            title="Viewers"
            lines={[{ series: 'viewers', label: 'viewers' }]}
            format={(value) => fixed(value, 0, '')}
          />
          <Plot
            {...plot}
            title="Loss on the way here"
            lines={[{ series: 'loss', label: 'loss' }]}
            format={(value) => fixed(value, 1, ' %')}
          />
          <Plot
            {...plot}
            title="Publisher’s round trip"
            lines={[{ series: 'roundTrip', label: 'round trip' }]}
            format={(value) => fixed(value, 0, ' ms')}
          />
        </section>
      </div>
      <Layers layers={stream?.publisher?.layers ?? []} />
      <Viewers viewers={viewers} />
      <Happenings list={feed.happenings.filter(({ stream }) => stream === name)} />
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

function Viewers({ viewers }: { viewers: Session[] }) {
  // Those who fare worst come first.
  const badness = ({ viewer }: Session) => (viewer?.videoPaused ? 1 : 0) + (viewer?.loss ?? 0);
  const sorted = [...viewers].sort((a, b) => badness(b) - badness(a));
  return (
    <section aria-labelledby="viewers-title">
      <h2 id="viewers-title">
        Viewers <span class="count">{viewers.length}</span>
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
                <th scope="col">Sent again</th>
              </tr>
            </thead>
            <tbody>
              {sorted.slice(0, ROWS).map(({ id, state, address, viewer }) => (
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
                  <td>{viewer?.retransmitted ?? '–'}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      {viewers.length > ROWS && <p class="hint">And {viewers.length - ROWS} more, who fare better.</p>}
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

/** A table may be wider than a phone. */
function Scroll({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard
    <section class="scroll" tabIndex={0} aria-label={label}>
      {children}
    </section>
  );
}
