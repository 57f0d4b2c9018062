/** Chance, replayable from its seed: sfc32. Not for secrets. */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  constructor(seed: number) {
    this.a = seed | 0;
    this.b = Math.floor(seed / 0x1_0000_0000) | 0;
    this.c = 0x9e3779b9 | 0;
    for (let i = 0; i < 12; i++) this.u32();
  }

  /** Uniform over 0 … 2^32 − 1. */
  u32(): number {
    const t = (this.a + this.b + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + t) | 0;
    return t >>> 0;
  }

  /** Uniform over 0 … `bound` − 1, `bound` at most 2^53. */
  below(bound: number): number {
    if (bound <= 0x1_0000_0000) return Math.floor((this.u32() / 0x1_0000_0000) * bound);
    return Math.floor(((this.u32() >>> 5) * 0x400_0000 + (this.u32() >>> 6)) * (bound / 0x20_0000_0000_0000));
  }
}
