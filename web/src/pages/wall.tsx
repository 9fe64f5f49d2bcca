import { render } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { expose } from '../hook';
import { storedKey, storeKey } from '../keys';
import { useStreams } from '../live';
import { isStreamName, whepUrl } from '../name';
import '../player/jsx';
import type { ShibukiPlayer } from '../player';
import { Bar, Notice } from '../ui/frame';
import '../wall.css';

/** The lines a small picture needs: the server sends the lowest layer that there is, where none is so low. */
const SMALL = 180;

function Wall({ chosen }: { chosen: string[] | null }) {
  const { list, trouble } = useStreams();
  const names = chosen ?? list?.filter(({ publishing }) => publishing).map(({ name }) => name) ?? [];
  const [wanted, setFocus] = useState<string | null>(null);
  const focus = wanted !== null && names.includes(wanted) ? wanted : (names[0] ?? null);

  useEffect(() => {
    const onKey = ({ key, ctrlKey, metaKey, altKey, target }: KeyboardEvent) => {
      if (ctrlKey || metaKey || altKey || target instanceof HTMLInputElement || !/^[1-9]$/.test(key)) return;
      const name = names[Number(key) - 1];
      if (name !== undefined) setFocus(name);
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  });

  return (
    <>
      <Bar>{focus !== null && <span class="streamname">{focus}</span>}</Bar>
      <main class="wall">
        <h1 class="offscreen">All streams</h1>
        {trouble && <Notice tone="warn" what="This list is not up to date." todo={trouble} />}
        {names.length === 0 && (
          <p class="empty">
            {list === null && !trouble
              ? 'Looking for streams…'
              : 'Nothing is live. As soon as somebody publishes, the stream appears here.'}
          </p>
        )}
        <ul class={names.length === 1 ? 'tiles single' : 'tiles'}>
          {names.map((name, index) => (
            <Tile
              key={name}
              name={name}
              index={index}
              focused={name === focus}
              onFocus={() => setFocus(name)}
            />
          ))}
        </ul>
      </main>
    </>
  );
}

function Tile({
  name,
  index,
  focused,
  onFocus,
}: {
  name: string;
  index: number;
  focused: boolean;
  onFocus: () => void;
}) {
  const player = useRef<ShibukiPlayer>(null);
  const before = useRef(focused);
  useEffect(() => {
    const element = player.current;
    if (!element) return;
    const keep = (event: Event) => storeKey('watch', name, (event as CustomEvent<string>).detail);
    element.addEventListener('token', keep);
    return () => element.removeEventListener('token', keep);
  }, [name]);
  useEffect(() => {
    const element = player.current;
    if (!element) return;
    // The small ones are buttons as a whole.
    element.inert = !focused;
    if (focused) {
      expose(element);
      // The button that was pressed is gone: the focus goes to what it brought.
      if (!before.current) element.focus();
    }
    before.current = focused;
  }, [focused]);
  return (
    <li class={focused ? 'tile focus' : 'tile'} data-stream={name}>
      <shibuki-player
        ref={player}
        src={whepUrl(location.origin, name)}
        token={storedKey('watch', name)}
        label={`Stream ${name}`}
        {...(focused ? {} : { 'max-height': String(SMALL), controls: 'none', events: 'none', muted: true })}
      />
      {!focused && (
        <button
          type="button"
          class="pick"
          onClick={onFocus}
          aria-label={`Show ${name} large`}
          aria-keyshortcuts={index < 9 ? String(index + 1) : undefined}
        >
          <span aria-hidden="true">{name}</span>
        </button>
      )}
    </li>
  );
}

const query = new URLSearchParams(location.search).get('streams');
const chosen =
  query === null ? null : [...new Set(query.split(',').map((name) => name.trim()))].filter(isStreamName);
const root = document.getElementById('app');
if (root) render(<Wall chosen={chosen} />, root);
