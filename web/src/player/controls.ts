import type { Quality } from '../whep';
import type { Layer } from '../whep-events';
import { choices, qualityLabel, same, stepped } from './quality';
import { ICONS, type View } from './view';

/** What the controls do; the element does it. */
export interface Deck {
  paused(): boolean;
  layers(): Layer[];
  quality(): Quality;
  togglePlay(): void;
  setSound(on: boolean): void;
  setVolume(volume: number): void;
  choose(quality: Quality): void;
  toggleStatistics(): void;
  toggleInset(): void;
  toggleFullscreen(): void;
}

/** Without the pointer moving for so long, ms, the controls give way to the picture. */
const IDLE = 3000;

/** Buttons, menu and keys of one player. */
export class Controls {
  /** The menu's items are being replaced: that the focus leaves them means nothing. */
  #renewing = false;
  #view: View;
  #deck: Deck;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;
  #mayIdle = false;

  constructor(view: View, deck: Deck) {
    this.#view = view;
    this.#deck = deck;
    view.play.addEventListener('click', () => deck.togglePlay());
    view.mute.addEventListener('click', () => deck.setSound(view.video.muted));
    view.volume.addEventListener('input', () => deck.setVolume(Number(view.volume.value)));
    view.statistics.addEventListener('click', () => deck.toggleStatistics());
    view.inset.addEventListener('click', () => deck.toggleInset());
    view.fullscreen.addEventListener('click', () => deck.toggleFullscreen());
    view.quality.addEventListener('click', () => this.#menu(view.menu.hidden === true));
    view.menu.addEventListener('keydown', (event) => this.#menuKey(event));
    view.chooser.addEventListener('focusout', ({ relatedTarget }) => {
      if (!this.#renewing && !view.chooser.contains(relatedTarget as Node | null)) this.#menu(false);
    });
    view.stage.addEventListener('dblclick', ({ target }) => {
      if (target === view.video || target === view.stage) deck.toggleFullscreen();
    });
    for (const name of ['pointermove', 'pointerdown', 'keydown', 'focusin'])
      view.stage.addEventListener(name, () => this.#stir());
    view.inset.hidden = !(document.pictureInPictureEnabled ?? false);
    this.sound();
  }

  /** Shows what is muted and how loud. */
  sound(): void {
    const { mute, video, volume } = this.#view;
    mute.innerHTML = video.muted ? ICONS.silence : ICONS.sound;
    name(mute, video.muted ? 'Unmute' : 'Mute', 'm');
    volume.value = video.muted ? '0' : String(video.volume);
  }

  playing(paused: boolean): void {
    const { play } = this.#view;
    play.innerHTML = paused ? ICONS.play : ICONS.pause;
    name(play, paused ? 'Play' : 'Pause', 'space');
  }

  quality(height: number | null, choosable: boolean): void {
    const { chooser, menu, quality } = this.#view;
    const [layers, now] = [this.#deck.layers(), this.#deck.quality()];
    chooser.hidden = !choosable;
    const label = qualityLabel(layers, now, height);
    if (quality.textContent !== label) {
      quality.textContent = label;
      quality.setAttribute('aria-label', `Quality: ${label}`);
      quality.title = 'Quality (up and down arrows)';
    }
    if (!menu.hidden) this.#items();
  }

  /** Whether the controls may hide when nobody moves. */
  mayIdle(may: boolean): void {
    if (this.#mayIdle === may) return;
    this.#mayIdle = may;
    this.#stir();
  }

  /** A key pressed on the player, or anywhere on a page that is nothing else. True where it meant something. */
  key(event: KeyboardEvent): boolean {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return false;
    const target = event.composedPath()[0];
    if (
      target instanceof HTMLElement &&
      target.closest('input, select, textarea, [contenteditable], [role=menu]')
    )
      return false;
    const deck = this.#deck;
    const { video } = this.#view;
    switch (event.key) {
      case ' ':
        // On a button the space bar is that button's.
        if (target instanceof HTMLElement && target.closest('button, a, summary')) return false;
        deck.togglePlay();
        break;
      case 'm':
        deck.setSound(video.muted);
        break;
      case 'f':
        deck.toggleFullscreen();
        break;
      case 'i':
        deck.toggleStatistics();
        break;
      case 'p':
        deck.toggleInset();
        break;
      case 'ArrowUp':
        return this.#step(event, -1);
      case 'ArrowDown':
        return this.#step(event, 1);
      case 'ArrowLeft':
        deck.setVolume(Math.max(0, (video.muted ? 0 : video.volume) - 0.1));
        break;
      case 'ArrowRight':
        deck.setVolume(Math.min(1, (video.muted ? 0 : video.volume) + 0.1));
        break;
      default:
        return false;
    }
    event.preventDefault();
    this.#stir();
    return true;
  }

  #step(event: KeyboardEvent, step: 1 | -1): boolean {
    if (this.#view.chooser.hidden) return false;
    event.preventDefault();
    const quality = stepped(this.#deck.layers(), this.#deck.quality(), step);
    if (quality) this.#deck.choose(quality);
    this.#stir();
    return true;
  }

  #menu(open: boolean): void {
    const { menu, quality } = this.#view;
    if (menu.hidden === !open) return;
    menu.hidden = !open;
    quality.setAttribute('aria-expanded', String(open));
    if (!open) return;
    this.#items();
    (menu.querySelector<HTMLElement>('[aria-checked=true]') ?? menu.querySelector('button'))?.focus();
  }

  #items(): void {
    const { menu } = this.#view;
    const [layers, now] = [this.#deck.layers(), this.#deck.quality()];
    const list = choices(layers);
    const signature = JSON.stringify([list.map(({ quality, label }) => [quality, label]), now]);
    if (menu.dataset.list === signature) {
      // Bitrates change all the time: the items stay, and with them the focus.
      list.forEach(({ note }, index) => {
        const shown = menu.children[index]?.querySelector('small');
        if (shown) shown.textContent = note;
      });
      return;
    }
    menu.dataset.list = signature;
    const focused = [...menu.children].indexOf((menu.getRootNode() as ShadowRoot).activeElement as Element);
    this.#renewing = true;
    menu.replaceChildren(
      ...list.map(({ quality, label, note }) => {
        const item = document.createElement('button');
        item.type = 'button';
        item.tabIndex = -1;
        item.setAttribute('role', 'menuitemradio');
        item.setAttribute('aria-checked', String(same(quality, now)));
        item.append(label);
        item.append(Object.assign(document.createElement('small'), { textContent: note }));
        item.addEventListener('click', () => {
          this.#deck.choose(quality);
          this.#view.quality.focus();
          this.#menu(false);
        });
        return item;
      }),
    );
    if (focused >= 0) (menu.children[Math.min(focused, list.length - 1)] as HTMLElement).focus();
    this.#renewing = false;
  }

  #menuKey(event: KeyboardEvent): void {
    const items = [...this.#view.menu.children] as HTMLElement[];
    const at = items.indexOf((this.#view.menu.getRootNode() as ShadowRoot).activeElement as HTMLElement);
    const to: Record<string, number> = {
      ArrowUp: (at - 1 + items.length) % items.length,
      ArrowDown: (at + 1) % items.length,
      Home: 0,
      End: items.length - 1,
    };
    const next = to[event.key];
    if (next !== undefined) items[next]?.focus();
    else if (event.key === 'Escape') {
      this.#view.quality.focus();
      this.#menu(false);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #stir(): void {
    const { stage, menu } = this.#view;
    stage.classList.remove('idle');
    clearTimeout(this.#idleTimer);
    if (!this.#mayIdle) return;
    this.#idleTimer = setTimeout(() => {
      // Never away from under a menu or from the focus of the keyboard.
      const focused = stage.querySelector('.controls :focus-visible');
      if (menu.hidden && !focused) stage.classList.add('idle');
    }, IDLE);
  }
}

function name(button: HTMLButtonElement, label: string, key: string): void {
  button.setAttribute('aria-label', label);
  button.title = `${label} (${key})`;
}
