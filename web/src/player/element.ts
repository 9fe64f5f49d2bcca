import type { Problem } from '../problem';
import type { ViewerStats } from '../stats';
import { explainTrouble } from '../trouble';
import { type LatencyWish, type PlayerState, type Quality, WhepPlayer } from '../whep';
import type { Layer } from '../whep-events';
import { Controls } from './controls';
import { describe } from './describe';
import { viewerFacts } from './facts';
import { buildView, type View } from './view';

/** The element's events and their `detail`. None bubbles. */
export interface ShibukiPlayerEvents {
  /** The state of playing. */
  statechange: PlayerState;
  /** What is wrong, or null when it is well again. */
  problem: Problem | null;
  /** Milliseconds from the POST to the first picture. */
  firstframe: number;
  /** Twice a second. */
  stats: ViewerStats;
  layers: Layer[];
  viewercount: number;
  qualitychange: Quality;
  /** Why the picture stands still, in words, or null when it moves again. */
  trouble: string | null;
  /** Somebody gave a key in the player's own form. */
  token: string;
}

/**
 * `<shibuki-player src="https://host/whep/name">`. Attributes, all but `src` optional: `token`, `latency` (low, auto,
 * smooth), `max-height`, `muted`, `start="click"` (plays when asked to), `controls="none"`, `keys="page"` (the
 * keyboard works from the whole page), `events="none"` (no connection for the server's events: for pages with many
 * players), `label`.
 */
export class ShibukiPlayer extends HTMLElement {
  static readonly observedAttributes = [
    'src',
    'token',
    'latency',
    'max-height',
    'controls',
    'label',
    'muted',
  ];

  #view: View;
  #controls: Controls;
  #player: WhepPlayer | null = null;
  #problem: Problem | null = null;
  #stats: ViewerStats | null = null;
  #viewers: number | null = null;
  #paused = false;
  #blocked = false;
  /** Whether somebody wants sound; null while nobody has said. */
  #wantsSound: boolean | null = null;
  #leaving = new AbortController();
  #mediaPort: number | null = null;

