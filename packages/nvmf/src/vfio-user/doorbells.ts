import type { GuestMemory } from '@spdk-ts/guest-memory';
import { native } from '@spdk-ts/native';
import { BAR0_BYTES, PAGE_BYTES, QUEUES_MAX, REGISTER_BYTES } from './layout.ts';

/**
 * The event index with which a guest that is at `value`, or further on, writes no doorbell until it comes around to it: it
 * does when a tail or head passes from the event index on, and what it compares are 16 bits.
 */
const never = (value: number): number => (value - 1) & 0xffff;

/** What doorbells have been rung, since the start. */
export interface DoorbellCounts {
  /** Written by messages, each a round trip through the client. */
  trapped: number;
  /** New tails found in BAR0's memory. */
  mapped: number;
  /** New tails found in the guest's shadow doorbells. */
  shadowed: number;
}

/**
 * The doorbells of a session, on one reactor (Base 2.0, 3.1.3.25 and 5.8): in the page behind BAR0's registers, where the
 * client maps it or its writes are put, or, for I/O queues, in the guest's shadow doorbell buffer. With those the event
 * index says when the guest is to write the doorbell nevertheless: never while this reactor polls; at the next change
 * before it sleeps.
 */
export class Doorbells {
  private readonly words: Int32Array;
  private readonly counts: DoorbellCounts;
  private readonly isMapped: boolean;
  private shadow: Int32Array | null = null;
  private events: Int32Array | null = null;
  private shadowAt = 0;
  private eventsAt = 0;
  /** A doorbell that holds what no tail or head can be: the index of the doorbell, else -1. */
  broken = -1;

  /** `fd`: BAR0's memory. `isMapped`: the client can map it. */
  constructor(fd: number, counts: DoorbellCounts, isMapped: boolean) {
    const memory = native!.mapDescriptor(fd, 0, BAR0_BYTES, 1);
    this.words = new Int32Array(memory, REGISTER_BYTES, QUEUES_MAX * 2);
    this.counts = counts;
    this.isMapped = isMapped;
  }

  /** For the reactor that takes the client's messages: a doorbell was written with one. */
  write(index: number, value: number): void {
    Atomics.store(this.words, index, value);
    this.counts.trapped++;
  }
  read(index: number): number {
    return Atomics.load(this.words, index);
  }

  /** Shadow doorbells and event indices are there from now on; 0: there are none. The memory may be away at times. */
  setShadow(shadow: number, events: number): void {
    this.shadowAt = shadow;
    this.eventsAt = events;
    if (shadow === 0) {
      this.shadow = null;
      this.events = null;
    }
  }
  /** Looks for the shadow doorbells' memory, which has come or gone. False: it is wanted and not there. */
  attach(memory: GuestMemory): boolean {
    if (this.shadowAt === 0) return true;
    this.shadow = memory.words(this.shadowAt, PAGE_BYTES, true);
    this.events = memory.words(this.eventsAt, PAGE_BYTES, true);
    if (this.shadow === null || this.events === null) this.detach();
    return this.shadow !== null;
  }
  detach(): void {
    this.shadow = null;
    this.events = null;
  }

  /** A queue is new: its doorbells are where it begins. */
  clear(qid: number, isSubmission: boolean): void {
    const index = qid * 2 + (isSubmission ? 0 : 1);
    Atomics.store(this.words, index, 0);
    if (qid === 0 || this.shadow === null) return;
    Atomics.store(this.shadow, index, 0);
    Atomics.store(this.events!, index, never(0));
  }

  /** Shadow doorbells begin to be used: they take over from the doorbells of queues that there are. */
  takeOver(qid: number): void {
    if (this.shadow === null) return;
    for (const index of [qid * 2, qid * 2 + 1]) {
      const value = Atomics.load(this.words, index);
      Atomics.store(this.shadow, index, value);
      Atomics.store(this.events!, index, never(value));
    }
  }

  /** Where the tail of a submission queue is by now; `known` if there is nothing new. */
  tail(qid: number, known: number, size: number): number {
    const index = qid * 2;
    const shadowed = qid !== 0 && this.shadowAt !== 0;
    // Its memory is away: what BAR0 holds is old.
    if (shadowed && this.shadow === null) return known;
    const value = Atomics.load(shadowed ? this.shadow! : this.words, index);
    if (value === known) return known;
    if (value < 0 || value >= size) {
      this.broken = index;
      return known;
    }
    if (shadowed) {
      this.counts.shadowed++;
      Atomics.store(this.events!, index, never(value));
    } else if (this.isMapped) this.counts.mapped++;
    return value;
  }

  /** The same for the head of a completion queue, which lies between the head that is known and the tail. */
  head(qid: number, known: number, tail: number, size: number): number {
    const index = qid * 2 + 1;
    const shadowed = qid !== 0 && this.shadowAt !== 0;
    if (shadowed && this.shadow === null) return known;
    const value = Atomics.load(shadowed ? this.shadow! : this.words, index);
    if (shadowed) Atomics.store(this.events!, index, never(value));
    const taken = value - known + (value < known ? size : 0);
    const posted = tail - known + (tail < known ? size : 0);
    if (value >= 0 && value < size && taken <= posted) return value;
    this.broken = index;
    return known;
  }

  /**
   * Before a sleep: asks that the next change of a queue's doorbell be told. True if it has changed already. The order
   * is what matters: first the event index, then one more look; the guest writes its doorbell first, and then looks at
   * the event index. `index`: of the doorbell.
   */
  watch(index: number, known: number): boolean {
    if (this.shadowAt === 0 || index < 2) return Atomics.load(this.words, index) !== known;
    if (this.shadow === null) return false;
    Atomics.store(this.events!, index, known);
    return Atomics.load(this.shadow, index) !== known;
  }
  /** It is looked at again, so that nobody need tell. */
  unwatch(index: number, known: number): void {
    if (this.events !== null) Atomics.store(this.events, index, never(known));
  }
}
