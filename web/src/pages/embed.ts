import { expose } from '../hook';
import { storedKey, storeKey } from '../keys';
import { nameFromPath, whepUrl } from '../name';
import '../player';
import { playerOptions } from '../ui/options';
import '../embed.css';

const name = nameFromPath(location.pathname);
if (name === null) {
  const sorry = document.createElement('p');
  sorry.textContent = 'There is no stream at this address.';
  document.body.append(sorry);
} else {
  document.title = `${name} – shibuki`;
  const player = document.createElement('shibuki-player');
  const attributes = {
    src: whepUrl(location.origin, name),
    token: storedKey('watch', name),
    label: `Stream ${name}`,
    keys: 'page',
    ...playerOptions(location.search),
  };
  for (const [attribute, value] of Object.entries(attributes)) player.setAttribute(attribute, String(value));
  player.addEventListener('token', (event) => storeKey('watch', name, (event as CustomEvent<string>).detail));
  document.body.append(player);
  expose(player);
}
