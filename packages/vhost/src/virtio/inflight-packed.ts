import { VhostUserError } from '../protocol/errors.ts';

/**
 * QueueRegionPacked: features (64 bits), then halfwords version, desc_num, free_head, old_free_head, used_idx, old_used_idx,
 * and bytes used_wrap_counter, old_used_wrap_counter; the entries begin at 32.
 */
export const PACKED_HEADER_BYTES = 32;
/** DescStatePacked: inflight (a byte), next, last, num (halfwords at 2, 4, 6), counter (64 bits), then the descriptor. */
export const PACKED_ENTRY_BYTES = 32;

const VERSION = 4;
const DESC_NUM = 5;
const FREE_HEAD = 6;
const OLD_FREE_HEAD = 7;
const USED_IDX = 8;
const OLD_USED_IDX = 9;
/** Bytes. */
const USED_WRAP = 20;
const OLD_USED_WRAP = 21;
/** Of an entry: halfwords, and words. */
const NEXT = 1;
const LAST = 2;
const NUM = 3;
const ID = 8;
const FLAGS = 9;
const COUNTER = 2;
const LENGTH = 5;
const ADDRESS = 6;
const CURRENT_VERSION = 1;

/** A descriptor as it was when it was taken. */
export interface NotedDescriptor {
  readonly low: number;
  readonly high: number;
  readonly bytes: number;
  readonly id: number;
  readonly flags: number;
}

/** A request that was under way, and its entry. */
export interface NotedRequest {
  readonly entry: number;
  readonly descriptors: readonly NotedDescriptor[];
}

/** Where the used position of a ring is, and what of it was under way. */
export interface PackedRecovery {
  readonly used_index: number;
  readonly used_wrap: number;
  readonly requests: readonly NotedRequest[];
}

/**
 * What of a packed ring is under way, noted where the next back-end finds it: with copies of the descriptors, as used ones
 * take their place in the ring.
 */
export class PackedInflight {
  private readonly size: number;
  private readonly bytes: Uint8Array;
  private readonly halves: Uint16Array;
  private readonly words: Uint32Array;
  private counter = 0;
  /** The list of free entries, which ends with the ring's size: as in the area, which others may change. */
  private free_head = 0;
  private readonly nexts: Uint16Array;
  private readonly lasts: Uint16Array;
  /** Of the request that is being taken. */
  private head = 0;
  private num = 0;
  private tail = 0;

  constructor(buffer: ArrayBuffer, offset: number, size: number) {
    const bytes = PACKED_HEADER_BYTES + size * PACKED_ENTRY_BYTES;
    this.size = size;
    this.bytes = new Uint8Array(buffer, offset, bytes);
    this.halves = new Uint16Array(buffer, offset, bytes / 2);
    this.words = new Uint32Array(buffer, offset, bytes / 4);
    this.nexts = new Uint16Array(size);
    this.lasts = new Uint16Array(size);
  }

  private static at(entry: number): number {
    return PACKED_HEADER_BYTES + entry * PACKED_ENTRY_BYTES;
  }

  /** A request is being taken: {@link add} its descriptors, then {@link end}. */
  begin(): void {
    const at = PackedInflight.at(this.free_head);
    const { counter } = this;
    this.head = this.free_head;
    this.num = 0;
    this.halves[(at >> 1) + NUM] = 0;
    this.words[(at >> 2) + COUNTER] = counter;
    this.words[(at >> 2) + COUNTER + 1] = counter / 0x1_0000_0000;
    this.counter = counter + 1;
    this.bytes[at] = 1;
  }

  add(low: number, high: number, bytes: number, id: number, flags: number): void {
    const entry = this.free_head;
    const at = PackedInflight.at(entry);
    const { halves, words } = this;
    words[(at >> 2) + ADDRESS] = low;
    words[(at >> 2) + ADDRESS + 1] = high;
    words[(at >> 2) + LENGTH] = bytes;
    halves[(at >> 1) + ID] = id;
    halves[(at >> 1) + FLAGS] = flags;
    halves[(PackedInflight.at(this.head) >> 1) + NUM] = ++this.num;
    this.tail = entry;
    this.free_head = this.nexts[entry]!;
    halves[FREE_HEAD] = this.free_head;
  }

  /** It has all its descriptors. Returns its entry. */
  end(): number {
    const { head, halves } = this;
    halves[(PackedInflight.at(head) >> 1) + LAST] = this.tail;
    this.lasts[head] = this.tail;
    halves[OLD_FREE_HEAD] = this.free_head;
    return head;
  }

  /** A request is about to be given back: the used position moves on. Before its descriptor is written. */
  giving(entry: number, used_index: number, used_wrap: number): void {
    const { halves } = this;
    const last = this.lasts[entry]!;
    this.nexts[last] = this.free_head;
    halves[(PackedInflight.at(last) >> 1) + NEXT] = this.free_head;
    this.free_head = entry;
    halves[FREE_HEAD] = entry;
    halves[USED_IDX] = used_index;
    this.bytes[USED_WRAP] = used_wrap;
  }

  /** Its descriptor is written. */
  given(entry: number): void {
    const { halves, bytes } = this;
    bytes[PackedInflight.at(entry)] = 0;
    halves[OLD_FREE_HEAD] = halves[FREE_HEAD]!;
    halves[OLD_USED_IDX] = halves[USED_IDX]!;
    bytes[OLD_USED_WRAP] = bytes[USED_WRAP]!;
  }

