/*
 * Rate limits of a bdev, shared by all reactors. Time is cut into slices of a millisecond; each limit has a balance,
 * a word of shared memory that every slice adds to and every I/O takes from. An I/O starts while the balances that
 * concern it are above 0, however large it is: the debt is paid by the slices that follow. So limits hold exactly over
 * time, down to one I/O a second, and are not rounded. What a slice does not use is lost; not so what reactors that come
 * late owe to I/O that waits.
 */

export const rateLimitNames = [
  'rw_ios_per_sec',
  'rw_mbytes_per_sec',
  'r_mbytes_per_sec',
  'w_mbytes_per_sec',
] as const;
export type RateLimitName = (typeof rateLimitNames)[number];
/** 0: no limit. A megabyte has 2^20 bytes. */
export type RateLimits = Readonly<Record<RateLimitName, number>>;
export const noRateLimits: RateLimits = {
  rw_ios_per_sec: 0,
  rw_mbytes_per_sec: 0,
  r_mbytes_per_sec: 0,
  w_mbytes_per_sec: 0,
};

export const SLICE_US = 1000;
const SLICE_TICKS = 1_000_000;
const SLICES_PER_SEC = 1000;
const MIB = 1024 * 1024;
/** I/Os are counted in thousandths: a limit of so many a second is so many thousandths a slice. */
const IO_COST = 1000;
/** Slices whose share is added at once, at most. */
const SLICES_MAX = 2 ** 20;
/** Most that a slice adds, an I/O takes, and is left: balances stay 32 bit integers. */
const SHARE_MAX = 2 ** 27;
const COST_MAX = 2 ** 28;
const BALANCE_MAX = 2 ** 30;
/** Slices that a reactor's time may lag behind another's. */
const LAG_MAX = 10_000;

/** Words of the shared memory: the last slice that was added, channels with I/O that waits, then the balances. */
const SLICE = 0;
const WAITING = 1;
const BALANCES = 2;
const WORDS = BALANCES + rateLimitNames.length;

export type Admission = 'admitted' | 'rate' | 'direction';

export class RateLimiter {
  private readonly words: Int32Array;
  /** What a second adds, by limit; 0: no limit. */
  private readonly perSecond: readonly number[];

  static allocate(): SharedArrayBuffer {
    return new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT);
  }

  constructor(limits: RateLimits, shared: SharedArrayBuffer) {
    this.words = new Int32Array(shared);
    this.perSecond = rateLimitNames.map((name, index) => {
      const per_second = limits[name] * (index === 0 ? IO_COST : MIB);
      // More than a slice's share can be: nothing reaches that.
      return per_second / SLICES_PER_SEC > SHARE_MAX ? 0 : per_second;
    });
  }

  /**
   * Lets an I/O start, and takes what it costs; or says what is exhausted: a limit of all I/O (`rate`), or only of
   * its direction. `now` in ticks.
   */
  admit(is_write: boolean, bytes: number, now: number): Admission {
    const direction = is_write ? 3 : 2;
    this.addSlices(now);
    if (this.exhausted(0) || this.exhausted(1)) return 'rate';
    if (this.exhausted(direction)) return 'direction';
    const cost = Math.min(bytes, COST_MAX);
    this.take(0, IO_COST);
    this.take(1, cost);
    this.take(direction, cost);
    return 'admitted';
  }

  /** A channel has I/O that waits (1), or no longer (-1). */
  waiting(change: number): void {
    Atomics.add(this.words, WAITING, change);
  }

  private exhausted(limit: number): boolean {
    return this.perSecond[limit]! > 0 && Atomics.load(this.words, BALANCES + limit) <= 0;
  }

  private take(limit: number, cost: number): void {
    if (this.perSecond[limit]! > 0) Atomics.sub(this.words, BALANCES + limit, cost);
  }

  /** Adds the shares of the slices that have begun since somebody last did. */
  private addSlices(now: number): void {
    const slice = Math.floor(now / SLICE_TICKS);
    const last = Atomics.load(this.words, SLICE);
    const elapsed = ((slice | 0) - last) | 0;
    if (elapsed === 0 || (elapsed < 0 && elapsed > -LAG_MAX)) return;
    if (Atomics.compareExchange(this.words, SLICE, last, slice | 0) !== last) return;
    const slices = elapsed < 0 ? SLICES_MAX : Math.min(elapsed, SLICES_MAX);
    for (let limit = 0; limit < rateLimitNames.length; limit++)
      if (this.perSecond[limit]! > 0) this.addShare(limit, slice, slices);
  }

  private addShare(limit: number, slice: number, slices: number): void {
    const at = BALANCES + limit;
    const until = (n: number): number => Math.floor((n * this.perSecond[limit]!) / SLICES_PER_SEC);
    const share = until(slice) - until(slice - slices);
    const most = Math.ceil(this.perSecond[limit]! / SLICES_PER_SEC);
    const waited = Atomics.load(this.words, WAITING) > 0;
    for (;;) {
      const balance = Atomics.load(this.words, at);
      const paid = balance + share;
      // Debts are paid while nobody waits, too; beyond that there is the share of one slice.
      const next = waited && balance <= 0 ? paid : Math.max(balance, Math.min(paid, most));
      const bounded = Math.min(next, BALANCE_MAX);
      if (Atomics.compareExchange(this.words, at, balance, bounded) === balance) return;
    }
  }
}
