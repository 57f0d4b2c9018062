import type { Native } from '@spdk-ts/native';
import { UringBuffers, type UringMemory } from './uring-buffers.ts';
import { UringFiles } from './uring-files.ts';

/** Opcodes of the submission queue entries used here (linux/io_uring.h). */
export const UringOp = {
  NOP: 0,
  READV: 1,
  WRITEV: 2,
  FSYNC: 3,
  READ_FIXED: 4,
  WRITE_FIXED: 5,
  POLL_ADD: 6,
  SENDMSG: 9,
  TIMEOUT: 11,
  ACCEPT: 13,
  ASYNC_CANCEL: 14,
  CONNECT: 16,
  FALLOCATE: 17,
  CLOSE: 19,
  READ: 22,
  WRITE: 23,
  SEND: 26,
  RECV: 27,
  URING_CMD: 46,
} as const;

/** Set in the opcode given to {@link Uring.prepare}: the descriptor is a place in the table of registered files. */
export const FIXED_FILE = 1 << 8;

const SETUP_IOPOLL = 1;
const SETUP_SQPOLL = 2;
const SETUP_TASKRUN_FLAG = 1 << 9;
const SETUP_SQE128 = 1 << 10;
const SETUP_CQE32 = 1 << 11;
const SETUP_SINGLE_ISSUER = 1 << 12;
const SETUP_DEFER_TASKRUN = 1 << 13;
const SETUP_COOP_TASKRUN = 1 << 8;
const ENTER_GETEVENTS = 1;
const ENTER_SQ_WAKEUP = 2;
const ENTER_SQ_WAIT = 4;
const SQ_NEED_WAKEUP = 1;
const SQ_CQ_OVERFLOW = 2;
const SQ_TASKRUN = 4;
const CQ_EVENTFD_DISABLED = 1;
const REGISTER_EVENTFD = 4;
const REGISTER_PROBE = 8;
const PROBE_OPS = 256;
const OP_SUPPORTED = 1;
const EBUSY = -16;
const EAGAIN = -11;
const EINTR = -4;
const ETIME = -62;
/** Words of an entry and of a completion, as powers of two; those of a wide ring are twice as long. */
const SQE_SHIFT = 4;
const CQE_SHIFT = 2;
/** Numbers of a stashed completion. */
const STASHED = 6;

/** Who is told of a completion. */
export interface UringHandler {
  /** `tag` is the number given at submission; `result` as the system call's: bytes or a negative errno. */
  uringComplete(tag: number, result: number, flags: number): void;
}

/** Sizes of a ring. The kernel rounds them up to powers of two. */
export interface UringOptions {
  /** Submissions that are prepared between two system calls at most. */
  readonly entries: number;
  /** Completions that the ring holds, at least as many: more are kept by the kernel meanwhile, at a price. */
  readonly cq_entries: number;
  /** Completions are looked for in the device (IORING_SETUP_IOPOLL): only for direct reads and writes, and no sleep. */
  readonly polled?: boolean;
  /** A thread of the kernel takes submissions (SQPOLL): they cost no system call, and it a processor while there are some. */
  readonly threaded?: boolean;
  /**
   * Entries of 128 bytes, and completions of 32 (SQE128, CQE32): what device passthrough takes. The second half of an
   * entry is whoever prepares it to fill.
   */
  readonly wide?: boolean;
}
/** What the kernel takes (IORING_MAX_ENTRIES, IORING_MAX_CQ_ENTRIES). */
export const uringLimits = { entries: 32_768, cq_entries: 65_536 } as const;
export const defaultUring: UringOptions = { entries: 1024, cq_entries: 4096 };

/**
 * One thread's io_uring. Entries are written straight into the kernel's ring; {@link enter} hands all that
 * were prepared over at once, and finds what has completed: one system call for both.
 */
