/** Typed events: `Events` maps each event's name to the value its listeners get. */
export class Emitter<Events extends object> {
  #listeners: { [Name in keyof Events]?: Set<(value: Events[Name]) => void> } = {};

  /** Calls `listener` at each `name` event until the returned function is called. */
  on<Name extends keyof Events>(name: Name, listener: (value: Events[Name]) => void): () => void {
    const listeners = this.#listeners[name] ?? new Set();
    this.#listeners[name] = listeners;
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  protected emit<Name extends keyof Events>(name: Name, value: Events[Name]): void {
    for (const listener of this.#listeners[name] ?? []) listener(value);
  }
}
