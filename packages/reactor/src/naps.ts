import { TICKS_PER_US } from '@spdk-ts/env';

/** How long a reactor looks for work before it naps, and how long it naps at most. */
const AFTER_TICKS = 5 * TICKS_PER_US;
export const NAP_TICKS = 100 * TICKS_PER_US;
/** Gaps that are shorter on average are spent awake: to be woken takes 10 to 30 µs. */
const WORTH_TICKS = 60 * TICKS_PER_US;
/** Longer ones count as this long: one alone changes nothing. */
const GAP_TICKS_MAX = 2 * WORTH_TICKS;
/** One gap in so many is spent awake, which shows how long it is without what waking adds. */
const MEASURED = 8;
/** Share of a new gap in the average. */
const WEIGHT = 1 / 4;

/**
 * Whether an adaptive reactor that waits for a device naps between two bursts of work: where these gaps are long, it learns
 * from those that it spends awake. Times are ticks.
 */
export class Naps {
  private average = 0;
  private gaps = 0;
  /** The gap under way is not measured. */
  private unmeasured = false;

  /** There is work, the first for `gap` ticks. */
  worked(gap: number): void {
    if (gap < AFTER_TICKS) return; // a burst goes on
    if (!this.unmeasured) this.average += (Math.min(gap, GAP_TICKS_MAX) - this.average) * WEIGHT;
    this.unmeasured = false;
    this.gaps++;
  }

  /** True if it is time for a nap, after `gap` ticks without work. */
  due(gap: number): boolean {
    return gap >= AFTER_TICKS && this.average >= WORTH_TICKS && this.gaps % MEASURED !== 0;
  }

  /** The reactor naps or sleeps now: how long this gap would have been cannot be known. */
  slept(): void {
    this.unmeasured = true;
  }
}