export class Uring {
  /** The submission queue entries as words; an entry begins at what {@link prepare} returns. */
  readonly words: Uint32Array;
  readonly eventFd: number;
  /** What it may register; also for who makes a second ring. */
  readonly memory: UringMemory | null;
  /** The table of registered files. */
  readonly files: UringFiles;
  /** The table of registered memory. */
  readonly buffers: UringBuffers;
  /** True while a sleep is prepared or under way. */
  armed = false;
  /** True if completions are worked on only when this thread asks for them (DEFER_TASKRUN, Linux 6.1). */
  readonly deferred: boolean;
  readonly entries: number;
  readonly cqEntries: number;
  /** Calls of io_uring_enter, for statistics. */
  enters = 0;
  /** For who uses it: I/Os of devices under way, which it may take long to complete. */
  awaited = 0;
  /** Of a completion of a wide ring: its second result, while its handler is called. */
  extraLow = 0;
  extraHigh = 0;
  private readonly native: Native;
  private readonly fd: number;
  private readonly threaded: boolean;
  private readonly sqeShift: number;
  private readonly cqeShift: number;
  private readonly polled: boolean;
  private readonly rings: Uint32Array;
  private readonly results: Int32Array;
  private readonly mask: number;
  private readonly cqMask: number;
  private readonly sqHead: number;
  private readonly sqTail: number;
  private readonly sqFlags: number;
  private readonly cqHead: number;
  private readonly cqTail: number;
  private readonly cqFlags: number;
  private readonly cqes: number;
  private readonly watch: unknown;
  private tail = 0;
  private submitted = 0;
  private completed = 0;
  private readonly handlers: UringHandler[] = [];
  private readonly freeHandlers: number[] = [];
  /** Completions that had to leave the ring before anybody could be told: tag, handler, result, flags, second result of each. */
  private readonly stashed: number[] = [];

  /**
   * `memory`: what can be registered. Throws an Error with the errno as its code where the kernel, a
   * sysctl or seccomp does not allow a ring.
   */
  constructor(
    native: Native,
    onWake: () => void,
    memory: UringMemory | null = null,
    options: UringOptions = defaultUring,
  ) {
    this.native = native;
    this.memory = memory;
    const wide = options.wide ? SETUP_SQE128 | SETUP_CQE32 : 0;
    const kind = (options.polled ? SETUP_IOPOLL : 0) | wide;
    const best = SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN | SETUP_TASKRUN_FLAG | kind;
    const plain = SETUP_COOP_TASKRUN | SETUP_TASKRUN_FLAG | kind;
    const threaded = options.threaded ?? false;
    let ring: ReturnType<Native['ringSetup']>;
    let deferred = !threaded;
    try {
      ring = native.ringSetup(options.entries, options.cq_entries, threaded ? SETUP_SQPOLL | kind : best);
    } catch (error) {
      if ((error as { code?: string }).code !== '22' || threaded) throw error;
      deferred = false;
      ring = native.ringSetup(options.entries, options.cq_entries, plain);
    }
    this.deferred = deferred;
    this.entries = ring.sqEntries;
    this.cqEntries = ring.cqEntries;
    this.fd = ring.fd;
    this.polled = options.polled ?? false;
    this.threaded = threaded;
    this.sqeShift = SQE_SHIFT + Number(wide !== 0);
    this.cqeShift = CQE_SHIFT + Number(wide !== 0);
    this.words = new Uint32Array(ring.sqes);
    this.rings = new Uint32Array(ring.rings);
    this.results = new Int32Array(ring.rings);
    this.mask = ring.sqEntries - 1;
    this.cqMask = ring.cqEntries - 1;
    this.sqHead = ring.sqHead / 4;
    this.sqTail = ring.sqTail / 4;
    this.sqFlags = ring.sqFlags / 4;
    this.cqHead = ring.cqHead / 4;
    this.cqTail = ring.cqTail / 4;
    this.cqFlags = ring.cqFlags / 4;
    this.cqes = ring.cqes / 4;
    for (let i = 0; i < ring.sqEntries; i++) this.rings[ring.sqArray / 4 + i] = i;
    this.eventFd = native.eventFd();
    this.setEvents(false);
    const status = native.ringRegister(this.fd, REGISTER_EVENTFD, new Int32Array([this.eventFd]), 1);
    if (status < 0)
      throw Object.assign(new Error(`io_uring_register(EVENTFD): ${status}`), { code: String(-status) });
    this.watch = native.ringWatch(this.eventFd, onWake);
    this.files = new UringFiles(native, this.fd);
    this.buffers = new UringBuffers(native, this.fd, memory);
  }

