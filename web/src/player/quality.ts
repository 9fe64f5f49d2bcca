import type { Quality } from '../whep';
import type { Layer } from '../whep-events';
import { bitrate } from '../words';

export interface Choice {
  quality: Quality;
  label: string;
  /** What comes with it: a bitrate. */
  note: string;
}

/** Heights to choose from where the server does not tell the layers. */
const HEIGHTS = [1080, 720, 360, 180];

/** What a viewer may choose from, the best first after the automatic. */
export function choices(layers: Layer[]): Choice[] {
  const automatic: Choice = { quality: { kind: 'auto' }, label: 'Automatic', note: '' };
  if (layers.length === 0) {
    const limits = HEIGHTS.map(
      (maxHeight): Choice => ({
        quality: { kind: 'height', maxHeight },
        label: `At most ${maxHeight}p`,
        note: '',
      }),
    );
    return [automatic, ...limits];
  }
  const each = layers
    .filter(({ rid }) => rid !== '')
    .map(
      ({ rid, height, bitrate: rate }): Choice => ({
        quality: { kind: 'layer', rid },
        label: height === null ? `Layer ${rid}` : `${height}p`,
        note: rate === null ? '' : bitrate(rate),
      }),
    );
  // Automatic, but not above: for those who pay for what they receive.
  const limits = layers.slice(1).flatMap(({ height }): Choice[] =>
    height === null
      ? []
      : [
          {
            quality: { kind: 'height', maxHeight: height },
            label: `Automatic, at most ${height}p`,
            note: '',
          },
        ],
  );
  return [automatic, ...each, ...limits];
}

export function same(a: Quality, b: Quality): boolean {
  if (a.kind === 'layer') return b.kind === 'layer' && a.rid === b.rid;
  if (a.kind === 'height') return b.kind === 'height' && a.maxHeight === b.maxHeight;
  return b.kind === 'auto';
}

/** The choice `step` places below (+1) or above (−1) the present one among the automatic and the layers. */
export function stepped(layers: Layer[], now: Quality, step: 1 | -1): Quality | null {
  const ladder = choices(layers).filter(({ quality }) => layers.length === 0 || quality.kind !== 'height');
  const at = ladder.findIndex(({ quality }) => same(quality, now));
  return ladder[at + step]?.quality ?? null;
}

/** What stands on the button: what is asked for, and what is seen. */
export function qualityLabel(layers: Layer[], now: Quality, height: number | null): string {
  const seen = height === null ? '' : `${height}p`;
  if (now.kind === 'auto') return seen === '' ? 'Auto' : `Auto ${seen}`;
  if (now.kind === 'height') return `≤ ${now.maxHeight}p`;
  const layer = layers.find(({ rid }) => rid === now.rid);
  return layer?.height ? `${layer.height}p` : seen || `Layer ${now.rid}`;
}
