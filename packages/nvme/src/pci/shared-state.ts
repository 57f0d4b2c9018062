/**
 * What the reactors that use one controller share: one has its admin queue and its connection, any may have I/O queues. Words of
 * shared memory say whether the controller is there, what memory it is to reach, and which queues are wanted; the reactor of
 * the connection carries that out when the bell (an eventfd) rings.
 */

/** Whether the controller is there. */
export const LinkState = {
  /** Not connected, or not yet ready. Nothing of it touches memory. */
  DOWN: 0,
  /** Commands may be sent. */
  UP: 1,
  /** It is lost, or being reset: queues send nothing more, and wait until nothing of it touches their memory. */
  LOST: 2,
} as const;

/** Of a range of memory. */
export const DmaState = {
  FREE: 0,
  /** The controller is to reach it. */
  WANTED: 1,
  MAPPED: 2,
  /** It cannot be mapped: data are copied. */
  REFUSED: 3,
  /** Nobody uses it any more: it is to be unmapped. */
  UNWANTED: 4,
  /** It is being unmapped: the same memory can be asked for again afterwards. */
  UNMAPPING: 5,
} as const;

/** Of an I/O queue pair. */
export const QueueState = {
  NONE: 0,
  /** To be created. */
  WANTED: 1,
  OPEN: 2,
  /** It could not be created: the word `status` tells why. */
  REFUSED: 3,
  /** To be deleted. */
  UNWANTED: 4,
} as const;

export const DMA_RANGES = 512;
/** What {@link SharedState.want} returns instead of an index. */
export const NO_ROOM = -1;
export const LATER = -2;
const TEXT_BYTES = 512;
const HEADER_WORDS = 32;
const DMA_WORDS = 4;
const DMA_NUMBERS = 2;
const QUEUE_WORDS = 6;
const QUEUE_NUMBERS = 2;

/** Words of the header. */
const STATE = 0;
const GENERATION = 1;
const LOCK = 2;
const FAILED = 3;
const TEXT_LENGTH = 4;
const BELL = 5;
const TERMS = 8;
/** How often a thread looks for a lock that is held for some dozens of instructions, before it complains. */
const SPINS_MAX = 1_000_000_000;

/** What a connection has, as numbers, in the order of the header's words. Descriptors are copied by who uses them. */
export interface LinkTerms {
  /** The connection, for doorbells by message. */
  readonly socket: number;
  /** Of `DoorbellKind`: that of I/O queues. */
  readonly doorbells: number;
  readonly dstrd: number;
  readonly page_bytes: number;
  /** SGLs that I/O commands may use: 0 none, else what addresses are multiples of. */
  readonly sgl_alignment: number;
  /** Registers that can be mapped: descriptor (-1: none), where they are in it, how many bytes, and at which offset of BAR0 they begin. */
  readonly bar: number;
  readonly bar_at: number;
  readonly bar_bytes: number;
  readonly bar_start: number;
  /** Handle of the memory of shadow doorbells and event indices; -1: none. */
  readonly shadows: number;
  /** Interrupt vectors. */
  readonly vectors: number;
  readonly transfer_bytes: number;
}

const termNames: readonly (keyof LinkTerms)[] = [
  ...(['socket', 'doorbells', 'dstrd', 'page_bytes', 'sgl_alignment', 'bar', 'bar_at', 'bar_bytes'] as const),
  ...(['bar_start', 'shadows', 'vectors', 'transfer_bytes'] as const),
];

/** A range of memory that the controller reaches: its address, which is that in this process, and a descriptor of its own. */
export interface DmaRange {
  readonly index: number;
  readonly address: number;
  readonly bytes: number;
  readonly descriptor: number;
}

/** An I/O queue pair that is wanted. */
export interface WantedQueue {
  readonly qid: number;
  readonly entries: number;
  readonly sq_address: number;
  readonly cq_address: number;
  /** Signalled when there is something in the completion queue; -1: it is polled. */
  readonly eventfd: number;
}

/** One thread's view of it. */
export class SharedState {
  readonly buffer: SharedArrayBuffer;
  readonly queues: number;
  private readonly words: Int32Array;
  private readonly numbers: Float64Array;
  private readonly text: Uint8Array;

