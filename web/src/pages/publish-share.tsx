import { useMemo } from 'preact/hooks';
import { encode } from 'uqr';
import { embedUrl, watchUrl } from '../name';
import { Snippet } from '../ui/copy';

/** How others come to the stream: an address, the same for a phone's camera, a frame for their own page. */
export function Share({ name }: { name: string }) {
  const watch = watchUrl(location.origin, name);
  const frame = `<iframe src="${embedUrl(location.origin, name)}" allow="autoplay; fullscreen; picture-in-picture"></iframe>`;
  return (
    <section aria-labelledby="watch-title">
      <h2 id="watch-title">Watch at</h2>
      <Snippet text={watch} label="the address to watch at" />
      <p class="hint">
        <a href={watch} target="_blank" rel="noreferrer">
          Open it in a new tab
        </a>
      </p>
      <details class="share">
        <summary>QR code</summary>
        <QrCode text={watch} label={`QR code of ${watch}`} />
        {/^(localhost|127\.|\[::1\])/.test(location.hostname) && (
          <p class="hint">
            This address works on this machine only: open this page by the server’s own address to share it.
          </p>
        )}
      </details>
      <details class="share">
        <summary>In your own page</summary>
        <Snippet text={frame} label="the frame" block />
      </details>
    </section>
  );
}

function QrCode({ text, label }: { text: string; label: string }) {
  const { data, size } = useMemo(() => encode(text, { border: 4 }), [text]);
  const dots = data.flatMap((row, y) => row.flatMap((dark, x) => (dark ? [`M${x} ${y}h1v1h-1z`] : [])));
  return (
    <svg
      class="qr"
      viewBox={`0 0 ${size} ${size}`}
      role="img"
      aria-label={label}
      shape-rendering="crispEdges"
    >
      <rect width={size} height={size} fill="#fff" />
      <path d={dots.join('')} fill="#000" />
    </svg>
  );
}
