import { ZoneState } from '@spdk-ts/zones';

/** What a block may hold: a number in all of its words, or anything (a write that was not acknowledged). */
export const ANYTHING = -1;

/** Blocks of a zone, and those of them that can be written. */
export const SIZE = 32;
export const CAPACITY = 24;

/** What one zone of a zone_block bdev must be after a crash. Blocks count from its start. */
export class Zone {
  /** What was written may be lost, as when the power goes, not only what was not written yet. */
  private readonly loses: boolean;
  /** Changes with each reset. */
  life = 0;
  content: number[] = [];
  /** When each block's write ended; infinite: it is sure to be there if the write pointer is behind it. */
  private ended: number[] = [];
  /** The end of the last write that was acknowledged; of those that must be there; of those that may be. */
  acknowledged = 0;
  flushed = 0;
  asked = 0;
  finished = false;
  /** What is under way: writes, and whether it is being reset or finished. */
  writes = 0;
  changing: 'no' | 'reset' | 'finish' = 'no';

  constructor(loses = true) {
    this.loses = loses;
  }

  wrote(at: number, blocks: number, value: number, stable: boolean, now: number): void {
    // Another may be behind it, have ended before it, and be on its way to the disk.
    const sure = stable || !this.loses || (this.writes === 0 && at + blocks > this.acknowledged);
    for (let i = 0; i < blocks; i++) {
      this.content[at + i] = value + i;
      this.ended[at + i] = sure ? Number.POSITIVE_INFINITY : now;
    }
    this.acknowledged = Math.max(this.acknowledged, at + blocks);
    if (stable) this.flushed = Math.max(this.flushed, at + blocks);
  }

  /** All that had ended at a time is on the disk. */
  stableSince(time: number, acknowledged: number): void {
    this.flushed = Math.max(this.flushed, acknowledged);
    this.ended = this.ended.map((ended) => (ended <= time ? Number.POSITIVE_INFINITY : ended));
  }

  reset(): void {
    this.life++;
    this.ended = [];
    this.content = [];
    this.acknowledged = this.flushed = this.asked = 0;
    this.finished = false;
    this.changing = 'no';
  }

  /** Why the zone may not be as it was found, or nothing. `data`: by block, ANYTHING for one that is torn. */
  fault(state: number, pointer: number, data: readonly number[]): string | undefined {
    if (this.changing === 'reset' && state === ZoneState.EMPTY) return zeroes(data, 0);
    const full = state === ZoneState.FULL;
    if (this.finished && !full) return 'it was finished, and is not full';
    const may_be_finished = this.finished || this.changing === 'finish';
    if (!may_be_finished) {
      if (pointer < this.flushed) return `${this.flushed} blocks were flushed`;
      if (pointer > Math.min(CAPACITY, this.asked)) return `only ${this.asked} blocks were asked for`;
      const expected =
        pointer === 0 ? ZoneState.EMPTY : pointer === CAPACITY ? ZoneState.FULL : ZoneState.CLOSED;
      if (state !== expected) return `its state does not go with its write pointer`;
    }
    // Of a finished zone nobody knows where its data end.
    const certain = full && may_be_finished ? this.flushed : pointer;
    for (let i = 0; i < certain; i++) {
      const sure = this.ended[i] === Number.POSITIVE_INFINITY;
      const content = sure ? this.content[i]! : ANYTHING;
      if (content !== ANYTHING && data[i] !== content) return `block ${i} holds ${data[i]}, not ${content}`;
    }
    return zeroes(data, full && may_be_finished ? Math.max(this.flushed, this.asked) : pointer);
  }

  /** Goes on from what was found. */
  adopt(state: number, pointer: number, data: readonly number[]): void {
    this.reset();
    this.writes = 0;
    this.finished = state === ZoneState.FULL;
    this.content = data.slice(0, this.finished ? CAPACITY : pointer);
    this.ended = this.content.map(() => Number.POSITIVE_INFINITY);
    this.acknowledged = this.flushed = this.asked = this.finished ? CAPACITY : pointer;
  }
}

function zeroes(data: readonly number[], from: number): string | undefined {
  const at = data.findIndex((value, i) => i >= from && value !== 0);
  return at < 0 ? undefined : `block ${at}, behind the write pointer, holds ${data[at]}`;
}
