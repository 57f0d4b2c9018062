/**
 * The part of a controller that several threads look at: a few words of shared memory. The reactor of the admin
 * queue (home) writes CC, CSTS and the write cache; the control thread writes which reactor serves which queue.
 *
 * Words: CC, CSTS, CLOSING, WCE, number of I/O queue pairs, number of error log entries, LBAFEE; ACTIVE_MS, BUSY_SLOT and
 * BUSY_SLOTS for {@link Activity}; at QUEUES one word for
 * each queue id: 1 + index of its reactor, or 0.
 */
const CC = 0;
const CSTS = 1;
const CLOSING = 2;
const WCE = 3;
const IO_QUEUES = 4;
const ERROR_COUNT = 5;
const LBAFEE = 6;
const ACTIVE_MS = 7;
const BUSY_SLOT = 8;
const BUSY_SLOTS = 9;
const QUEUES = 16;

/** Length of a slot in which a controller is busy or not, ms. */
export const BUSY_SLOT_MS = 500;

/** Error log: entries kept, and words of one. */
export const ERROR_LOG_ENTRIES = 128;
const ENTRY_WORDS = 8;

const CC_EN = 1;
const CC_SHN = 0xc000;
const CC_CSS = 0x70;
const CC_CSS_ALL = 0x60;
const CSTS_RDY = 1;
const ACTIVE_WRAP = 0x8000_0000;

/** A failed command, as the error log keeps it. */
export interface ErrorEntry {
  readonly count: number;
  readonly sqid: number;
  readonly cid: number;
  readonly status: number;
  readonly nsid: number;
  readonly lba: number;
  readonly opcode: number;
  /** Byte in 7:0 and bit in 10:8 of the command where the error is, or FFFFh. */
  readonly location: number;
}

export class ControllerState {
  readonly memory: SharedArrayBuffer;
  private readonly words: Int32Array;
  private readonly errors: Float64Array;
  readonly maxQueues: number;

