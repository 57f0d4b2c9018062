import { native } from '@spdk-ts/native';
import type { RegionTable } from './regions.ts';

/** Operations that fit before they must be carried out. */
const CAPACITY = 512;
/** A descriptor, as packages/native/src/batch.c reads it: eight doubles. */
const WORDS = 8;
const OPERATION = 0;
const TO_REGION = 1;
const TO_OFFSET = 2;
const FROM_REGION = 3;
const FROM_OFFSET = 4;
const LENGTH = 5;
const VALUE = 6;

const COPY = 0;
const FILL = 1;
const COPY_AWAY = 5;

/**
 * The batch engine: operations on registered memory gather here and are carried out by one native call, in order.
 * Until {@link run} both source and destination must stay as they are. Only with the addon.
 */
export class Batch {
  private readonly regions: RegionTable;
  private readonly descriptors = new Float64Array(CAPACITY * WORDS);
  private count = 0;

  constructor(regions: RegionTable) {
    if (native === null) throw new Error('the batch engine needs the native addon');
    this.regions = regions;
  }

  /** Operations that have not been carried out. */
  get pending(): number {
    return this.count;
  }

  private next(): number {
    if (this.count === CAPACITY) this.run();
    return this.count++ * WORDS;
  }

  /** Copies `length` bytes; the two places may overlap. */
  copy(to: number, to_offset: number, from: number, from_offset: number, length: number): void {
    this.add(COPY, to, to_offset, from, from_offset, length);
  }

  /** The same for a destination that is not read soon. */
  copyAway(to: number, to_offset: number, from: number, from_offset: number, length: number): void {
    this.add(COPY_AWAY, to, to_offset, from, from_offset, length);
  }

  private add(
    operation: number,
    to: number,
    to_offset: number,
    from: number,
    from_offset: number,
    length: number,
  ): void {
    const at = this.next();
    const d = this.descriptors;
    d[at + OPERATION] = operation;
    d[at + TO_REGION] = to;
    d[at + TO_OFFSET] = to_offset;
    d[at + FROM_REGION] = from;
    d[at + FROM_OFFSET] = from_offset;
    d[at + LENGTH] = length;
  }

  /** Sets `length` bytes to `value`. */
  fill(region: number, offset: number, length: number, value: number): void {
    const at = this.next();
    const d = this.descriptors;
    d[at + OPERATION] = FILL;
    d[at + TO_REGION] = region;
    d[at + TO_OFFSET] = offset;
    d[at + LENGTH] = length;
    d[at + VALUE] = value;
  }

  /**
   * Carries everything out. Throws RangeError if a place is not inside its region: its operation was not carried
   * out, the others were. Callers check places before, so that is a bug, not bad input.
   */
  run(): void {
    const count = this.count;
    if (count === 0) return;
    this.count = 0;
    const wrong = native!.batchRun(this.regions.batchTable, this.descriptors, count);
    if (wrong > 0)
      throw new RangeError(`${wrong} of ${count} operations on memory were outside their regions`);
  }
}
