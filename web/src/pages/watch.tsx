import { render } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { info } from '../api';
import { expose } from '../hook';
import { storedKey, storeKey } from '../keys';
import { nameFromPath, whepUrl } from '../name';
import '../player/jsx';
import type { ShibukiPlayer } from '../player';
import { AskName } from '../ui/askname';
import { Bar } from '../ui/frame';
import { playerOptions } from '../ui/options';
import type { PlayerState } from '../whep';

function Watch({ name }: { name: string }) {
  const player = useRef<ShibukiPlayer>(null);
  const [state, setState] = useState<PlayerState>('idle');
  const [viewers, setViewers] = useState<number | null>(null);
  useEffect(() => {
    const element = player.current;
    if (!element) return;
    expose(element);
    setState(element.state);
    const on = (type: string, act: (detail: unknown) => void) =>
      element.addEventListener(type, (event) => act((event as CustomEvent).detail));
    on('statechange', (detail) => setState(detail as PlayerState));
    on('viewercount', (detail) => setViewers(detail as number));
    on('token', (detail) => storeKey('watch', name, detail as string));
    info().then(
      ({ mediaPort }) => {
        element.mediaPort = mediaPort;
      },
      () => {},
    );
  }, [name]);
  return (
    <div class="watch">
      <Bar>
        <span class="streamname">{name}</span>
        {viewers !== null && <span class="hint">{viewers === 1 ? '1 viewer' : `${viewers} viewers`}</span>}
        <span class={state === 'playing' ? 'live' : 'live off'}>
          {state === 'playing' ? 'Live' : 'Not live'}
        </span>
      </Bar>
      <main>
        <h1 class="offscreen">{name}</h1>
        <shibuki-player
          ref={player}
          src={whepUrl(location.origin, name)}
          token={storedKey('watch', name)}
          label={`Stream ${name}`}
          keys="page"
          {...playerOptions(location.search)}
        />
      </main>
    </div>
  );
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
