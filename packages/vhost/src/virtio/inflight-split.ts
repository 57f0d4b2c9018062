import { VhostUserError } from '../protocol/errors.ts';

/** QueueRegionSplit: features (64 bits), version, desc_num, last_batch_head, used_idx. */
export const SPLIT_HEADER_BYTES = 16;
/** DescStateSplit: inflight (a byte, at 0), next (a halfword, at 6), counter (64 bits, at 8). */
export const SPLIT_ENTRY_BYTES = 16;

/** Halfwords. */
const VERSION = 4;
const DESC_NUM = 5;
const LAST_BATCH_HEAD = 6;
const USED_IDX = 7;
const ENTRY_NEXT = 3;
const CURRENT_VERSION = 1;

/** What of a split ring is under way, noted where the next back-end finds it. */
export class SplitInflight {
  private readonly size: number;
  private readonly bytes: Uint8Array;
  private readonly halves: Uint16Array;
  private readonly words: Uint32Array;
  private counter = 0;
  /** As in the area, which others may change. */
  private last_batch_head = 0;
  /** Heads that were given back and not published. */
  private readonly batch: Uint16Array;
  private batched = 0;

  constructor(buffer: ArrayBuffer, offset: number, size: number) {
    const bytes = SPLIT_HEADER_BYTES + size * SPLIT_ENTRY_BYTES;
    this.size = size;
    this.bytes = new Uint8Array(buffer, offset, bytes);
    this.halves = new Uint16Array(buffer, offset, bytes / 2);
    this.words = new Uint32Array(buffer, offset, bytes / 4);
    this.batch = new Uint16Array(size);
  }

  /** A request is under way. */
  taken(head: number): void {
    const at = SPLIT_HEADER_BYTES + head * SPLIT_ENTRY_BYTES;
    const { words, counter } = this;
    words[(at >> 2) + 2] = counter;
    words[(at >> 2) + 3] = counter / 0x1_0000_0000;
    this.counter = counter + 1;
    this.bytes[at] = 1;
  }

  /** It is in the used ring, whose index does not cover it yet. */
  used(head: number): void {
    const at = SPLIT_HEADER_BYTES + head * SPLIT_ENTRY_BYTES;
    this.halves[(at >> 1) + ENTRY_NEXT] = this.last_batch_head;
    this.halves[LAST_BATCH_HEAD] = head;
    this.last_batch_head = head;
    this.batch[this.batched++] = head;
  }

  /** The used ring's index covers them. */
  published(used_index: number): void {
    for (let i = 0; i < this.batched; i++)
      this.bytes[SPLIT_HEADER_BYTES + this.batch[i]! * SPLIT_ENTRY_BYTES] = 0;
    this.batched = 0;
    this.halves[USED_IDX] = used_index;
  }

  /**
   * What was under way when the last back-end ended, in the order in which it was taken; `used_index` is the used ring's.
   * Throws VhostUserError if the area cannot be that ring's.
   */
  recover(used_index: number): number[] {
    const { halves, bytes, size } = this;
    if (halves[VERSION] === 0) {
      halves[DESC_NUM] = size;
      halves[USED_IDX] = used_index;
      halves[VERSION] = CURRENT_VERSION;
      return [];
    }
    if (halves[VERSION] !== CURRENT_VERSION || halves[DESC_NUM] !== size)
      throw new VhostUserError(
        `the in-flight area has version ${halves[VERSION]} and ${halves[DESC_NUM]} descriptors: ` +
          `version ${CURRENT_VERSION} and ${size} are needed`,
      );
    this.last_batch_head = halves[LAST_BATCH_HEAD]! % size;
    this.endBatch(used_index);
    const found: { head: number; counter: number }[] = [];
    for (let head = 0; head < size; head++) {
      const at = SPLIT_HEADER_BYTES + head * SPLIT_ENTRY_BYTES;
      if (bytes[at] !== 1) continue;
      const counter = this.words[(at >> 2) + 2]! + this.words[(at >> 2) + 3]! * 0x1_0000_0000;
      found.push({ head, counter });
      this.counter = Math.max(this.counter, counter + 1);
    }
    return found.sort((a, b) => a.counter - b.counter).map(({ head }) => head);
  }

  /** The last back-end ended between the used ring's index and its notes: those of that batch were given back. */
  private endBatch(used_index: number): void {
    const { halves, size } = this;
    const count = (used_index - halves[USED_IDX]!) & 0xffff;
    if (count > size)
      throw new VhostUserError(
        `the in-flight area ends at ${halves[USED_IDX]} of the used ring, which is at ${used_index}: it is another's`,
      );
    let head = this.last_batch_head;
    for (let i = 0; i < count; i++) {
      const at = SPLIT_HEADER_BYTES + head * SPLIT_ENTRY_BYTES;
      this.bytes[at] = 0;
      head = halves[(at >> 1) + ENTRY_NEXT]! % size;
    }
    halves[USED_IDX] = used_index;
  }
}