  /** Asks the kernel for the operations that it has: true for those. */
  operations(): (opcode: number) => boolean {
    // io_uring_probe: 16 bytes, then for each operation opcode, reserved, u16 flags, u32 reserved.
    const probe = new Uint8Array(16 + PROBE_OPS * 8);
    const status = this.native.ringRegister(this.fd, REGISTER_PROBE, probe, PROBE_OPS);
    const count = status < 0 ? 0 : probe[1]!;
    return (opcode) => opcode < count && (probe[16 + opcode * 8 + 2]! & OP_SUPPORTED) !== 0;
  }

  /** A number for a handler, to be given with each entry. */
  addHandler(handler: UringHandler): number {
    const id = this.freeHandlers.pop() ?? this.handlers.length;
    this.handlers[id] = handler;
    return id;
  }

  /** Takes a handler's number back: only when nothing of it is under way. */
  removeHandler(id: number): void {
    this.freeHandlers.push(id);
  }

  /**
   * A cleared entry with opcode, descriptor, address, length, handler and tag set: the index of its first word, for
   * what else the operation needs. Hands earlier entries over if the queue is full.
   */
  prepare(opcode: number, fd: number, address: number, length: number, handler: number, tag: number): number {
    if (this.tail - this.submitted > this.mask) this.submit();
    const at = (this.tail & this.mask) << this.sqeShift;
    const words = this.words;
    words[at] = opcode;
    words[at + 1] = fd;
    words[at + 2] = 0;
    words[at + 3] = 0;
    words[at + 4] = address; // ToUint32: the low word
    words[at + 5] = address / 0x1_0000_0000;
    words[at + 6] = length;
    words[at + 7] = 0;
    words[at + 8] = tag;
    words[at + 9] = handler;
    words[at + 10] = 0;
    words[at + 11] = 0;
    words[at + 12] = 0;
    words[at + 13] = 0;
    words[at + 14] = 0;
    words[at + 15] = 0;
    this.tail++;
    return at;
  }

  /** Sets the 64-bit offset of an entry (file offset, second address). */
  setOffset(at: number, offset: number): void {
    this.words[at + 2] = offset;
    this.words[at + 3] = offset / 0x1_0000_0000;
  }

  /** Entries prepared and not handed over yet. */
  get pending(): number {
    return this.tail - this.submitted;
  }

  /** Entries that have not completed. Not for rings with entries that complete more than once. */
  get inflight(): number {
    return this.tail - this.completed;
  }

  /** True if the kernel has something to do for this ring that it does only when asked. */
  private get wantsEnter(): boolean {
    if (this.polled) return this.inflight > 0;
    return (this.rings[this.sqFlags]! & (SQ_TASKRUN | SQ_CQ_OVERFLOW)) !== 0;
  }

  private submit(): void {
    if (this.threaded) {
      this.publish();
      return;
    }
    while (this.submitted < this.tail) {
      this.rings[this.sqTail] = this.tail;
      this.enters++;
      const done = this.native.ringEnter(this.fd, this.tail - this.submitted, 0, ENTER_GETEVENTS, -1);
      if (done >= 0) this.submitted += done;
      else if (done === EBUSY || done === EAGAIN) this.stash();
      else if (done !== EINTR) throw new Error(`io_uring_enter failed with errno ${-done}`);
    }
  }

  /** Shows entries to the kernel's thread, wakes it if it sleeps, and waits for it if it has left no room for another. */
  private publish(): void {
    const { results, sqHead, sqTail, sqFlags, mask } = this;
    Atomics.store(results, sqTail, this.tail | 0);
    let flags = 0;
    if ((Atomics.load(results, sqFlags) & SQ_NEED_WAKEUP) !== 0) flags = ENTER_SQ_WAKEUP;
    for (;;) {
      const taken = (Atomics.load(results, sqHead) - (this.submitted | 0)) | 0;
      this.submitted += taken;
      const full = this.tail - this.submitted > mask;
      if (full) flags |= ENTER_SQ_WAIT;
      if (flags === 0) return;
      this.enters++;
      const status = this.native.ringEnter(this.fd, 0, 0, flags, -1);
      if (status === EBUSY || status === EAGAIN) this.stash();
      else if (status < 0 && status !== EINTR) throw new Error(`io_uring_enter failed with errno ${-status}`);
      flags = 0;
    }
  }

