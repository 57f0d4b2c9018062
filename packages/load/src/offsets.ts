import { Bitmap } from './bitmap.ts';

const TWO_32 = 0x1_0000_0000;
const TWO_53 = 0x20_0000_0000_0000;
/** Terms of the zeta function that are added one by one; the rest is its integral. */
const ZETA_TERMS = 100_000;

/** Chance in two words: Marsaglia's xorshift with a period of 2^64 - 1. Fast rather than good. */
export class Xorshift {
  private x: number;
  private y: number;

  constructor(seed: number) {
    this.x = seed | 0 || 0x2545f491;
    this.y = Math.imul(this.x, 0x9e3779b1) ^ 0x6c078965;
    for (let i = 0; i < 8; i++) this.next();
  }

  /** Uniform over the 32-bit integers, negative ones included. */
  next(): number {
    const t = this.x ^ (this.x << 10);
    this.x = this.y;
    this.y = this.y ^ (this.y >>> 10) ^ (t ^ (t >>> 13));
    return this.y;
  }

  /** Uniform over 0 … `bound` - 1. */
  below(bound: number): number {
    const low = this.next() >>> 0;
    if (bound <= TWO_32) return Math.floor(low * (bound / TWO_32));
    return Math.floor(((this.next() >>> 11) * TWO_32 + low) * (bound / TWO_53));
  }
}

/** Each place once before any comes again, in random order: like below(size), but the next free place from there. */
export class RandomMap {
  private readonly used: Bitmap;
  private readonly random: Xorshift;

  constructor(size: number, random: Xorshift) {
    this.used = new Bitmap(size);
    this.random = random;
  }

  next(): number {
    const wanted = this.random.below(this.used.size);
    let found = this.used.firstClear(wanted);
    if (found < 0) found = this.used.firstClear(0);
    if (found < 0) {
      this.used.clearAll();
      found = wanted;
    }
    this.used.set(found);
    return found;
  }
}

/** Places by Zipf's law: place k comes in proportion to 1 / (k + 1)^theta (Gray et al., SIGMOD 1994). */
export class Zipf {
  private readonly size: number;
  private readonly random: Xorshift;
  private readonly zetan: number;
  private readonly alpha: number;
  private readonly eta: number;
  private readonly second: number;

  constructor(size: number, theta: number, random: Xorshift) {
    // The formulas have a pole at 1.
    const t = Math.abs(theta - 1) < 1e-6 ? 1 - 1e-6 : theta;
    this.size = size;
    this.random = random;
    this.zetan = zeta(size, t);
    this.alpha = 1 / (1 - t);
    this.eta = (1 - (2 / size) ** (1 - t)) / (1 - zeta(2, t) / this.zetan);
    this.second = 1 + 0.5 ** t;
  }

  next(): number {
    const u = (this.random.next() >>> 0) / TWO_32;
    const z = u * this.zetan;
    if (z < 1 || this.size === 1) return 0;
    if (z < this.second || this.size === 2) return 1;
    return Math.min(this.size - 1, Math.floor(this.size * (this.eta * (u - 1) + 1) ** this.alpha));
  }
}

/** Sum of 1 / k^theta for k from 1 to n. */
function zeta(n: number, theta: number): number {
  const terms = Math.min(n, ZETA_TERMS);
  let sum = 0;
  for (let k = 1; k <= terms; k++) sum += k ** -theta;
  if (n > terms) sum += ((n + 0.5) ** (1 - theta) - (terms + 0.5) ** (1 - theta)) / (1 - theta);
  return sum;
}
