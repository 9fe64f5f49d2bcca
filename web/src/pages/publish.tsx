import { render } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { type Finding, type Info, info } from '../api';
import { type CaptureError, capture, captureObstacle, type Wish } from '../capture';
import { expose } from '../hook';
import { storedKey, storeKey } from '../keys';
import { nameFromPath, whipUrl } from '../name';
import type { Problem } from '../problem';
import type { PublisherStats } from '../stats';
import { AskName } from '../ui/askname';
import { Bar, Notice } from '../ui/frame';
import { type PublisherSettings, type PublisherState, WhipPublisher } from '../whip';
import { explain } from '../words';
import { Health } from './publish-health';
import { Level, PublisherFacts, stateWords } from './publish-parts';
import { Settings } from './publish-settings';
import { Share } from './publish-share';

const FIRST_WISH: Wish = {
  picture: 'camera',
  sound: 'microphone',
  cameraId: '',
  microphoneId: '',
  height: 720,
};

function Publish({ name }: { name: string }) {
  const [about, setAbout] = useState<Info | null>(null);
  const [wish, setWish] = useState(FIRST_WISH);
  const [settings, setSettings] = useState<PublisherSettings>({
    codec: '',
    maxBitrate: 2_500_000,
    simulcast: true,
  });
  const [key, setKey] = useState(storedKey('publish', name));
  const [stream, setStream] = useState<MediaStream | null>(null);
  const [asking, setAsking] = useState(false);
  const [obstacle, setObstacle] = useState<CaptureError | null>(captureObstacle());
  const [publisher, setPublisher] = useState<WhipPublisher | null>(null);
  const [state, setState] = useState<PublisherState>('idle');
  const [problem, setProblem] = useState<Problem | null>(null);
  const [stats, setStats] = useState<PublisherStats | null>(null);
  const [viewers, setViewers] = useState<number | null>(null);
  const [findings, setFindings] = useState<Finding[] | null>(null);
  const blocked = captureObstacle() !== null;
  const sending = state !== 'idle' && state !== 'stopped' && state !== 'failed';

  useEffect(() => {
    info().then(setAbout, () => {});
  }, []);

  // Closing the page, and coming back to it with the browser's back button.
  useEffect(() => {
    if (!publisher) return;
    const nudge = () => publisher.nudge();
    const leave = () => publisher.stop();
    window.addEventListener('online', nudge);
    window.addEventListener('pagehide', leave);
    return () => {
      window.removeEventListener('online', nudge);
      window.removeEventListener('pagehide', leave);
    };
  }, [publisher]);

  // A device unplugged, or the sharing ended with the browser's own button.
  useEffect(() => {
    const tracks = stream?.getTracks() ?? [];
    const ended = () => {
      publisher?.stop();
      release(stream);
      setStream(null);
    };
    for (const track of tracks) track.addEventListener('ended', ended);
    return () => {
      for (const track of tracks) track.removeEventListener('ended', ended);
    };
  }, [stream, publisher]);

  const acquire = async (next: Wish): Promise<MediaStream | null> => {
    setWish(next);
    setAsking(true);
    try {
      // Some systems give a camera to one user at a time: let go first. A screen keeps its running share until
      // the new one is chosen.
      if (next.picture !== 'screen') release(stream);
      const fresh = await capture(next);
      release(stream);
      setStream(fresh);
      setObstacle(null);
      if (publisher && sending) await publisher.replace(fresh);
      return fresh;
    } catch (error) {
      setObstacle(error as CaptureError);
      if (next.picture !== 'screen') {
        publisher?.stop();
        setStream(null);
      }
      return null;
    } finally {
      setAsking(false);
    }
  };

  const start = async () => {
    const media = stream ?? (await acquire(wish));
    if (!media) return;
    storeKey('publish', name, key);
    const next = new WhipPublisher(whipUrl(location.origin, name), key, settings);
    expose(next);
    next.on('state', setState);
    next.on('problem', setProblem);
    next.on('stats', setStats);
    next.on('viewers', setViewers);
    next.on('findings', setFindings);
    setProblem(null);
    setStats(null);
    setViewers(null);
    setFindings(null);
    setPublisher(next);
    next.start(media);
  };

  const stop = () => {
    publisher?.stop();
    release(stream);
    setStream(null);
    setStats(null);
  };

  const words = problem ? explain(problem, 'publish', about?.mediaPort ?? null) : null;
  return (
    <>
      <Bar>
        <span class="streamname">{name}</span>
        <span class={state === 'connected' ? 'live' : 'live off'}>
          {state === 'connected' ? 'Live' : 'Not live'}
        </span>
      </Bar>
      <main class="publish">
        <h1 class="offscreen">Publish {name}</h1>
        <div class="column">
          <Preview stream={stream} picture={wish.picture} asking={asking} />
          <Level stream={stream} />
          <div class="actions">
            {sending ? (
              <button type="button" class="button danger" onClick={stop}>
                Stop publishing
              </button>
            ) : (
              <button
                type="button"
                class="button primary"
                disabled={blocked || asking}
                onClick={() => void start()}
              >
                Start publishing
              </button>
            )}
            <p class="state" role="status">
              {stateWords(state, stream !== null, asking)}
            </p>
          </div>
          {obstacle && (
            <Notice tone={obstacle.cancelled ? 'info' : 'error'} what={obstacle.message} todo={obstacle.todo}>
              {blocked && (
                <p>
                  <a href="/">How to publish with OBS or FFmpeg</a>
                </p>
              )}
            </Notice>
          )}
          {words && (
            <Notice tone={state === 'failed' ? 'error' : 'warn'} {...words}>
              {problem?.kind === 'key' && (
                <p>
                  <a href="#key">Enter a key</a>
                </p>
              )}
            </Notice>
          )}
          {state === 'connected' && <Health viewers={viewers} findings={findings} />}
          <Share name={name} />
          {sending && <PublisherFacts stats={stats} />}
        </div>
        <Settings
          wish={wish}
          onWish={(next) => {
            // Nothing is asked of the person before they asked for a picture; then changes show at once.
            if (stream) void acquire(next);
            else setWish(next);
          }}
          onPreview={() => void acquire(wish)}
          previewing={stream !== null}
          asking={asking}
          blocked={blocked}
          settings={settings}
          onSettings={(next) => {
            setSettings(next);
            void publisher?.configure(next);
          }}
          keyValue={key}
          keyRequired={about?.publishKeyRequired ?? problem?.kind === 'key'}
          onKey={setKey}
          sending={sending}
        />
      </main>
    </>
  );
}