  constructor() {
    super();
    this.#view = buildView(this.attachShadow({ mode: 'open', delegatesFocus: true }));
    const { again, big, keyForm, keyInput, stage, video } = this.#view;
    // Muted by attribute and property alike: browsers look at either before they let a video start by itself.
    video.defaultMuted = true;
    video.muted = true;
    this.#controls = new Controls(this.#view, {
      paused: () => this.#paused,
      layers: () => this.layers,
      quality: () => this.quality,
      togglePlay: () => (this.#paused ? this.play() : this.pause()),
      setSound: (on) => {
        this.#wantsSound = on;
        this.#sound(on);
      },
      setVolume: (volume) => this.#volume(volume),
      choose: (quality) => this.choose(quality),
      toggleStatistics: () => this.#statistics(),
      toggleInset: () => void this.#inset(),
      toggleFullscreen: () => void this.#fullscreen(),
    });
    again.addEventListener('click', () => this.play());
    big.addEventListener('click', () => {
      this.#wantsSound ??= !this.hasAttribute('muted');
      if (this.#paused) this.play();
      else this.#sound(this.#wantsSound);
    });
    keyForm.addEventListener('submit', (event) => {
      event.preventDefault();
      const key = keyInput.value.trim();
      if (key === '' || !this.#player) return;
      this.#player.key = key;
      this.#tell('token', key);
      this.play();
    });
    stage.addEventListener('keydown', (event) => void this.#controls.key(event));
    video.addEventListener('volumechange', () => this.#draw());
  }

  connectedCallback(): void {
    this.#leaving = new AbortController();
    const { signal } = this.#leaving;
    const wake = () => {
      if (!document.hidden) this.#player?.nudge();
    };
    window.addEventListener('online', wake, { signal });
    document.addEventListener('visibilitychange', wake, { signal });
    window.addEventListener('pagehide', () => this.#player?.stop(), { signal });
    window.addEventListener(
      'pageshow',
      ({ persisted }) => {
        if (persisted && !this.#paused) this.#player?.start();
      },
      { signal },
    );
    document.addEventListener(
      'keydown',
      (event) => {
        const own = event.composedPath().includes(this);
        if (!own && this.getAttribute('keys') === 'page') this.#controls.key(event);
      },
      { signal },
    );
    this.#paused = this.getAttribute('start') === 'click';
    this.#renew();
  }

  disconnectedCallback(): void {
    this.#leaving.abort();
    this.#player?.stop();
    this.#player = null;
  }

  attributeChangedCallback(name: string, before: string | null, now: string | null): void {
    if (before === now) return;
    if (name === 'controls') this.#view.controls.hidden = now === 'none';
    else if (name === 'label') this.#view.stage.setAttribute('aria-label', now ?? 'Live video');
    else if (name === 'muted')
      this.#sound(now === null && (navigator.userActivation?.hasBeenActive ?? false));
    else if (!this.isConnected) return;
    else if (name === 'events') {
      if (now !== 'none') this.#player?.listen();
    } else if (name === 'token' && this.#player) {
      this.#player.key = now ?? '';
      if (this.state === 'failed') this.play();
    } else if (name === 'max-height') this.choose(this.#wished());
    else this.#renew();
    this.#draw();
  }

  get state(): PlayerState {
    return this.#player?.state ?? 'idle';
  }

  /** From just before the POST of the running session to its first picture, ms. */
  get firstFrameMs(): number | null {
    return this.#player?.firstFrameMs ?? null;
  }

  get layers(): Layer[] {
    return this.#player?.layers ?? [];
  }

  get quality(): Quality {
    return this.#player?.quality ?? { kind: 'auto' };
  }

  get video(): HTMLVideoElement {
    return this.#view.video;
  }

  /** The UDP port of the server's media: then a message about firewalls can name it. */
  set mediaPort(port: number | null) {
    this.#mediaPort = port;
    this.#draw();
  }

  /** A fresh look; null while there is no connection. */
  async stats(): Promise<ViewerStats | null> {
    return (await this.#player?.stats()) ?? null;
  }

  /** Plays, at live. */
  play(): void {
    this.#paused = false;
    this.#player?.start();
    void this.#play();
    this.#draw();
  }

  /** Stops and leaves the session: a live stream has no later to go on from, and a pause should cost nobody anything. */
  pause(): void {
    this.#paused = true;
    this.#view.video.pause();
    this.#player?.stop();
    this.#draw();
  }

  choose(quality: Quality): void {
    this.#player?.choose(quality);
    this.#draw();
  }

  /** Another session with what the attributes say now. */
  #renew(): void {
    this.#player?.stop();
    this.#player = null;
    this.#problem = null;
    this.#stats = null;
    const src = this.getAttribute('src');
    if (!src) {
      this.#draw();
      return;
    }
    const player = new WhepPlayer(new URL(src, document.baseURI).href, {
      key: this.getAttribute('token') ?? '',
      latency: wish(this.getAttribute('latency')),
      quality: this.#wished(),
      events: this.getAttribute('events') !== 'none',
    });
    this.#player = player;
    const own =
      <Value>(action: (value: Value) => void) =>
      (value: Value) => {
        if (this.#player !== player) return;
        action(value);
        this.#draw();
      };
    player.on(
      'state',
      own((state) => this.#tell('statechange', state)),
    );
    player.on(
      'problem',
      own((problem) => {
        this.#problem = problem;
        this.#tell('problem', problem);
      }),
    );
    player.on(
      'stream',
      own(() => queueMicrotask(() => void this.#play())),
    );
    player.on(
      'firstframe',
      own((ms) => this.#tell('firstframe', ms)),
    );
    player.on(
      'layers',
      own((layers) => this.#tell('layers', layers)),
    );
    player.on(
      'quality',
      own((quality) => this.#tell('qualitychange', quality)),
    );
    player.on(
      'viewers',
      own((count) => {
        this.#viewers = count;
        this.#tell('viewercount', count);
      }),
    );
    player.on(
      'trouble',
      own((trouble) => this.#tell('trouble', trouble && explainTrouble(trouble).what)),
    );
    player.on(
      'stats',
      own((stats) => {
        this.#stats = stats;
        this.#tell('stats', stats);
      }),
    );
    player.attach(this.#view.video);
    if (!this.#paused) player.start();
    this.#draw();
  }

  #wished(): Quality {
    const maxHeight = Number(this.getAttribute('max-height'));
    return Number.isInteger(maxHeight) && maxHeight > 0 ? { kind: 'height', maxHeight } : { kind: 'auto' };
  }

  /** Starts the element: with sound where the page may, else muted, else it takes a click. */
  async #play(): Promise<void> {
    const { video } = this.#view;
    if (this.#paused) return;
    const may = this.#wantsSound ?? navigator.userActivation?.hasBeenActive ?? false;
    if (may && !this.hasAttribute('muted')) video.muted = false;
    for (const attempt of [1, 2]) {
      try {
        await video.play();
        this.#blocked = false;
        break;
      } catch (error) {
        // Another stream took this one's place, or the element was paused: nothing to tell.
        if (!(error instanceof Error) || error.name !== 'NotAllowedError') break;
        this.#blocked = attempt === 2;
        video.muted = true;
      }
    }
    this.#draw();
  }

  #sound(on: boolean): void {
    const { video } = this.#view;
    video.muted = !on;
    if (on && video.volume === 0) video.volume = 1;
    if (!this.#paused && video.srcObject) void this.#play();
    this.#draw();
  }

  #volume(volume: number): void {
    this.#view.video.volume = volume;
    this.#wantsSound = volume > 0;
    this.#sound(volume > 0);
  }

  #statistics(): void {
    const { overlay, statistics } = this.#view;
    overlay.hidden = !overlay.hidden;
    statistics.setAttribute('aria-pressed', String(!overlay.hidden));
    this.#draw();
  }

  async #inset(): Promise<void> {
    try {
      if (document.pictureInPictureElement) await document.exitPictureInPicture();
      else await this.#view.video.requestPictureInPicture?.();
    } catch {
      // No picture yet, or not allowed here.
    }
  }

  async #fullscreen(): Promise<void> {
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      else if (this.requestFullscreen) await this.requestFullscreen();
      // iPhones have fullscreen for the video element alone.
      else (this.#view.video as unknown as { webkitEnterFullscreen?(): void }).webkitEnterFullscreen?.();
    } catch {
      // Not allowed here (an iframe without permission).
    }
  }

  #draw(): void {
    const { again, big, caption, keyForm, latency, live, spinner, todo, veil, video, what } = this.#view;
    const { state } = this;
    const problem = this.#problem;
    const failed = state === 'failed';
    this.dataset.state = state;
    const words = this.#paused
      ? null
      : describe({
          state,
          problem,
          mediaPort: this.#mediaPort,
          pictureUnderWay: (this.#stats?.videoBytes ?? 0) > 0,
        });
    veil.hidden = words === null;
    write(what, words?.what ?? '');
    write(todo, words?.todo ?? '');
    spinner.hidden = failed;
    keyForm.hidden = !(failed && problem?.kind === 'key');
    again.hidden = !failed || problem?.kind === 'key';

    const trouble = state === 'playing' && !this.#paused ? (this.#player?.trouble ?? null) : null;
    const said = trouble && explainTrouble(trouble);
    caption.hidden = said === null;
    write(caption, said ? `${said.what} ${said.todo}` : '');

    const silent = state === 'playing' && video.muted && !this.hasAttribute('muted');
    const bare = this.getAttribute('controls') === 'none';
    big.hidden = bare ? !this.#paused : !(this.#paused || this.#blocked || silent);
    write(big, this.#paused || this.#blocked ? 'Play' : 'Turn the sound on');

    const delay = this.#stats?.latency ?? null;
    live.hidden = state !== 'playing' || this.#paused;
    latency.title = delay ? 'Delay from the publisher’s camera to this screen' : '';
    write(latency, delay && state === 'playing' ? delayLabel(delay.kind, delay.ms) : '');

    this.#controls.sound();
    this.#controls.playing(this.#paused);
    this.#controls.quality(this.#stats?.height ?? null, this.#player?.choosable ?? false);
    this.#controls.mayIdle(state === 'playing' && !this.#paused && big.hidden);
    this.#facts();
  }

  #facts(): void {
    const { facts, overlay } = this.#view;
    if (overlay.hidden) return;
    const rows = viewerFacts(this.#stats, this.state, this.firstFrameMs, this.#viewers);
    while (facts.children.length > rows.length) facts.lastElementChild?.remove();
    rows.forEach(([name, value], index) => {
      let row = facts.children[index];
      if (!row) {
        row = document.createElement('div');
        row.append(document.createElement('dt'), document.createElement('dd'));
        facts.append(row);
      }
      write(row.children[0], name);
      write(row.children[1], value);
    });
  }

  #tell<Name extends keyof ShibukiPlayerEvents>(name: Name, detail: ShibukiPlayerEvents[Name]): void {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

function wish(text: string | null): LatencyWish {
  return text === 'low' || text === 'smooth' ? text : 'auto';
}

function delayLabel(kind: 'exact' | 'estimate' | 'floor', ms: number): string {
  const value = Math.round(ms / 10) * 10;
  return kind === 'exact' ? `${value} ms` : kind === 'estimate' ? `≈ ${value} ms` : `> ${value} ms`;
}

/** Only what changed: a screen reader speaks a status again when its text is set again. */
function write(element: Element | undefined, text: string): void {
  if (element && element.textContent !== text) element.textContent = text;
}