  /** Memory for a controller with queue ids 0 … `maxIoQueues`. */
  static allocate(maxIoQueues: number): SharedArrayBuffer {
    const queues = (QUEUES + maxIoQueues + 2) & ~1;
    return new SharedArrayBuffer(queues * 4 + ERROR_LOG_ENTRIES * ENTRY_WORDS * 8);
  }

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    const errorBytes = ERROR_LOG_ENTRIES * ENTRY_WORDS * 8;
    const words = (memory.byteLength - errorBytes) / 4;
    this.words = new Int32Array(memory, 0, words);
    this.errors = new Float64Array(memory, words * 4);
    this.maxQueues = words - QUEUES;
  }

  get cc(): number {
    return Atomics.load(this.words, CC) >>> 0;
  }
  set cc(value: number) {
    Atomics.store(this.words, CC, value | 0);
  }
  get csts(): number {
    return Atomics.load(this.words, CSTS);
  }
  set csts(value: number) {
    Atomics.store(this.words, CSTS, value);
  }

  /** Set once: every queue pair of the controller is being ended. */
  get closing(): boolean {
    return Atomics.load(this.words, CLOSING) !== 0;
  }
  close(): void {
    Atomics.store(this.words, CLOSING, 1);
  }

  /** For each I/O: the controller is enabled and ready. A plain read: what is seen may be one command old. */
  get ready(): boolean {
    return (this.words[CC]! & CC_EN) !== 0 && (this.words[CSTS]! & CSTS_RDY) !== 0;
  }
  /** Ready, and no shutdown has been asked for: I/O queues may be made. */
  get takesQueues(): boolean {
    return this.ready && (this.cc & CC_SHN) === 0;
  }
  /** The volatile write cache is enabled (feature 06h). */
  get writeCache(): boolean {
    return this.words[WCE]! !== 0;
  }
  set writeCache(enabled: boolean) {
    Atomics.store(this.words, WCE, enabled ? 1 : 0);
  }

  /** The host has enabled all I/O command sets (CC.CSS 110b), not only that of namespaces with plain blocks. */
  get allCommandSets(): boolean {
    return (this.words[CC]! & CC_CSS) === CC_CSS_ALL;
  }
  /** The host knows extended LBA formats (Host Behavior Support, LBAFEE). */
  get extendedLbaFormats(): boolean {
    return this.words[LBAFEE]! !== 0;
  }
  set extendedLbaFormats(enabled: boolean) {
    Atomics.store(this.words, LBAFEE, enabled ? 1 : 0);
  }

  get ioQueues(): number {
    return Atomics.load(this.words, IO_QUEUES);
  }

  /** Index of the reactor that serves a queue, or -1. */
  reactorOf(qid: number): number {
    return qid < this.maxQueues ? Atomics.load(this.words, QUEUES + qid) - 1 : -1;
  }

  /** For the control thread: a queue pair has been admitted on a reactor, or (reactor -1) is gone. */
  setReactorOf(qid: number, reactor: number): void {
    const before = Atomics.exchange(this.words, QUEUES + qid, reactor + 1);
    if (qid === 0) return;
    if (before === 0 && reactor >= 0) Atomics.add(this.words, IO_QUEUES, 1);
    if (before !== 0 && reactor < 0) Atomics.sub(this.words, IO_QUEUES, 1);
  }

  /** A queue pair has had commands: `now_ms` by the reactors' clock, of which 31 bits are kept. */
  touch(now_ms: number): void {
    Atomics.store(this.words, ACTIVE_MS, now_ms % ACTIVE_WRAP);
  }
  /** How long ago that was, ms. */
  idle_ms(now_ms: number): number {
    const gone = (now_ms % ACTIVE_WRAP) - Atomics.load(this.words, ACTIVE_MS);
    return gone < 0 ? gone + ACTIVE_WRAP : gone;
  }

  /** An I/O queue pair has had commands in the slot of {@link BUSY_SLOT_MS} that has this number. */
  busyIn(slot: number): void {
    const kept = slot % ACTIVE_WRAP;
    if (Atomics.exchange(this.words, BUSY_SLOT, kept) !== kept) Atomics.add(this.words, BUSY_SLOTS, 1);
  }
  /** Time during which I/O commands were under way. */
  get busySeconds(): number {
    return (Atomics.load(this.words, BUSY_SLOTS) * BUSY_SLOT_MS) / 1000;
  }

  get errorCount(): number {
    return Atomics.load(this.words, ERROR_COUNT);
  }

  /** Adds a failed command to the error log. From any reactor. */
  logError(entry: Omit<ErrorEntry, 'count'>): void {
    const { sqid, cid, status, nsid, lba, opcode, location } = entry;
    const count = Atomics.add(this.words, ERROR_COUNT, 1) + 1;
    const at = ((count - 1) % ERROR_LOG_ENTRIES) * ENTRY_WORDS;
    const { errors } = this;
    errors[at] = 0;
    errors[at + 1] = sqid;
    errors[at + 2] = cid;
    errors[at + 3] = status;
    errors[at + 4] = nsid;
    errors[at + 5] = lba;
    errors[at + 6] = opcode;
    errors[at + 7] = location;
    errors[at] = count;
  }

  /** The newest entries, newest first, at most `limit`. */
  errorEntries(limit: number): ErrorEntry[] {
    const newest = this.errorCount;
    const entries: ErrorEntry[] = [];
    for (let count = newest; count > 0 && entries.length < Math.min(limit, ERROR_LOG_ENTRIES); count--) {
      const at = ((count - 1) % ERROR_LOG_ENTRIES) * ENTRY_WORDS;
      const [found, sqid, cid, status, nsid, lba, opcode, location] = this.errors.slice(
        at,
        at + ENTRY_WORDS,
      ) as unknown as [number, number, number, number, number, number, number, number];
      if (found === count) entries.push({ count, sqid, cid, status, nsid, lba, opcode, location });
    }
    return entries;
  }
}
