import { whepUrl } from '../name';
import '../player/jsx';

/** What a stream shows: its smallest layer, without sound, if `mayPlay`: that is a viewer, with a connection of its own. */
export function Thumbnail({
  name,
  operatorKey,
  mayPlay = true,
}: {
  name: string;
  operatorKey: string;
  mayPlay?: boolean;
}) {
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
