import { useState } from 'preact/hooks';
import { ask, type Stream } from '../api';
import { whepUrl } from '../name';
import '../player/jsx';
import { ConfirmButton } from '../ui/confirm';
import { bitrate, codecName, fixed } from '../words';
import type { Feed } from './feed';
import { Happenings } from './happenings';
import { Plot } from './plot';

/** Cards drawn at a time, and of these so many with a live picture: each is a viewer, with a connection of its own. */
const CARDS = 60;
const PICTURES = 12;

export function Overview({ feed, operatorKey }: { feed: Feed; operatorKey: string }) {
  const [part, setPart] = useState('');
  const [pictures, setPictures] = useState(true);
  const matching = feed.streams.filter(({ name }) => name.includes(part));
  const sorted = matching.sort(
    (a, b) => Number(b.publishing) - Number(a.publishing) || b.viewers - a.viewers,
  );
  const shown = sorted.slice(0, CARDS);
  const { whole, tick } = feed;
  const plot = { history: whole, tick };
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
        />
        <Plot {...plot} title="Viewers" lines={[{ series: 'viewers', label: 'viewers' }]} format={whole0} />
        <Plot
          {...plot}
          title="Loss, worst publisher"
          lines={[{ series: 'loss', label: 'loss' }]}
          format={percent}
        />
        <Plot
          {...plot}
          title="Round trip"
          lines={[
            { series: 'viewerRoundTrip', label: 'viewers, mean' },
            { series: 'roundTrip', label: 'publishers, worst' },
          ]}
          format={(value) => fixed(value, 0, ' ms')}
        />
        <Plot {...plot} title="CPU per packet" lines={[{ series: 'cost', label: 'cost' }]} format={micros} />
        <Plot {...plot} title="Memory" lines={[{ series: 'memory', label: 'memory' }]} format={mebibytes} />
      </section>
      <section aria-labelledby="streams-title">
        <div class="head">
          <h2 id="streams-title">
            Streams <span class="count">{feed.streams.length}</span>
          </h2>
          <label class="inline" title="Each picture is a viewer of its own, at the lowest layer">
            <input
              type="checkbox"
              checked={pictures}
              onChange={(event) => setPictures(event.currentTarget.checked)}
            />
            Live pictures
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
              <Card
                stream={stream}
                operatorKey={operatorKey}
                picture={pictures && stream.publishing && index < PICTURES}
              />
            </li>
          ))}
        </ul>
        {matching.length > CARDS && <p class="hint">And {matching.length - CARDS} more: filter by name.</p>}
      </section>
      <Happenings list={feed.happenings} />
    </>
  );
}

function Card({ stream, operatorKey, picture }: { stream: Stream; operatorKey: string; picture: boolean }) {
  const { name, publishing, viewers, publisher, video, audio } = stream;
  const findings = stream.findings?.filter(({ active }) => active).length ?? 0;
  const codecs = [video?.codec, audio?.codec].filter((codec) => codec != null).map(codecName);
  return (
    <a class="card" href={`#/streams/${encodeURIComponent(name)}`}>
      <span class="thumb" aria-hidden="true">
        {picture && <Thumbnail name={name} operatorKey={operatorKey} />}
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
      {findings > 0 && (
        <span class="warned">
          {findings === 1 ? '1 thing is wrong with it' : `${findings} things are wrong with it`}
        </span>
      )}
    </a>
  );
}

/** The smallest layer, without sound; the server tells it nothing else. */
export function Thumbnail({ name, operatorKey }: { name: string; operatorKey: string }) {
  return (
    <shibuki-player
      src={whepUrl(location.origin, name)}
      token={operatorKey}
      max-height="180"
      controls="none"
      events="none"
      muted
      inert
    />
  );
}

const whole0 = (value: number | null) => fixed(value, 0, '');
const percent = (value: number | null) => fixed(value, value !== null && value < 10 ? 1 : 0, ' %');
const micros = (value: number | null) => fixed(value, 1, ' µs');
const mebibytes = (value: number | null) => fixed(value === null ? null : value / 1_048_576, 0, ' MiB');
