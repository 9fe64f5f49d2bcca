import { render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { type Info, info, type Stream } from '../api';
import { useStreams } from '../live';
import { nameTrouble } from '../name';
import { Bar, Notice } from '../ui/frame';
import { Tabs } from '../ui/tabs';
import { codecName, elapsed } from '../words';
import { BrowserGuide, FfmpegGuide, ObsGuide } from './guides';

function Home() {
  const [about, setAbout] = useState<Info | null>(null);
  const [name, setName] = useState('live');
  useEffect(() => {
    info().then(setAbout, () => {});
  }, []);
  const trouble = nameTrouble(name);
  const guide = {
    origin: location.origin,
    name: trouble === null ? name : 'live',
    keyRequired: about?.publishKeyRequired ?? false,
  };
  return (
    <>
      <Bar>
        <nav>
          <a href="/publish">Publish</a>
          <a href="/wall">Wall</a>
          <a href="/console">Console</a>
        </nav>
      </Bar>
      <main>
        <section class="intro">
          <h1>One stream in, many viewers out</h1>
          <p>
            shibuki takes one live stream from OBS, a browser or FFmpeg (by WHIP) and passes it on to everyone
            who watches (by WHEP). Nothing is transcoded, so the delay stays well below a second.
          </p>
        </section>
        <Live />
        <section aria-labelledby="publish-title">
          <h2 id="publish-title">Publish</h2>
          <label class="field name">
            <span>Stream name</span>
            <input
              value={name}
              onInput={(event) => setName(event.currentTarget.value.trim())}
              autocapitalize="none"
              autocomplete="off"
              spellcheck={false}
              aria-invalid={trouble !== null}
              aria-describedby="name-hint"
            />
          </label>
          <p id="name-hint" class={trouble === null ? 'hint' : 'trouble'} role="status">
            {trouble ?? 'Everything below uses this name.'}
          </p>
          <Tabs
            label="Ways to publish"
            tabs={[
              { id: 'obs', label: 'OBS', content: <ObsGuide {...guide} /> },
              { id: 'browser', label: 'Browser', content: <BrowserGuide {...guide} /> },
              { id: 'ffmpeg', label: 'FFmpeg', content: <FfmpegGuide {...guide} /> },
            ]}
          />
        </section>
      </main>
      <footer>
        {about && (
          <p>
            shibuki {about.version}. Media uses UDP port {about.mediaPort}: it has to be open in the firewall.
          </p>
        )}
      </footer>
    </>
  );
}

function Live() {
  const { list, trouble } = useStreams();
  const live = list?.filter(({ publishing }) => publishing) ?? [];
  const awaited = list?.filter(({ publishing }) => !publishing) ?? [];
  return (
    <section aria-labelledby="live-title">
      <h2 id="live-title">Live now</h2>
      {trouble && <Notice tone="warn" what="This list is not up to date." todo={trouble} />}
      {live.length > 0 && (
        <ul class="streams">
          {live.map((stream) => (
            <li key={stream.name}>
              <LiveCard stream={stream} />
            </li>
          ))}
        </ul>
      )}
      {list !== null && live.length === 0 && (
        <p class="empty">Nothing is live. As soon as somebody publishes, the stream stands here.</p>
      )}
      {list === null && !trouble && <p class="empty">Looking for streams…</p>}
      {awaited.length > 0 && (
        <p class="hint">
          Awaited by viewers, not live:{' '}
          {awaited.map(({ name, viewers }, index) => (
            <span key={name}>
              {index > 0 && ', '}
              <a href={`/watch/${name}`}>{name}</a> ({viewers})
            </span>
          ))}
        </p>
      )}
    </section>
  );
}

function LiveCard({ stream }: { stream: Stream }) {
  const { name, viewers, video, audio, since } = stream;
  const codecs = [video?.codec, audio?.codec].filter((codec) => codec !== undefined).map(codecName);
  const ago = since ? elapsed(since, Date.now()) : '';
  return (
    <a class="stream" href={`/watch/${name}`}>
      <span class="name">{name}</span>
      <span class="live">Live</span>
      <span class="meta">
        {[
          viewers === 1 ? '1 viewer' : `${viewers} viewers`,
          codecs.join(' + '),
          ago === '' ? '' : ago === 'just now' ? 'just started' : `for ${ago}`,
        ]
          .filter((part) => part !== '')
          .join(' · ')}
      </span>
    </a>
  );
}

const root = document.getElementById('app');
if (root) render(<Home />, root);
