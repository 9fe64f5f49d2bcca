import { useMemo, useState } from 'preact/hooks';
import { ask, type Stream } from '../api';
import { ConfirmButton } from '../ui/confirm';
import { bitrate, codecName, fixed } from '../words';
import type { Feed } from './feed';
import { Happenings } from './happenings';
import { Plot } from './plot';
import { Thumbnail } from './thumbnail';

/** Cards drawn at a time, and of these so many whose picture may play: each that does is a viewer. */
const CARDS = 60;
const PLAYING = 12;

export function Overview({ feed, operatorKey }: { feed: Feed; operatorKey: string }) {
  const [part, setPart] = useState('');
  const [pictures, setPictures] = useState(true);
  const matching = feed.streams.filter(({ name }) => name.includes(part));
  const sorted = matching.sort(
    (a, b) => Number(b.publishing) - Number(a.publishing) || b.viewers - a.viewers,
  );
  const shown = sorted.slice(0, CARDS);
  const plot = { history: feed.whole, tick: feed.tick };
  const happenings = useMemo(() => <Happenings list={feed.happenings} />, [feed.happenings]);
  return (
    <>
      <div class="head">
        <h1>Overview</h1>
        {feed.draining ? (
          <ConfirmButton
            label="Take sessions again"
            question="Take new sessions again?"
            danger={false}
            act={() => ask('/api/v1/drain', 'DELETE', operatorKey)}
          >
            Publishers and viewers can join this server again.
          </ConfirmButton>
        ) : (
          <ConfirmButton
            label="Drain"
            question="Drain this server?"
            act={() => ask('/api/v1/drain', 'POST', operatorKey, {})}
          >
            New publishers and viewers are refused from now on. Those that are here stay.
          </ConfirmButton>
        )}
      </div>
      {feed.draining && <p class="state">This server is draining: it takes no new sessions.</p>}
      <section class="plots" aria-label="Over time">
        <Plot
          {...plot}
          title="Bitrate"
          lines={[
            { series: 'inbound', label: 'in' },
            { series: 'outbound', label: 'out' },
          ]}
          format={bitrate}
          least={100_000}
        />
        <Plot
          {...plot}
          title="Viewers"
          lines={[{ series: 'viewers', label: 'viewers' }]}
          format={whole}
          least={4}
          whole
        />
        <Plot
          {...plot}
          title="Loss"
          lines={[
            { series: 'viewerLoss', label: 'viewers' },
            { series: 'loss', label: 'worst publisher' },
          ]}
          format={percents}
          least={1}
        />
        <Plot
          {...plot}
          title="Latency (round trip)"
          lines={[
            { series: 'viewerRoundTrip', label: 'viewers' },
            { series: 'roundTrip', label: 'worst publisher' },
          ]}
          format={millis}
          least={10}
        />
        <Plot
          {...plot}
          title="CPU per packet sent"
          lines={[{ series: 'cost', label: 'cost' }]}
          format={micros}
          least={2}
        />
        <Plot
          {...plot}
          title="Memory"
          lines={[{ series: 'memory', label: 'memory' }]}
          format={mebibytes}
          least={MIB}
          binary
        />
      </section>
      <section aria-labelledby="streams-title">
        <div class="head">
          <h2 id="streams-title">
            Streams <span class="count">{feed.streams.length}</span>
          </h2>
          <label class="inline">
            <input
              type="checkbox"
              checked={pictures}
              onChange={(event) => setPictures(event.currentTarget.checked)}
            />
            Pictures
          </label>
          <label class="inline">
            <span class="offscreen">Filter by name</span>
            <input
              type="search"
              placeholder="Filter by name"
              value={part}
              onInput={(event) => setPart(event.currentTarget.value)}
            />
          </label>
        </div>
        {shown.length === 0 && <p class="empty">{part ? 'No stream has such a name.' : 'No streams.'}</p>}
        <ul class="cards">
          {shown.map((stream, index) => (
            <li key={stream.name}>
              <Card stream={stream} operatorKey={operatorKey} picture={pictures} mayPlay={index < PLAYING} />
            </li>
          ))}
        </ul>
        {matching.length > CARDS && <p class="hint">And {matching.length - CARDS} more: filter by name.</p>}
      </section>
      {happenings}
    </>
  );
}

function Card({
  stream,
  operatorKey,
  picture,
  mayPlay,
}: {
  stream: Stream;
  operatorKey: string;
  picture: boolean;
  mayPlay: boolean;
}) {
  const { name, publishing, viewers, publisher, video, audio } = stream;
  const active = stream.findings?.filter(({ active }) => active) ?? [];
  const wrong = active.filter(({ severity }) => severity !== 'info').length;
  const remarks = active.length - wrong;
  const codecs = [video?.codec, audio?.codec].filter((codec) => codec != null).map(codecName);
  return (
    <a class="card" href={`#/streams/${encodeURIComponent(name)}`}>
      <span class="thumb" aria-hidden="true">
        {picture && <Thumbnail stream={stream} operatorKey={operatorKey} mayPlay={mayPlay} />}
      </span>
      <span class="row">
        <strong>{name}</strong>
        <span class={publishing ? 'live' : 'live off'}>{publishing ? 'Live' : 'Awaited'}</span>
      </span>
      <span class="meta">
        {[
          viewers === 1 ? '1 viewer' : `${viewers} viewers`,
          ...(publisher ? [bitrate(publisher.bitrate), `loss ${fixed(100 * publisher.loss, 1, ' %')}`] : []),
          ...(codecs.length > 0 ? [codecs.join(' + ')] : []),
        ].join(' · ')}
      </span>
      {wrong > 0 && (
        <span class="warned">
          {wrong === 1 ? '1 thing is wrong with it' : `${wrong} things are wrong with it`}
        </span>
      )}
      {wrong === 0 && remarks > 0 && (
        <span class="meta">{remarks === 1 ? '1 remark' : `${remarks} remarks`}</span>
      )}
    </a>
  );
}

/** The least that the memory's plot is high: what the server takes without any session. */
const MIB = 32 * 1_048_576;

const whole = (value: number | null) => fixed(value, 0, '');
const percents = (value: number | null) => fixed(value, value !== null && value < 10 ? 1 : 0, ' %');
const millis = (value: number | null) => fixed(value, value !== null && value < 10 ? 1 : 0, ' ms');
const micros = (value: number | null) => fixed(value, 1, ' µs');
const mebibytes = (value: number | null) => fixed(value === null ? null : value / 1_048_576, 0, ' MiB');
