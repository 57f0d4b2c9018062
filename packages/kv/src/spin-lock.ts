/** Looks at a held lock so often: a few microseconds, more than the holder needs unless it was put to sleep. */
const SPINS_MAX = 2000;

/** Takes a lock, a word of shared memory that is 0 while it is free. False if its holder does not let it go soon. */
export function tryLock(words: Int32Array, at: number): boolean {
  for (let spins = 0; spins < SPINS_MAX; spins++) {
    if (Atomics.load(words, at) === 0 && Atomics.compareExchange(words, at, 0, 1) === 0) return true;
  }
  return false;
}

export function unlock(words: Int32Array, at: number): void {
  Atomics.store(words, at, 0);
}
