import { useEffect, useRef } from 'preact/hooks';
import { LevelMeter } from '../meter';
import type { PublisherStats } from '../stats';
import { Facts } from '../ui/frame';
import type { PublisherState } from '../whip';
import { bitrate, codecName, fixed, resolution } from '../words';

/** How loud the stream's sound is. */
export function Level({ stream }: { stream: MediaStream | null }) {
  const element = useRef<HTMLMeterElement>(null);
  const hasSound = (stream?.getAudioTracks().length ?? 0) > 0;
  useEffect(() => {
    if (!stream || !hasSound) return;
    const meter = new LevelMeter(stream);
    let shown = 0;
    let frame = requestAnimationFrame(function draw() {
      // Up at once, down slowly: as level meters move.
      shown = Math.max(meter.read(), shown - 0.02);
      if (element.current) element.current.value = shown;
      frame = requestAnimationFrame(draw);
    });
    return () => {
      cancelAnimationFrame(frame);
      meter.close();
    };
  }, [stream, hasSound]);
  if (!stream) return null;
  if (!hasSound) return <p class="hint">No sound is sent.</p>;
  return (
    <label class="level">
      <span>Sound level</span>
      <meter ref={element} min={0} max={1} low={0.85} high={0.95} optimum={0.5} value={0} />
    </label>
  );
}

export function PublisherFacts({ stats }: { stats: PublisherStats | null }) {
  const codecs = [stats?.videoCodec, stats?.audioCodec].filter((codec) => codec != null).map(codecName);
  return (
    <section aria-labelledby="facts-title">
      <h2 id="facts-title">What is sent</h2>
      <Facts
        rows={[
          ['Resolution', resolution(stats?.width ?? null, stats?.height ?? null)],
          ...(stats && stats.layers.length > 1
            ? [['Layers', stats.layers.map((height) => `${height}p`).join(', ')] as [string, string]]
            : []),
          ['Frames per second', fixed(stats?.fps ?? null, 0, '')],
          ['Video', bitrate(stats?.videoBitrate ?? null)],
          ['Audio', bitrate(stats?.audioBitrate ?? null)],
          ['Codecs', codecs.join(' + ') || '–'],
          ['Round trip', fixed(stats?.rttMs ?? null, 0, ' ms')],
          ['Loss', fixed(stats?.lossPercent ?? null, 1, ' %')],
          ['Quality held down by', limitation(stats?.limitation ?? null)],
        ]}
      />
    </section>
  );
}

function limitation(reason: string | null): string {
  const words: Record<string, string> = {
    none: 'nothing',
    cpu: 'this computer: it encodes too slowly',
    bandwidth: 'the network: too little bandwidth',
    other: 'the browser, for another reason',
  };
  return reason === null ? '–' : (words[reason] ?? reason);
}

export function stateWords(state: PublisherState, captured: boolean, asking: boolean): string {
  switch (state) {
    case 'connecting':
      return 'Connecting…';
    case 'connected':
      return 'You are live.';
    case 'recovering':
      return 'The connection was interrupted. Restoring it…';
    case 'reconnecting':
      return 'The connection broke off. Reconnecting…';
    case 'failed':
      return 'Not live: it did not work.';
    case 'stopped':
      return 'Stopped. You are not live.';
    case 'idle':
      if (asking) return 'Answer the browser’s question.';
      return captured ? 'Ready. You are not live yet.' : 'You are not live.';
  }
}
