/**
 * A gather list of more than one piece. It belongs to who made it and must not change until the I/O that carries
 * it completes.
 */
export class IoVec {
  readonly capacity: number;
  readonly region: Int32Array;
  readonly offset: Float64Array;
  readonly length: Int32Array;
  count = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.region = new Int32Array(capacity);
    this.offset = new Float64Array(capacity);
    this.length = new Int32Array(capacity);
  }

  clear(): void {
    this.count = 0;
  }

  /** Appends a piece. Throws RangeError if the list is full. */
  push(region: number, offset: number, length: number): void {
    if (this.count === this.capacity) throw new RangeError(`gather list of ${this.capacity} pieces is full`);
    this.region[this.count] = region;
    this.offset[this.count] = offset;
    this.length[this.count] = length;
    this.count++;
  }

  /** Total bytes. */
  get bytes(): number {
    let total = 0;
    for (let i = 0; i < this.count; i++) total += this.length[i]!;
    return total;
  }
}
