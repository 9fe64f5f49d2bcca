import type { Ref } from 'preact';
import type { ShibukiPlayer } from '.';
import './index';

/** The element's attributes as the pages write them. */
export interface PlayerAttributes {
  ref?: Ref<ShibukiPlayer>;
  class?: string;
  src?: string;
  token?: string;
  latency?: string;
  'max-height'?: string;
  muted?: boolean;
  start?: string;
  controls?: string;
  events?: string;
  keys?: string;
  label?: string;
  inert?: boolean;
}

declare module 'preact' {
  namespace JSX {
    interface IntrinsicElements {
      'shibuki-player': PlayerAttributes;
    }
  }
}
