import css from './player.css?inline';

const icon = (paths: string) =>
  `<svg viewBox="0 0 24 24" aria-hidden="true" focusable="false">${paths}</svg>`;

const SPEAKER = '<path d="M3 9v6h4l5 5V4L7 9z"/>';
export const ICONS = {
  play: icon('<path d="M7 4v16l13-8z"/>'),
  pause: icon('<path d="M6 4h4v16H6zM14 4h4v16h-4z"/>'),
  sound: icon(`${SPEAKER}<path class="line" d="M15.5 8.5a5 5 0 0 1 0 7M18 5.5a9 9 0 0 1 0 13"/>`),
  silence: icon(`${SPEAKER}<path class="line" d="m16 9 6 6m0-6-6 6"/>`),
  statistics: icon('<path d="M4 20V11h4v9zM10 20V4h4v16zM16 20v-6h4v6z"/>'),
  inset: icon('<path class="line" d="M21 10V5H3v14h7"/><path d="M12 12h10v8H12z"/>'),
  fullscreen: icon('<path class="line" d="M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5"/>'),
} as const;

// Constant markup: nothing of a page or a server ever goes in here.
const MARKUP = `
<div class="stage" part="stage" role="group" tabindex="0" aria-label="Live video">
  <video part="video" playsinline autoplay></video>
  <div class="veil" part="message" hidden>
    <span class="spinner" aria-hidden="true"></span>
    <div role="status"><p class="what"></p><p class="todo"></p></div>
    <form hidden>
      <label>Key <input type="password" autocomplete="off" required /></label>
      <button type="submit" class="plain">Watch</button>
    </form>
    <button type="button" class="plain again" hidden>Try again</button>
  </div>
  <p class="caption" part="caption" role="status" hidden></p>
  <button type="button" class="big" part="unmute" hidden></button>
  <section class="overlay" part="statistics" aria-label="Statistics" tabindex="0" hidden><dl></dl></section>
  <div class="controls" part="controls">
    <button type="button" class="play" part="button" aria-keyshortcuts="Space"></button>
    <button type="button" class="mute" part="button" aria-keyshortcuts="m"></button>
    <input class="volume" part="volume" type="range" min="0" max="1" step="0.05" value="1" aria-label="Volume" />
    <span class="live" part="live">Live</span>
    <span class="latency" part="latency"></span>
    <span class="space"></span>
    <div class="chooser" hidden>
      <div class="menu" part="menu" role="menu" aria-label="Quality" hidden></div>
      <button type="button" class="quality" part="button" aria-haspopup="menu" aria-expanded="false"></button>
    </div>
    <button type="button" class="statistics" part="button" aria-pressed="false" aria-keyshortcuts="i"
      aria-label="Statistics" title="Statistics (i)">${ICONS.statistics}</button>
    <button type="button" class="inset" part="button" aria-keyshortcuts="p"
      aria-label="Picture in picture" title="Picture in picture (p)" hidden>${ICONS.inset}</button>
    <button type="button" class="fullscreen" part="button" aria-keyshortcuts="f"
      aria-label="Full screen" title="Full screen (f)">${ICONS.fullscreen}</button>
  </div>
</div>`;

/** The parts of a player's shadow tree. */
export interface View {
  stage: HTMLElement;
  video: HTMLVideoElement;
  veil: HTMLElement;
  spinner: HTMLElement;
  what: HTMLElement;
  todo: HTMLElement;
  keyForm: HTMLFormElement;
  keyInput: HTMLInputElement;
  again: HTMLButtonElement;
  caption: HTMLElement;
  big: HTMLButtonElement;
  overlay: HTMLElement;
  facts: HTMLElement;
  controls: HTMLElement;
  play: HTMLButtonElement;
  mute: HTMLButtonElement;
  volume: HTMLInputElement;
  live: HTMLElement;
  latency: HTMLElement;
  chooser: HTMLElement;
  menu: HTMLElement;
  quality: HTMLButtonElement;
  statistics: HTMLButtonElement;
  inset: HTMLButtonElement;
  fullscreen: HTMLButtonElement;
}

let sheet: CSSStyleSheet | null = null;

/** Fills a shadow root. Its style is a constructed sheet: a page's Content-Security-Policy has nothing against it. */
export function buildView(root: ShadowRoot): View {
  if (sheet === null) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
  }
  root.adoptedStyleSheets = [sheet];
  root.innerHTML = MARKUP;
  const find = <E extends HTMLElement>(selector: string) => root.querySelector(selector) as E;
  return {
    stage: find('.stage'),
    video: find('video'),
    veil: find('.veil'),
    spinner: find('.spinner'),
    what: find('.what'),
    todo: find('.todo'),
    keyForm: find('form'),
    keyInput: find('form input'),
    again: find('.again'),
    caption: find('.caption'),
    big: find('.big'),
    overlay: find('.overlay'),
    facts: find('dl'),
    controls: find('.controls'),
    play: find('.play'),
    mute: find('.mute'),
    volume: find('.volume'),
    live: find('.live'),
    latency: find('.latency'),
    chooser: find('.chooser'),
    menu: find('.menu'),
    quality: find('.quality'),
    statistics: find('.statistics'),
    inset: find('.inset'),
    fullscreen: find('.fullscreen'),
  };
}
