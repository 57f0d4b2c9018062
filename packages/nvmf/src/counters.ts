/**
 * What SMART counts, in shared memory: each reactor adds to a row of its own, readers sum up the rows. A row is
 * as long as a cache line, so that reactors do not slow each other down.
 */
const ROW = 8;

export const Counter = {
  BYTES_READ: 0,
  BYTES_WRITTEN: 1,
  READ_COMMANDS: 2,
  WRITE_COMMANDS: 3,
  MEDIA_ERRORS: 4,
} as const;

export class SubsystemCounters {
  private readonly all: Float64Array;
  private readonly row: number;

  static allocate(reactors: number): SharedArrayBuffer {
    return new SharedArrayBuffer(reactors * ROW * 8);
  }

  constructor(memory: SharedArrayBuffer, reactor: number) {
    this.all = new Float64Array(memory);
    this.row = reactor * ROW;
  }

  add(counter: number, value: number): void {
    this.all[this.row + counter] = this.all[this.row + counter]! + value;
  }

  /** Over all reactors. */
  sum(counter: number): number {
    let total = 0;
    for (let at = counter; at < this.all.length; at += ROW) total += this.all[at]!;
    return total;
  }
}