  /**
   * What was under way when the last back-end ended, in the order in which it was taken. Of a new area: where the ring
   * begins. `flagsAt` gives the flags of a descriptor of the ring. Throws VhostUserError if the area cannot be that ring's.
   */
  recover(used_index: number, used_wrap: number, flagsAt: (index: number) => number): PackedRecovery {
    if (this.halves[VERSION] === 0) {
      this.initialize(used_index, used_wrap);
      return { used_index, used_wrap, requests: [] };
    }
    const { halves, bytes, size } = this;
    if (halves[VERSION] !== CURRENT_VERSION || halves[DESC_NUM] !== size)
      throw new VhostUserError(
        `the in-flight area has version ${halves[VERSION]} and ${halves[DESC_NUM]} descriptors: ` +
          `version ${CURRENT_VERSION} and ${size} are needed`,
      );
    this.settle(flagsAt);
    this.free_head = halves[OLD_FREE_HEAD]!;
    for (let entry = 0; entry < size; entry++)
      this.nexts[entry] = halves[(PackedInflight.at(entry) >> 1) + NEXT]!;
    this.clearFree();
    const requests = this.noted();
    return { used_index: this.entryOf(halves[USED_IDX]!), used_wrap: bytes[USED_WRAP]! & 1, requests };
  }

  private initialize(used_index: number, used_wrap: number): void {
    const { halves, bytes, size } = this;
    for (let entry = 0; entry < size; entry++) {
      this.nexts[entry] = entry + 1;
      halves[(PackedInflight.at(entry) >> 1) + NEXT] = entry + 1;
    }
    halves[DESC_NUM] = size;
    halves[USED_IDX] = used_index;
    halves[OLD_USED_IDX] = used_index;
    bytes[USED_WRAP] = used_wrap;
    bytes[OLD_USED_WRAP] = used_wrap;
    halves[VERSION] = CURRENT_VERSION;
  }

  /** Completes what the last back-end was about, or takes it back: whichever the ring says. */
  private settle(flagsAt: (index: number) => number): void {
    const { halves, bytes } = this;
    const index = this.entryOf(halves[OLD_USED_IDX]!);
    if (halves[USED_IDX] !== halves[OLD_USED_IDX] || bytes[USED_WRAP] !== bytes[OLD_USED_WRAP]) {
      const wrap = bytes[OLD_USED_WRAP]! & 1;
      const flags = flagsAt(index);
      const available = ((flags >> 7) & 1) === wrap && ((flags >> 15) & 1) !== wrap;
      if (!available) {
        halves[OLD_FREE_HEAD] = halves[FREE_HEAD]!;
        halves[OLD_USED_IDX] = halves[USED_IDX]!;
        bytes[OLD_USED_WRAP] = bytes[USED_WRAP]!;
      }
    }
    halves[FREE_HEAD] = halves[OLD_FREE_HEAD]!;
    halves[USED_IDX] = halves[OLD_USED_IDX]!;
    bytes[USED_WRAP] = bytes[OLD_USED_WRAP]!;
  }

  private entryOf(value: number): number {
    if (value < this.size) return value;
    throw new VhostUserError(`the in-flight area names entry ${value} of ${this.size}`);
  }

  /** Nothing in the list of free entries is under way. */
  private clearFree(): void {
    const { size } = this;
    let steps = 0;
    for (let entry = this.free_head; entry !== size; entry = this.nexts[entry]!) {
      if (++steps > size)
        throw new VhostUserError('the list of free entries of the in-flight area has no end');
      this.bytes[PackedInflight.at(this.entryOf(entry))] = 0;
    }
  }

  /** The requests that are under way, in the order of their counters. */
  private noted(): NotedRequest[] {
    const found: (NotedRequest & { counter: number })[] = [];
    let taken = 0;
    for (let entry = 0; entry < this.size; entry++) {
      const at = PackedInflight.at(entry);
      if (this.bytes[at] !== 1) continue;
      const num = this.halves[(at >> 1) + NUM]!;
      taken += num;
      if (num === 0 || taken > this.size)
        throw new VhostUserError(
          `the in-flight area has requests of ${taken} descriptors: it has ${this.size}`,
        );
      const counter = this.words[(at >> 2) + COUNTER]! + this.words[(at >> 2) + COUNTER + 1]! * 0x1_0000_0000;
      this.counter = Math.max(this.counter, counter + 1);
      found.push({ entry, counter, descriptors: this.descriptors(entry, num) });
    }
    return found.sort((a, b) => a.counter - b.counter);
  }

  private descriptors(first: number, num: number): NotedDescriptor[] {
    const { halves, words } = this;
    let entry = first;
    return Array.from({ length: num }, (_, i) => {
      if (i > 0) entry = this.entryOf(this.nexts[entry]!);
      this.lasts[first] = entry;
      const at = PackedInflight.at(entry);
      return {
        low: words[(at >> 2) + ADDRESS]!,
        high: words[(at >> 2) + ADDRESS + 1]!,
        bytes: words[(at >> 2) + LENGTH]!,
        id: halves[(at >> 1) + ID]!,
        flags: halves[(at >> 1) + FLAGS]!,
      };
    });
  }
}
