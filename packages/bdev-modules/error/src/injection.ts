import { IoType } from '@spdk-ts/bdev';
import { errorTypes, type Fault } from './fault.ts';

/** Types that errors can be injected for, in the order of their slots. */
export const injectedTypes = ['read', 'write', 'unmap', 'flush'] as const;
export type InjectedType = (typeof injectedTypes)[number];

const NUM = 0;
const TYPE = 1;
const QUEUE_DEPTH = 2;
const CORRUPT_OFFSET = 3;
const CORRUPT_VALUE = 4;
const NVME_SCT = 5;
const NVME_SC = 6;
const SLOT_WORDS = 8;
const LARGEST = 0x7fff_ffff;

const slots = new Int32Array(32).fill(-1);
slots[IoType.READ] = 0;
slots[IoType.WRITE] = SLOT_WORDS;
slots[IoType.UNMAP] = 2 * SLOT_WORDS;
slots[IoType.FLUSH] = 3 * SLOT_WORDS;

/**
 * The errors that are still to be injected, in memory that the control thread and all reactors share: a slot of
 * words for each type of I/O. The count is taken from by whoever injects.
 */
export class Injection {
  private readonly words: Int32Array;

  static allocate(): SharedArrayBuffer {
    return new SharedArrayBuffer(injectedTypes.length * SLOT_WORDS * 4);
  }

  constructor(memory: SharedArrayBuffer) {
    this.words = new Int32Array(memory);
  }

  /** Replaces what is to be injected into a type. */
  set(type: InjectedType, num: number, queue_depth: number, fault: Fault): void {
    const slot = injectedTypes.indexOf(type) * SLOT_WORDS;
    const { words } = this;
    Atomics.store(words, slot + NUM, 0);
    words[slot + TYPE] = errorTypes.indexOf(fault.error_type);
    words[slot + QUEUE_DEPTH] = Math.min(queue_depth, LARGEST);
    words[slot + CORRUPT_OFFSET] = Math.min(fault.corrupt_offset, LARGEST);
    words[slot + CORRUPT_VALUE] = fault.corrupt_value;
    words[slot + NVME_SCT] = fault.nvme_sct;
    words[slot + NVME_SC] = fault.nvme_sc;
    Atomics.store(words, slot + NUM, num | 0);
  }

  /** Ends the injection of one kind of error, or of all. */
  clear(only?: Fault['error_type']): void {
    for (let slot = 0; slot < this.words.length; slot += SLOT_WORDS)
      if (only === undefined || errorTypes[this.words[slot + TYPE]!] === only)
        Atomics.store(this.words, slot + NUM, 0);
  }

  /** What is to happen to an I/O of a type while `inflight` others are under way, or null. */
  take(type: number, inflight: number): Fault | null {
    const slot = slots[type]!;
    const { words } = this;
    if (slot < 0 || words[slot + NUM] === 0 || inflight < words[slot + QUEUE_DEPTH]!) return null;
    for (;;) {
      const num = Atomics.load(words, slot + NUM);
      if (num === 0) return null;
      if (Atomics.compareExchange(words, slot + NUM, num, (num - 1) | 0) === num) break;
    }
    return {
      error_type: errorTypes[words[slot + TYPE]!]!,
      latency_us: 0,
      nvme_sct: words[slot + NVME_SCT]!,
      nvme_sc: words[slot + NVME_SC]!,
      corrupt_offset: words[slot + CORRUPT_OFFSET]!,
      corrupt_value: words[slot + CORRUPT_VALUE]!,
    };
  }
}