  /** Makes one, for queue ids up to `queues`. */
  static create(queues: number): SharedState {
    const words = HEADER_WORDS + DMA_RANGES * DMA_WORDS + (queues + 1) * QUEUE_WORDS;
    const numbers = DMA_RANGES * DMA_NUMBERS + (queues + 1) * QUEUE_NUMBERS;
    const buffer = new SharedArrayBuffer(TEXT_BYTES + Math.ceil(words / 2) * 8 + numbers * 8);
    return new SharedState(buffer, queues);
  }

  constructor(buffer: SharedArrayBuffer, queues: number) {
    this.buffer = buffer;
    this.queues = queues;
    const words = HEADER_WORDS + DMA_RANGES * DMA_WORDS + (queues + 1) * QUEUE_WORDS;
    this.text = new Uint8Array(buffer, 0, TEXT_BYTES);
    this.words = new Int32Array(buffer, TEXT_BYTES, words);
    this.numbers = new Float64Array(buffer, TEXT_BYTES + Math.ceil(words / 2) * 8);
  }

  // --- the controller ---

  get state(): number {
    return Atomics.load(this.words, STATE);
  }
  /** Counts connections: a queue belongs to one. */
  get generation(): number {
    return Atomics.load(this.words, GENERATION);
  }
  /** True while the connection that a queue belongs to can be used: looked at in each poll. */
  isUp(generation: number): boolean {
    return this.state === LinkState.UP && this.generation === generation;
  }
  /** The eventfd that rings the bell: copy it. */
  get bell(): number {
    return Atomics.load(this.words, BELL);
  }

  get terms(): LinkTerms {
    const terms = {} as Record<keyof LinkTerms, number>;
    termNames.forEach((name, i) => {
      terms[name] = this.words[TERMS + i]!;
    });
    return terms;
  }

  /** For the connection's reactor: a new one, with these terms, which is not up yet. */
  begin(bell: number): void {
    Atomics.store(this.words, BELL, bell);
    Atomics.store(this.words, FAILED, 0);
    this.words[TEXT_LENGTH] = 0;
    for (let qid = 1; qid <= this.queues; qid++) this.setQueueState(qid, QueueState.NONE);
    Atomics.store(this.words, STATE, LinkState.DOWN);
    Atomics.add(this.words, GENERATION, 1);
  }
  agree(terms: LinkTerms): void {
    termNames.forEach((name, i) => {
      this.words[TERMS + i] = terms[name];
    });
  }
  setState(state: number): void {
    Atomics.store(this.words, STATE, state);
  }

  /** Says why the controller is to be given up; the first who does is heard. */
  fail(text: string): void {
    this.lock();
    if (this.words[FAILED] === 0) {
      const bytes = new Uint8Array(TEXT_BYTES);
      const { written } = new TextEncoder().encodeInto(text, bytes);
      this.text.set(bytes);
      this.words[TEXT_LENGTH] = written;
      this.words[FAILED] = 1;
    }
    this.unlock();
  }
  /** Why it was given up; empty: it was not. */
  get failure(): string {
    if (Atomics.load(this.words, FAILED) === 0) return '';
    return new TextDecoder().decode(this.text.slice(0, this.words[TEXT_LENGTH]!));
  }

  private lock(): void {
    for (let spins = 0; Atomics.compareExchange(this.words, LOCK, 0, 1) !== 0; spins++)
      if (spins === SPINS_MAX) throw new Error('the shared state of an NVMe controller stays locked');
  }
  private unlock(): void {
    Atomics.store(this.words, LOCK, 0);
  }

  // --- memory ---

  private dma(index: number): number {
    return HEADER_WORDS + index * DMA_WORDS;
  }
  dmaState(index: number): number {
    return Atomics.load(this.words, this.dma(index));
  }
  /** Moves a range from one state to another. False if it is in a third. */
  moveDma(index: number, from: number, to: number): boolean {
    this.lock();
    const moved = Atomics.compareExchange(this.words, this.dma(index), from, to) === from;
    this.unlock();
    return moved;
  }

