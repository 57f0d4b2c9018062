/** Callbacks for the one time that something closes. */
export class CloseCallbacks {
  #closed = false;
  readonly #callbacks = new Set<() => void>();

  get closed(): boolean {
    return this.#closed;
  }

  add(callback: () => void): () => void {
    if (this.#closed) {
      callback();
      return () => {};
    }
    // One function may be given twice.
    const entry = () => callback();
    this.#callbacks.add(entry);
    return () => this.#callbacks.delete(entry);
  }

  run(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const callback of this.#callbacks) callback();
    this.#callbacks.clear();
  }
}
