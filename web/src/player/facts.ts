import { latencyWords } from '../latency';
import type { ViewerStats } from '../stats';
import type { PlayerState } from '../whep';
import { bitrate, codecName, fixed, resolution } from '../words';

/** The rows of the statistics overlay. */
export function viewerFacts(
  stats: ViewerStats | null,
  state: PlayerState,
  firstFrameMs: number | null,
  viewers: number | null,
): [string, string][] {
  const codecs = [stats?.videoCodec, stats?.audioCodec].filter((codec) => codec != null).map(codecName);
  return [
    ['State', state],
    ['Resolution', resolution(stats?.width ?? null, stats?.height ?? null)],
    ['Frames per second', fixed(stats?.fps ?? null, 0, '')],
    ['Video', bitrate(stats?.videoBitrate ?? null)],
    ['Audio', bitrate(stats?.audioBitrate ?? null)],
    ['Codecs', codecs.join(' + ') || '–'],
    ['Delay', stats?.latency ? latencyWords(stats.latency) : '–'],
    ['Loss', `${fixed(stats?.lossPercent ?? null, 1, ' %')} (${stats?.packetsLost ?? 0} packets)`],
    ['Jitter', fixed(stats?.jitterMs ?? null, 1, ' ms')],
    ['Buffer', fixed(stats?.bufferMs ?? null, 0, ' ms')],
    ['Round trip', fixed(stats?.rttMs ?? null, 0, ' ms')],
    ['Frames decoded', String(stats?.framesDecoded ?? 0)],
    ['Frames dropped', String(stats?.framesDropped ?? 0)],
    ['Freezes', `${stats?.freezeCount ?? 0} (${fixed((stats?.freezeMs ?? 0) / 1000, 1, ' s')})`],
    ['First frame after', fixed(firstFrameMs, 0, ' ms')],
    ...(viewers === null ? [] : [['Viewers', String(viewers)] as [string, string]]),
  ];
}
