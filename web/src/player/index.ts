import { ShibukiPlayer } from './element';

export type { Latency } from '../latency';
export type { Problem, ProblemKind } from '../problem';
export type { ViewerStats } from '../stats';
export type { LatencyWish, PlayerState, Quality } from '../whep';
export type { Layer } from '../whep-events';
export type { ShibukiPlayerEvents } from './element';
export { ShibukiPlayer };

// The script may be on a page twice.
if (!customElements.get('shibuki-player')) customElements.define('shibuki-player', ShibukiPlayer);

declare global {
  interface HTMLElementTagNameMap {
    'shibuki-player': ShibukiPlayer;
  }
}