  /**
   * Asks for memory to be reached by the controller: the index of its range, {@link NO_ROOM}, or {@link LATER} while the same memory is
   * being unmapped. If the range is new, `descriptor` is the range's from now on: `adopt` is called.
   */
  want(address: number, bytes: number, descriptor: number, adopt: () => void): number {
    this.lock();
    try {
      let free = -1;
      for (let index = 0; index < DMA_RANGES; index++) {
        const at = this.dma(index);
        const state = this.words[at]!;
        if (state === DmaState.FREE) {
          if (free < 0) free = index;
        } else if (this.numbers[index * DMA_NUMBERS] === address) {
          if (state === DmaState.UNMAPPING) return LATER;
          if (state === DmaState.UNWANTED) Atomics.store(this.words, at, DmaState.WANTED);
          this.words[at + 1]!++;
          return index;
        }
      }
      if (free < 0) return NO_ROOM;
      const at = this.dma(free);
      this.numbers[free * DMA_NUMBERS] = address;
      this.numbers[free * DMA_NUMBERS + 1] = bytes;
      this.words[at + 1] = 1;
      this.words[at + 2] = descriptor;
      Atomics.store(this.words, at, DmaState.WANTED);
      adopt();
      return free;
    } finally {
      this.unlock();
    }
  }

  /** One user of a range less. True if it is to be unmapped now: ring the bell. */
  unwant(index: number): boolean {
    this.lock();
    const at = this.dma(index);
    const last = --this.words[at + 1]! === 0;
    if (last) Atomics.store(this.words, at, DmaState.UNWANTED);
    this.unlock();
    return last;
  }

  range(index: number): DmaRange {
    return {
      index,
      address: this.numbers[index * DMA_NUMBERS]!,
      bytes: this.numbers[index * DMA_NUMBERS + 1]!,
      descriptor: this.words[this.dma(index) + 2]!,
    };
  }

  /** Ranges in one of these states. */
  ranges(...states: number[]): DmaRange[] {
    const found: DmaRange[] = [];
    for (let index = 0; index < DMA_RANGES; index++)
      if (states.includes(this.dmaState(index))) found.push(this.range(index));
    return found;
  }

  // --- queues ---

  private queue(qid: number): number {
    return HEADER_WORDS + DMA_RANGES * DMA_WORDS + qid * QUEUE_WORDS;
  }
  queueState(qid: number): number {
    return Atomics.load(this.words, this.queue(qid));
  }
  setQueueState(qid: number, state: number, status = 0): void {
    const at = this.queue(qid);
    this.words[at + 1] = status;
    Atomics.store(this.words, at, state);
  }
  /** Whether a queue was created: OPEN or REFUSED. If nobody wants it any more, it is to be deleted, or there is none. */
  answerQueue(qid: number, state: number, status: number): void {
    const at = this.queue(qid);
    this.words[at + 1] = status;
    const had = Atomics.compareExchange(this.words, at, QueueState.WANTED, state);
    if (had !== QueueState.WANTED && state !== QueueState.OPEN)
      Atomics.store(this.words, at, QueueState.NONE);
  }
  /** Why a queue was refused: a status. */
  queueStatus(qid: number): number {
    return this.words[this.queue(qid) + 1]!;
  }

  wantQueue({ qid, entries, sq_address, cq_address, eventfd }: WantedQueue): void {
    const at = this.queue(qid);
    const number = DMA_RANGES * DMA_NUMBERS + qid * QUEUE_NUMBERS;
    this.words[at + 2] = entries;
    this.words[at + 3] = eventfd;
    this.numbers[number] = sq_address;
    this.numbers[number + 1] = cq_address;
    Atomics.store(this.words, at, QueueState.WANTED);
  }
  wantedQueue(qid: number): WantedQueue {
    const at = this.queue(qid);
    const number = DMA_RANGES * DMA_NUMBERS + qid * QUEUE_NUMBERS;
    return {
      qid,
      entries: this.words[at + 2]!,
      eventfd: this.words[at + 3]!,
      sq_address: this.numbers[number]!,
      cq_address: this.numbers[number + 1]!,
    };
  }
  /** Queue ids in a state. */
  queuesIn(state: number): number[] {
    const found: number[] = [];
    for (let qid = 1; qid <= this.queues; qid++) if (this.queueState(qid) === state) found.push(qid);
    return found;
  }
}
