// A page that has nothing to do with the server: `?server=http://…&stream=…` and `&as=tag` (the server's script), `&as=package`
// (the module from npm, in a script of its own) or `&as=frame`.
const query = new URLSearchParams(location.search);
const server = query.get('server');
const stream = query.get('stream');
window.events = [];

addEventListener('DOMContentLoaded', () => {
  const main = document.querySelector('main');
  if (query.get('as') === 'frame') {
    const frame = document.createElement('iframe');
    frame.src = `${server}/embed/${stream}`;
    frame.allow = 'autoplay; fullscreen; picture-in-picture';
    frame.title = 'Live video';
    main.append(frame);
    return;
  }
  const script = document.createElement('script');
  script.src = query.get('as') === 'package' ? '/packed.js' : `${server}/player.js`;
  document.head.append(script);
  const player = document.createElement('shibuki-player');
  player.setAttribute('src', `${server}/whep/${stream}`);
  for (const name of ['statechange', 'firstframe', 'problem', 'qualitychange'])
    player.addEventListener(name, ({ detail }) => window.events.push([name, detail?.kind ?? detail]));
  main.append(player);
});
