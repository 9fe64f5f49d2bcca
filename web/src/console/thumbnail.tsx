import { useEffect, useRef, useState } from 'preact/hooks';
import type { Stream } from '../api';
import { whepUrl } from '../name';
import '../player/jsx';

/** How often a still picture is asked for, ms; the server makes no more of them than it wants. */
const EVERY = 3000;
/** What the server decodes. */
const DECODED = ['VP8', 'H264'];

/**
 * What a stream shows: its latest keyframe, as the server decodes it. Of codecs that it does not decode the smallest
 * layer plays, if `mayPlay`: that is a viewer, with a connection of its own.
 */
export function Thumbnail({
  stream,
  operatorKey,
  mayPlay = true,
}: {
  stream: Stream;
  operatorKey: string;
  mayPlay?: boolean;
}) {
  const { name, video, publishing, muted } = stream;
  const [none, setNone] = useState(false);
  if (!publishing || !video || muted.video) return null;
  if (DECODED.includes(video.codec) && !none)
    return <Still key={name} name={name} operatorKey={operatorKey} onNone={() => setNone(true)} />;
  if (!mayPlay) return null;
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

/** `onNone`: the server makes no picture of it. */
function Still({ name, operatorKey, onNone }: { name: string; operatorKey: string; onNone: () => void }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    const stopped = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let seen = false;
    let tag = '';
    const look = async () => {
      clearTimeout(timer);
      if (!seen || document.hidden) return;
      const answer = await fetchStill(name, operatorKey, tag, stopped.signal);
      if (stopped.signal.aborted) return;
      if (answer === 'none') return onNone();
      if (answer !== null) {
        tag = answer.tag;
        element.width = answer.picture.width;
        element.height = answer.picture.height;
        element.getContext('2d')?.drawImage(answer.picture, 0, 0);
        answer.picture.close();
        element.dataset.drawn = String(Number(element.dataset.drawn ?? 0) + 1);
      }
      timer = setTimeout(() => void look(), EVERY);
    };
    const wake = () => void look();
    const observer = new IntersectionObserver(([entry]) => {
      seen = entry?.isIntersecting ?? false;
      if (seen) void look();
    });
    observer.observe(element);
    document.addEventListener('visibilitychange', wake, { signal: stopped.signal });
    return () => {
      stopped.abort();
      clearTimeout(timer);
      observer.disconnect();
    };
  }, [name, operatorKey]);
  return <canvas ref={canvas} width={320} height={180} />;
}

/** The picture; null: none now, or still the same; `none`: and there will be none. */
async function fetchStill(
  name: string,
  key: string,
  tag: string,
  signal: AbortSignal,
): Promise<{ picture: ImageBitmap; tag: string } | 'none' | null> {
  try {
    const headers: Record<string, string> = { Accept: 'image/jpeg' };
    if (key) headers.Authorization = `Bearer ${key}`;
    if (tag) headers['If-None-Match'] = tag;
    const path = `/api/v1/streams/${encodeURIComponent(name)}/thumbnail.jpg`;
    const response = await fetch(path, { headers, signal, cache: 'no-store' });
    if (response.status === 404) return 'none';
    if (response.status !== 200) return null;
    const picture = await createImageBitmap(await response.blob());
    return { picture, tag: response.headers.get('ETag') ?? '' };
  } catch {
    return null;
  }
}
