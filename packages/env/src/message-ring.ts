/**
 * A ring of fixed-size messages in shared memory, one producer thread and one consumer thread. A message is a
 * kind and up to seven numbers.
 *
 * Layout: 128 bytes of header (head: consumer's index at 0; tail: producer's index at 64, on cache lines of
 * their own), then `capacity` slots of eight doubles.
 */
const HEADER_BYTES = 128;
const SLOT_WORDS = 8;
const HEAD = 0;
const TAIL = 16;

/** Numbers that a message carries besides its kind. */
export const MESSAGE_ARGUMENTS = SLOT_WORDS - 1;

export class MessageRing {
  private readonly indices: Int32Array;
  private readonly slots: Float64Array;
  private readonly mask: number;

  /** Shared memory for a ring of `capacity` messages, a power of two. */
  static allocate(capacity: number): SharedArrayBuffer {
    if (capacity < 2 || (capacity & (capacity - 1)) !== 0)
      throw new RangeError(`ring capacity ${capacity} is not a power of two`);
    return new SharedArrayBuffer(HEADER_BYTES + capacity * SLOT_WORDS * 8);
  }

  constructor(memory: SharedArrayBuffer) {
    this.indices = new Int32Array(memory, 0, HEADER_BYTES / 4);
    this.slots = new Float64Array(memory, HEADER_BYTES);
    this.mask = this.slots.length / SLOT_WORDS - 1;
  }

  /** Producer: appends a message. False if the ring is full. */
  push(kind: number, a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0, a6 = 0): boolean {
    const tail = Atomics.load(this.indices, TAIL);
    if (((tail - Atomics.load(this.indices, HEAD)) | 0) > this.mask) return false;
    const slots = this.slots;
    const at = (tail & this.mask) * SLOT_WORDS;
    slots[at] = kind;
    slots[at + 1] = a0;
    slots[at + 2] = a1;
    slots[at + 3] = a2;
    slots[at + 4] = a3;
    slots[at + 5] = a4;
    slots[at + 6] = a5;
    slots[at + 7] = a6;
    // Publishes the slot: the consumer sees the tail only after what was written before it.
    Atomics.store(this.indices, TAIL, (tail + 1) | 0);
    return true;
  }

  /** Consumer: copies the oldest message to `into` (eight numbers: the kind first). False if there is none. */
  pop(into: Float64Array): boolean {
    const head = Atomics.load(this.indices, HEAD);
    if (head === Atomics.load(this.indices, TAIL)) return false;
    const slots = this.slots;
    const at = (head & this.mask) * SLOT_WORDS;
    for (let i = 0; i < SLOT_WORDS; i++) into[i] = slots[at + i]!;
    Atomics.store(this.indices, HEAD, (head + 1) | 0);
    return true;
  }

  /** True if there is nothing to pop. */
  get empty(): boolean {
    return Atomics.load(this.indices, HEAD) === Atomics.load(this.indices, TAIL);
  }
}
