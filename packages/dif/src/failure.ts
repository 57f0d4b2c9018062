import { DifCheck } from './format.ts';

const names: Readonly<Record<number, string>> = {
  [DifCheck.GUARD]: 'guard',
  [DifCheck.APPTAG]: 'application tag',
  [DifCheck.REFTAG]: 'reference tag',
};

const hex = (high: number, low: number): string =>
  high === 0 ? low.toString(16) : high.toString(16) + low.toString(16).padStart(8, '0');

/** The first block whose protection information is not what it should be. Reused: a check that finds one fills it. */
export class DifFailure {
  /** {@link DifCheck}: which part; 0: nothing has failed. */
  check = 0;
  /** Number of the block, from the first that was checked. */
  block = 0;
  /** The value that it should have, and the one it has, in halves of 32 bits. */
  expected_high = 0;
  expected_low = 0;
  actual_high = 0;
  actual_low = 0;

  /** What is wrong, for a log. `first`: the address of the first block that was checked. */
  describe(first = 0): string {
    return (
      `${names[this.check] ?? 'nothing'} of block ${first + this.block} is ` +
      `${hex(this.actual_high, this.actual_low)}h, not ${hex(this.expected_high, this.expected_low)}h`
    );
  }
}
