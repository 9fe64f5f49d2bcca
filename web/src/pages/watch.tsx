import { render } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { type Info, info } from '../api';
import { expose } from '../hook';
import { storedKey, storeKey } from '../keys';
import { nameFromPath, whepUrl } from '../name';
import type { Problem } from '../problem';
import type { ViewerStats } from '../stats';
import { AskName } from '../ui/askname';
import { Bar } from '../ui/frame';
import { KeyForm } from '../ui/keyform';
import { type PlayerState, WhepPlayer } from '../whep';
import { explain, type Words } from '../words';
import { Controls, ViewerFacts } from './watch-controls';

/** Without the pointer moving for so long, ms, the controls give way to the picture. */
const IDLE = 3000;

function Watch({ name }: { name: string }) {
  const player = useMemo(() => {
    const player = new WhepPlayer(whepUrl(location.origin, name), storedKey('watch', name));
    expose(player);
    return player;
  }, [name]);
  const [state, setState] = useState<PlayerState>(player.state);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [stats, setStats] = useState<ViewerStats | null>(null);
  const [about, setAbout] = useState<Info | null>(null);
  const [muted, setMuted] = useState(true);
  const [blocked, setBlocked] = useState(false);
  const [showStats, setShowStats] = useState(false);
  const video = useRef<HTMLVideoElement>(null);
  const stage = useRef<HTMLDivElement>(null);
  const idle = useIdle(stage, state === 'playing' && !muted);

  useEffect(() => {
    const element = video.current;
    if (!element) return;
    const play = () =>
      element.play().then(
        () => setBlocked(false),
        (error: unknown) => setBlocked(error instanceof Error && error.name === 'NotAllowedError'),
      );
    const endings = [
      player.on('state', setState),
      player.on('problem', setProblem),
      player.on('stats', setStats),
      player.on('stream', () => queueMicrotask(() => void play())),
    ];
    const nudge = () => player.nudge();
    const visible = () => {
      if (!document.hidden) player.nudge();
    };
    const leave = () => player.stop();
    const back = ({ persisted }: PageTransitionEvent) => {
      if (persisted) player.start();
    };
    window.addEventListener('online', nudge);
    window.addEventListener('pagehide', leave);
    window.addEventListener('pageshow', back);
    document.addEventListener('visibilitychange', visible);
    player.attach(element);
    player.start();
    info().then(setAbout, () => {});
    return () => {
      for (const end of endings) end();
      window.removeEventListener('online', nudge);
      window.removeEventListener('pagehide', leave);
      window.removeEventListener('pageshow', back);
      document.removeEventListener('visibilitychange', visible);
      player.stop();
    };
  }, [player]);

  const setSound = (on: boolean) => {
    const element = video.current;
    if (!element) return;
    element.muted = !on;
    if (on && element.volume === 0) element.volume = 1;
    setMuted(!on);
    void element.play().then(
      () => setBlocked(false),
      () => {},
    );
  };
  const fullscreen = () => void toggleFullscreen(stage.current, video.current);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLInputElement) return;
      if (event.key === 'i') setShowStats((shown) => !shown);
      else if (event.key === 'm') setSound(video.current?.muted ?? false);
      else if (event.key === 'f') fullscreen();
      else return;
      event.preventDefault();
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  });

  const words = describe(state, problem, name, about?.mediaPort ?? null, (stats?.videoBytes ?? 0) > 0);
  return (
    <div class="watch">
      <Bar>
        <span class="streamname">{name}</span>
        <span class={state === 'playing' ? 'live' : 'live off'}>
          {state === 'playing' ? 'Live' : 'Not live'}
        </span>
      </Bar>
      <main>
        <div class={idle ? 'stage idle' : 'stage'} ref={stage} data-state={state}>
          <video ref={video} playsInline autoPlay muted={muted} aria-label={`Stream ${name}`} />
          {words && (
            <div class={state === 'failed' ? 'veil failed' : 'veil'} role="status">
              {state !== 'failed' && <span class="spinner" aria-hidden="true" />}
              <p class="what">{words.what}</p>
              <p>{words.todo}</p>
              {state === 'failed' && problem?.kind === 'key' && (
                <KeyForm
                  action="Watch"
                  onKey={(key) => {
                    storeKey('watch', name, key);
                    player.key = key;
                    player.start();
                  }}
                />
              )}
              {state === 'failed' && problem?.kind !== 'key' && (
                <button type="button" class="button" onClick={() => player.start()}>
                  Try again
                </button>
              )}
            </div>
          )}
          {state === 'playing' && blocked && (
            <button type="button" class="bigbutton" onClick={() => setSound(!muted)}>
              Play
            </button>
          )}
          {state === 'playing' && !blocked && muted && (
            <button type="button" class="bigbutton" onClick={() => setSound(true)}>
              Turn the sound on
            </button>
          )}
          {showStats && <ViewerFacts stats={stats} firstFrameMs={player.firstFrameMs} state={state} />}
          <Controls
            muted={muted}
            onSound={setSound}
            onVolume={(volume) => {
              if (video.current) video.current.volume = volume;
              setSound(volume > 0);
            }}
            stats={showStats}
            onStats={() => setShowStats(!showStats)}
            onFullscreen={fullscreen}
          />
        </div>
      </main>
    </div>
  );
}

