import type { PlayerAttributes } from '../player/jsx';

/** The player's attributes that an address of a page may carry: `?latency=low&max-height=360&muted&token=…`. */
export function playerOptions(search: string): PlayerAttributes {
  const query = new URLSearchParams(search);
  const options: PlayerAttributes = {};
  const latency = query.get('latency');
  const maxHeight = query.get('max-height');
  const token = query.get('token');
  const start = query.get('start');
  if (latency) options.latency = latency;
  if (maxHeight) options['max-height'] = maxHeight;
  if (token) options.token = token;
  if (start) options.start = start;
  if (query.has('muted')) options.muted = true;
  return options;
}
