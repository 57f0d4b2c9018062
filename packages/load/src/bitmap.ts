/** Bits, found quickly. */
export class Bitmap {
  readonly size: number;
  private readonly words: Int32Array;

  /** `size`: number of bits, below 2^32. */
  constructor(size: number) {
    this.size = size;
    this.words = new Int32Array(Math.ceil(size / 32));
  }

  has(bit: number): boolean {
    return (this.words[bit >>> 5]! & (1 << (bit & 31))) !== 0;
  }
  set(bit: number): void {
    this.words[bit >>> 5]! |= 1 << (bit & 31);
  }
  clear(bit: number): void {
    this.words[bit >>> 5]! &= ~(1 << (bit & 31));
  }
  clearAll(): void {
    this.words.fill(0);
  }

  /** The first clear bit from `from` on, or -1. */
  firstClear(from: number): number {
    const words = this.words;
    let index = from >>> 5;
    // Bits before `from` in its word count as set.
    let word = words[index]! | ((1 << (from & 31)) - 1);
    while (word === -1) {
      if (++index >= words.length) return -1;
      word = words[index]!;
    }
    const bit = index * 32 + 31 - Math.clz32(~word & (word + 1));
    return bit < this.size ? bit : -1;
  }
}
