import { SharedLock } from '@spdk-ts/zones';

const LOCKS = 64;
/** What one lock is for, before the next one's turn: small enough that neighbours seldom meet. */
const STRIPE_BYTES = 64 * 1024;

/**
 * Keeps blocks and their protection information together: who copies, checks or changes both holds the locks of their
 * blocks meanwhile, so that no reactor sees data of one write beside metadata of another. One for each thread, over
 * memory that all share.
 */
export class BlockLocks {
  private readonly locks: readonly SharedLock[];
  /** 1: wanted, or held. */
  private readonly marks = new Uint8Array(LOCKS);
  private readonly stripe_blocks: number;

  static allocate(): SharedArrayBuffer {
    return new SharedArrayBuffer(4 * LOCKS);
  }

  constructor(memory: SharedArrayBuffer, block_size: number) {
    const words = new Int32Array(memory);
    this.locks = Array.from({ length: LOCKS }, (_, at) => new SharedLock(words, at));
    this.stripe_blocks = Math.max(1, Math.floor(STRIPE_BYTES / block_size));
  }

  /** Until {@link release}. Whoever holds them must take no others. */
  acquire(first: number, blocks: number): void {
    this.mark(first, blocks);
    this.take();
  }

  /** Both ranges of a copy. */
  acquireBoth(first: number, second: number, blocks: number): void {
    this.mark(first, blocks);
    this.mark(second, blocks);
    this.take();
  }

  private mark(first: number, blocks: number): void {
    const from = Math.floor(first / this.stripe_blocks);
    const to = Math.floor((first + blocks - 1) / this.stripe_blocks);
    for (let stripe = from; stripe <= to && stripe < from + LOCKS; stripe++) this.marks[stripe % LOCKS] = 1;
  }

  /** In the same order everywhere: nobody waits for one who waits for him. */
  private take(): void {
    for (let at = 0; at < LOCKS; at++) if (this.marks[at] !== 0) this.locks[at]!.acquire();
  }

  release(): void {
    for (let at = 0; at < LOCKS; at++)
      if (this.marks[at] !== 0) {
        this.marks[at] = 0;
        this.locks[at]!.release();
      }
  }
}