  /**
   * Makes room in a full completion queue, for which the kernel waits before it takes more. Nobody is told here: a
   * handler may be the one that is preparing an entry, and would be called from within itself.
   */
  private stash(): void {
    const { rings, results, cqMask, cqes, cqeShift } = this;
    const wide = cqeShift > CQE_SHIFT;
    let head = rings[this.cqHead]!;
    while (head !== rings[this.cqTail]!) {
      const at = cqes + ((head & cqMask) << cqeShift);
      this.stashed.push(rings[at]!, rings[at + 1]!, results[at + 2]!, rings[at + 3]!);
      this.stashed.push(wide ? rings[at + 4]! : 0, wide ? rings[at + 5]! : 0);
      head = (head + 1) >>> 0;
    }
    rings[this.cqHead] = head;
  }

  /**
   * Hands over what was prepared and tells the handlers what has completed. Without either it costs no system
   * call. Returns the number of completions.
   */
  enter(): number {
    if (this.tail !== this.submitted) this.submit();
    else if (this.wantsEnter) this.getEvents(0, -1);
    return this.reap();
  }

  /** Hands over what was prepared, and waits until something has completed, which {@link enter} tells: `ns` at most. */
  wait(ns: number): void {
    if (this.tail !== this.submitted) this.submit();
    if (this.stashed.length === 0) this.getEvents(1, ns);
  }

  private getEvents(least: number, ns: number): void {
    this.enters++;
    const status = this.native.ringEnter(this.fd, 0, least, ENTER_GETEVENTS, ns);
    if (status < 0 && status !== EBUSY && status !== EAGAIN && status !== EINTR && status !== ETIME)
      throw new Error(`io_uring_enter failed with errno ${-status}`);
  }

  /** Tells of everything that has completed, in order: what was stashed meanwhile is older than what the ring holds. */
  private reap(): number {
    const { rings, results, cqMask, cqes, cqeShift } = this;
    let count = 0;
    for (;;) {
      if (this.stashed.length > 0) count += this.tellStashed();
      const head = rings[this.cqHead]!;
      if (head === rings[this.cqTail]!) break;
      const at = cqes + ((head & cqMask) << cqeShift);
      const tag = rings[at]!;
      const handler = rings[at + 1]!;
      const result = results[at + 2]!;
      const flags = rings[at + 3]!;
      if (cqeShift > CQE_SHIFT) {
        this.extraLow = rings[at + 4]!;
        this.extraHigh = rings[at + 5]!;
      }
      rings[this.cqHead] = head + 1;
      this.handlers[handler]!.uringComplete(tag, result, flags);
      count++;
    }
    this.completed += count;
    return count;
  }

  private tellStashed(): number {
    const { stashed } = this;
    let i = 0;
    for (; i < stashed.length; i += STASHED) {
      this.extraLow = stashed[i + 4]!;
      this.extraHigh = stashed[i + 5]!;
      this.handlers[stashed[i + 1]!]!.uringComplete(stashed[i]!, stashed[i + 2]!, stashed[i + 3]!);
    }
    stashed.length = 0;
    return i / STASHED;
  }

  private setEvents(on: boolean): void {
    const flags = this.rings[this.cqFlags]!;
    this.rings[this.cqFlags] = on ? flags & ~CQ_EVENTFD_DISABLED : flags | CQ_EVENTFD_DISABLED;
  }

  /** Before a sleep: from now on a completion calls `onWake`. True if there is something already. */
  armSleep(): boolean {
    this.setEvents(true);
    if (this.tail !== this.submitted) this.submit();
    const ready =
      (this.rings[this.sqFlags]! & (SQ_TASKRUN | SQ_CQ_OVERFLOW)) !== 0 ||
      this.rings[this.cqHead] !== this.rings[this.cqTail] ||
      this.stashed.length > 0;
    if (ready) this.setEvents(false);
    else {
      this.native.ringWatchStart(this.watch);
      this.armed = true;
    }
    return ready;
  }

  /** After a sleep. */
  disarmSleep(): void {
    this.armed = false;
    this.setEvents(false);
    this.native.ringWatchStop(this.watch);
    this.native.drainEventFd(this.eventFd);
  }
}
