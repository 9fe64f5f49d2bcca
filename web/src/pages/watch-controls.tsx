import { useState } from 'preact/hooks';
import type { ViewerStats } from '../stats';
import { Facts } from '../ui/frame';
import type { PlayerState } from '../whep';
import { bitrate, codecName, fixed, resolution } from '../words';

interface ControlsProps {
  muted: boolean;
  onSound: (on: boolean) => void;
  onVolume: (volume: number) => void;
  stats: boolean;
  onStats: () => void;
  onFullscreen: () => void;
}

export function Controls({ muted, onSound, onVolume, stats, onStats, onFullscreen }: ControlsProps) {
  const [volume, setVolume] = useState(1);
  return (
    <div class="controls">
      <button
        type="button"
        onClick={() => onSound(muted)}
        aria-keyshortcuts="m"
        title={muted ? 'Unmute (m)' : 'Mute (m)'}
      >
        {muted ? 'Unmute' : 'Mute'}
      </button>
      <input
        type="range"
        min="0"
        max="1"
        step="0.05"
        aria-label="Volume"
        value={muted ? 0 : volume}
        onInput={(event) => {
          const value = Number(event.currentTarget.value);
          if (value > 0) setVolume(value);
          onVolume(value);
        }}
      />
      <span class="space" />
      <button
        type="button"
        aria-pressed={stats}
        onClick={onStats}
        aria-keyshortcuts="i"
        title="Statistics (i)"
      >
        Statistics
      </button>
      <button type="button" onClick={onFullscreen} aria-keyshortcuts="f" title="Full screen (f)">
        Full screen
      </button>
    </div>
  );
}

/** The overlay of numbers. */
export function ViewerFacts({
  stats,
  firstFrameMs,
  state,
}: {
  stats: ViewerStats | null;
  firstFrameMs: number | null;
  state: PlayerState;
}) {
  const codecs = [stats?.videoCodec, stats?.audioCodec].filter((codec) => codec != null).map(codecName);
  return (
    <section class="overlay" aria-label="Statistics">
      <Facts
        rows={[
          ['State', state],
          ['Resolution', resolution(stats?.width ?? null, stats?.height ?? null)],
          ['Frames per second', fixed(stats?.fps ?? null, 0, '')],
          ['Video', bitrate(stats?.videoBitrate ?? null)],
          ['Audio', bitrate(stats?.audioBitrate ?? null)],
          ['Codecs', codecs.join(' + ') || '–'],
          ['Loss', `${fixed(stats?.lossPercent ?? null, 1, ' %')} (${stats?.packetsLost ?? 0} packets)`],
          ['Jitter', fixed(stats?.jitterMs ?? null, 1, ' ms')],
          ['Buffer', fixed(stats?.bufferMs ?? null, 0, ' ms')],
          ['Round trip', fixed(stats?.rttMs ?? null, 0, ' ms')],
          ['Frames decoded', String(stats?.framesDecoded ?? 0)],
          ['Frames dropped', String(stats?.framesDropped ?? 0)],
          ['Freezes', String(stats?.freezeCount ?? 0)],
          ['First frame after', fixed(firstFrameMs, 0, ' ms')],
        ]}
      />
    </section>
  );
}
