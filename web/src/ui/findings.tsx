import type { Finding } from '../api';
import { Notice } from './frame';

const TONES = { error: 'error', warning: 'warn', info: 'info' } as const;
const TITLES: Record<string, string> = {
  'b-frames': 'B-frames',
  'keyframe-interval': 'Keyframes are far apart',
  'missing-parameter-sets': 'The video lacks its parameters',
  'unplayable-profile': 'Browsers cannot play this H.264 profile',
  'no-audio': 'No sound comes',
  'mono-audio': 'The sound is mono',
  'narrow-audio': 'The sound is not 48 kHz',
  'uplink-loss': 'Packets are lost on the way to the server',
  'bitrate-swings': 'The bitrate swings',
  'missing-layer': 'A layer does not come',
  'clock-jump': 'The clock jumps',
};

/** What the server found wrong with a publisher, the worst first. */
export function Findings({ findings }: { findings: Finding[] }) {
  const order = ['error', 'warning', 'info'];
  const sorted = [...findings].sort((a, b) => order.indexOf(a.severity) - order.indexOf(b.severity));
  return (
    <>
      {sorted.map(({ code, severity, layer, advice }) => (
        <Notice
          key={`${code} ${layer}`}
          tone={TONES[severity]}
          what={`${TITLES[code] ?? code}${layer === null ? '' : ` (layer ${layer})`}.`}
          todo={advice}
        />
      ))}
    </>
  );
}
