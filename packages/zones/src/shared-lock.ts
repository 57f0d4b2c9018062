const FREE = 0;
const HELD = 1;
/** Held, and somebody may sleep until it is free. */
const CONTENDED = 2;
const SPINS = 200;

/**
 * A lock in a word of shared memory, for sections of a few dozen instructions that several threads run on the same
 * memory. Who holds it calls nothing that could take another lock, wait, or throw: so it is always released.
 */
export class SharedLock {
  private readonly words: Int32Array;
  private readonly at: number;

  /** `words`: over a SharedArrayBuffer that is 0 at first; `at`: the lock's place in it. */
  constructor(words: Int32Array, at: number) {
    this.words = words;
    this.at = at;
  }

  acquire(): void {
    if (Atomics.compareExchange(this.words, this.at, FREE, HELD) !== FREE) this.acquireContended();
  }

  private acquireContended(): void {
    const { words, at } = this;
    for (let i = 0; i < SPINS; i++) if (Atomics.compareExchange(words, at, FREE, HELD) === FREE) return;
    // Its holder may not be running: let it.
    while (Atomics.exchange(words, at, CONTENDED) !== FREE) Atomics.wait(words, at, CONTENDED);
  }

  release(): void {
    if (Atomics.exchange(this.words, this.at, FREE) === CONTENDED) Atomics.notify(this.words, this.at, 1);
  }
}
