import type { GuestMemory } from '@spdk-ts/guest-memory';
import type { NvmfRequest } from '../request.ts';
import type { Doorbells } from './doorbells.ts';
import { CQE_BYTES } from './layout.ts';
import type { SessionMemory } from './session-memory.ts';

const WORDS = CQE_BYTES / 4;
/** Interrupt coalescing: units of its time, ticks. */
const TIME_UNIT = 100_000;

/** How a completion queue is made. */
export interface CompletionQueueOptions {
  readonly qid: number;
  /** Address in the guest, and entries. */
  readonly address: number;
  readonly size: number;
  /** Interrupt vector, or -1: it interrupts nobody. */
  readonly vector: number;
  /** A guest that is about to take entries is not interrupted for more: {@link CompletionQueue.announce}. */
  readonly adaptive: boolean;
}

/**
 * A completion queue in the guest's memory. It is never overrun: who completes a command asks {@link hasRoom} first. While its
 * memory is away (the guest's memory is being arranged anew) it is full.
 */
export class CompletionQueue {
  readonly qid: number;
  readonly size: number;
  private readonly address: number;
  private readonly vector: number;
  private readonly adaptive: boolean;
  private readonly shared: SessionMemory;
  private readonly doorbells: Doorbells;
  private words: Int32Array | null = null;
  private head = 0;
  private tail = 0;
  private phase = 1;
  /** Entries that the guest was not interrupted for, and when the first was posted. */
  private unannounced = 0;
  private since = 0;
  /** The head when the guest was last looked at. */
  private seen = 0;
  /** Submission queues that post here. */
  users = 0;
  /** Its queue pairs are to be looked after at the end of the iteration. */
  posted = false;

  constructor(options: CompletionQueueOptions, shared: SessionMemory, doorbells: Doorbells) {
    this.qid = options.qid;
    this.size = options.size;
    this.address = options.address;
    this.vector = options.vector;
    this.adaptive = options.adaptive && options.qid !== 0;
    this.shared = shared;
    this.doorbells = doorbells;
  }

  /** Looks for its memory, which has come or gone. False: it is not there. */
  attach(memory: GuestMemory): boolean {
    this.words = memory.words(this.address, this.size * CQE_BYTES, true);
    return this.words !== null;
  }
  detach(): void {
    this.words = null;
  }
  get isAttached(): boolean {
    return this.words !== null;
  }

  /** True if an entry can be posted. */
  hasRoom(): boolean {
    const next = this.tail + 1 === this.size ? 0 : this.tail + 1;
    if (next === this.head) this.head = this.doorbells.head(this.qid, this.head, this.tail, this.size);
    return next !== this.head && this.words !== null;
  }

  /** It is full, and the reactor is about to sleep: {@link Doorbells.watch}. */
  watch(): boolean {
    return this.doorbells.watch(this.qid * 2 + 1, this.head);
  }

  /** Posts a command's end. There is room. */
  post(request: NvmfRequest, sqhd: number, sqid: number, now: number): void {
    const words = this.words!;
    const at = this.tail * WORDS;
    words[at] = request.dw0;
    words[at + 1] = request.dw1;
    words[at + 2] = sqhd | (sqid << 16);
    // The phase tag goes last: with it the entry is the guest's.
    Atomics.store(words, at + 3, request.cid | (((request.status << 1) | this.phase) << 16));
    this.tail++;
    if (this.tail === this.size) {
      this.tail = 0;
      this.phase ^= 1;
    }
    if (this.unannounced++ > 0) return;
    this.since = now;
    if (this.adaptive) this.seen = this.look();
  }

  /** Where the guest's head is now. */
  private look(): number {
    this.head = this.doorbells.head(this.qid, this.head, this.tail, this.size);
    return this.head;
  }

  /** True if the guest takes entries just now: it will see what is there, or stop, before the next look. */
  private isBeingTaken(): boolean {
    const before = this.seen;
    this.seen = this.look();
    return this.seen !== before;
  }

  /**
   * Interrupts the guest for what has been posted, unless it has asked that such interrupts be put together (features
   * 08h and 09h) and it is not yet time, or takes entries anyway (adaptive): for what it has taken there is no interrupt. False:
   * that is to be tried again.
   */
  announce(now: number): boolean {
    if (this.unannounced === 0) return true;
    if (this.vector < 0) {
      this.unannounced = 0;
      return true;
    }
    if (this.adaptive && this.isBeingTaken()) {
      if (this.head === this.tail) this.unannounced = 0;
      return this.unannounced === 0;
    }
    const coalescing = this.shared.coalescing;
    const time = (coalescing >>> 8) & 0xff;
    if (
      time !== 0 &&
      this.qid !== 0 &&
      this.unannounced <= (coalescing & 0xff) &&
      now - this.since < time * TIME_UNIT &&
      !this.shared.isDirect(this.vector)
    )
      return false;
    this.unannounced = 0;
    this.shared.raise(this.vector);
    return true;
  }
}