/** Null while there is a picture to look at. */
function describe(
  state: PlayerState,
  problem: Problem | null,
  name: string,
  mediaPort: number | null,
  pictureUnderWay: boolean,
): Words | null {
  switch (state) {
    case 'playing':
      return null;
    case 'idle':
    case 'connecting':
      return { what: 'Connecting…', todo: '' };
    case 'waiting':
      if (pictureUnderWay) {
        return {
          what: 'Waiting for the first picture',
          todo: 'Video arrives; it can be shown from its next keyframe on.',
        };
      }
      return { what: 'Waiting for the stream to start', todo: `It plays here as soon as “${name}” is live.` };
    case 'interrupted':
      return {
        what: 'The publisher has stopped sending',
        todo: 'The picture comes back by itself when they return.',
      };
    case 'stopped':
      return { what: 'Stopped', todo: '' };
    case 'reconnecting':
      return problem && problem.kind !== 'lost'
        ? explain(problem, 'watch', mediaPort)
        : { what: 'The connection broke off. Reconnecting…', todo: '' };
    case 'failed':
      return problem ? explain(problem, 'watch', mediaPort) : { what: 'It did not work.', todo: '' };
  }
}

function useIdle(stage: { current: HTMLElement | null }, enabled: boolean): boolean {
  const [idle, setIdle] = useState(false);
  useEffect(() => {
    const element = stage.current;
    if (!element || !enabled) {
      setIdle(false);
      return;
    }
    let timer: ReturnType<typeof setTimeout>;
    const stir = () => {
      setIdle(false);
      clearTimeout(timer);
      timer = setTimeout(() => setIdle(true), IDLE);
    };
    stir();
    const names = ['pointermove', 'pointerdown', 'keydown', 'focusin'];
    for (const name of names) element.addEventListener(name, stir);
    return () => {
      clearTimeout(timer);
      for (const name of names) element.removeEventListener(name, stir);
    };
  }, [enabled]);
  return idle;
}

async function toggleFullscreen(stage: HTMLElement | null, video: HTMLVideoElement | null): Promise<void> {
  try {
    if (document.fullscreenElement) await document.exitFullscreen();
    else if (stage?.requestFullscreen) await stage.requestFullscreen();
    // iPhones have fullscreen for the video element alone.
    else (video as unknown as { webkitEnterFullscreen?(): void })?.webkitEnterFullscreen?.();
  } catch {
    // Not allowed here (an iframe without permission): nothing to be done.
  }
}

const name = nameFromPath(location.pathname);
const root = document.getElementById('app');
if (name !== null) document.title = `${name} – shibuki`;
if (root) {
  render(
    name !== null ? (
      <Watch name={name} />
    ) : (
      <>
        <Bar />
        <main class="narrow">
          <h1>Watch a stream</h1>
          <AskName page="watch" action="Watch" />
        </main>
      </>
    ),
    root,
  );
}