function Preview({
  stream,
  picture,
  asking,
}: {
  stream: MediaStream | null;
  picture: Wish['picture'];
  asking: boolean;
}) {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    if (video.current) video.current.srcObject = stream;
  }, [stream]);
  const hasPicture = (stream?.getVideoTracks().length ?? 0) > 0;
  return (
    <div class="stage preview">
      <video
        ref={video}
        class={picture === 'camera' ? 'mirrored' : ''}
        playsInline
        autoPlay
        muted
        aria-label="Preview"
        hidden={!hasPicture}
      />
      {!hasPicture && (
        <p class="placeholder">
          {asking
            ? 'The browser is asking you for permission.'
            : stream
              ? 'Sound only'
              : 'The preview appears here. Nothing is sent before you start.'}
        </p>
      )}
    </div>
  );
}

function release(stream: MediaStream | null): void {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

const name = nameFromPath(location.pathname);
const root = document.getElementById('app');
if (name !== null) document.title = `Publish ${name} – shibuki`;
if (root) {
  render(
    name !== null ? (
      <Publish name={name} />
    ) : (
      <>
        <Bar />
        <main class="narrow">
          <h1>Publish a stream</h1>
          <p>Viewers find the stream by its name.</p>
          <AskName page="publish" action="Go on" />
        </main>
      </>
    ),
    root,
  );
}
