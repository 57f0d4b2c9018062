/** Ticks of the framework's clocks in a second: a tick is a nanosecond. */
export const TICK_RATE = 1_000_000_000;
export const TICKS_PER_US = 1_000;
export const TICKS_PER_MS = 1_000_000;

/** A monotonic clock. A tick count is an integer below 2^53. A simulator supplies its own. */
export interface Clock {
  now(): number;
  /** Puts now() into the first element: a tick count that is returned is an object on the heap. */
  read(into: Float64Array): void;
}

/** The global is an accessor that is written in JavaScript: looked up once, not with every reading. */
const { performance } = globalThis;

/**
 * The machine's monotonic clock, counted from `epoch_ms` (Unix milliseconds, as performance.timeOrigin), so that
 * every thread of a process that is given the same epoch reads the same ticks.
 */
export function systemClock(epoch_ms: number = performance.timeOrigin): Clock {
  const offset_ms = performance.timeOrigin - epoch_ms;
  return {
    now: () => Math.floor((performance.now() + offset_ms) * TICKS_PER_MS),
    read: (into) => {
      into[0] = Math.floor((performance.now() + offset_ms) * TICKS_PER_MS);
    },
  };
}

/** A clock that stands still until it is moved: for tests and the simulator. */
export class ManualClock implements Clock {
  ticks = 0;

  now(): number {
    return this.ticks;
  }
  read(into: Float64Array): void {
    into[0] = this.ticks;
  }
  advance(ticks: number): void {
    this.ticks += ticks;
  }
}
