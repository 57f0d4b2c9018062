import { native } from '@spdk-ts/native';
import { type Poller, type Reactor, type Sleeper, type Thread, UringOp } from '@spdk-ts/reactor';

/** Requests of one logical thread that are under way at once. */
const SLOTS = 512;

/** Operations of struct iocb (linux/aio_abi.h). */
export const AioOp = { PREAD: 0, PWRITE: 1, FDSYNC: 3, PREADV: 7, PWRITEV: 8 } as const;

const IOCB_WORDS = 16;
const RESFD_FLAGS = 14;
const FLAG_RESFD = 1;
const EAGAIN = -11;
/** The kernel's ring: words of its head, then those of each event. */
const RING_NR = 1;
const RING_HEAD = 2;
const RING_TAIL = 3;
const RING_EVENTS = 8;
const EVENT_WORDS = 8;
const EVENT_RESULT = 4;

/** Who is told of a request's end. */
export interface AioHandler {
  /** `result`: bytes, or a negative errno. `submitted` is false if the kernel never took the request. */
  aioEnded(slot: number, result: number, submitted: boolean): void;
}

/** Something that blocks, done on a poll because nothing better can do it. */
export interface BlockingWork {
  run(): void;
}

/**
 * Kernel AIO for one logical thread: requests are prepared in memory that is shared with nobody, submitted together
 * at the thread's next poll, and found done in the kernel's own ring without a call.
 */
export class AioGroup implements Sleeper {
  private readonly reactor: Reactor;
  private readonly context: unknown;
  private readonly ring: Uint32Array;
  private readonly results: Int32Array;
  private readonly iocbs = new Uint32Array(new ArrayBuffer(SLOTS * IOCB_WORDS * 4));
  /** Slots to be submitted, in order. */
  private readonly order = new Uint32Array(new ArrayBuffer(SLOTS * 4));
  private prepared = 0;
  private inflight = 0;
  private readonly handlers: (AioHandler | null)[] = new Array(SLOTS).fill(null);
  private readonly free = new Int32Array(SLOTS);
  private freeTop = SLOTS;
  private readonly blocking: BlockingWork[] = [];
  private readonly eventFd: number;
  private readonly watch: unknown;
  private watching = false;
  /** The eventfd is being read through the reactor's ring, which ends with the next signal. */
  private counting = false;
  private handler: number | null = null;
  private readonly count = new Uint8Array(new ArrayBuffer(8));
  private readonly countAddress = native!.addressOf(this.count);
  private poller: Poller | null = null;
  private users = 0;

  /** Throws an Error with the errno as its code if the kernel gives no context. */
  constructor(reactor: Reactor) {
    this.reactor = reactor;
    const { context, ring } = native!.aioSetup(SLOTS);
    this.context = context;
    this.ring = new Uint32Array(ring);
    this.results = new Int32Array(ring);
    for (let i = 0; i < SLOTS; i++) this.free[i] = SLOTS - 1 - i;
    this.eventFd = native!.eventFd();
    this.watch = native!.ringWatch(this.eventFd, () => reactor.wake());
  }

  /** One more channel of a thread uses the group. */
  attach(thread: Thread): void {
    if (this.users++ > 0) return;
    this.poller = thread.registerPoller('bdev_aio', this.poll);
    this.reactor.addSleeper(this);
  }

  /** One channel less: true if it was the last. */
  detach(): boolean {
    if (--this.users > 0) return false;
    this.poller!.unregister();
    this.poller = null;
    this.reactor.removeSleeper(this);
    return true;
  }

  /** A slot for an operation, or -1. */
  take(handler: AioHandler): number {
    if (this.freeTop === 0) return -1;
    const slot = this.free[--this.freeTop]!;
    this.handlers[slot] = handler;
    return slot;
  }

  give(slot: number): void {
    this.handlers[slot] = null;
    this.free[this.freeTop++] = slot;
  }

  /** Prepares a slot's request. `address` and `length` are of memory or, for gather lists, of the list. */
  prepare(
    slot: number,
    opcode: number,
    fd: number,
    address: number,
    length: number,
    offset: number,
    flags: number,
  ): void {
    const words = this.iocbs;
    const at = slot * IOCB_WORDS;
    words[at] = slot;
    words[at + 3] = flags;
    words[at + 4] = opcode;
    words[at + 5] = fd;
    words[at + 6] = address; // ToUint32: the low word
    words[at + 7] = address / 0x1_0000_0000;
    words[at + 8] = length;
    words[at + 10] = offset;
    words[at + 11] = offset / 0x1_0000_0000;
    words[at + RESFD_FLAGS] = FLAG_RESFD;
    words[at + 15] = this.eventFd;
    this.order[this.prepared++] = slot;
  }

  /** Does something that blocks at the next poll: one such thing a poll. */
  later(work: BlockingWork): void {
    this.blocking.push(work);
  }

  private readonly poll = (): number => {
    let work = 0;
    if (this.prepared > 0) work += this.submit();
    work += this.reap();
    if (this.blocking.length > 0) {
      this.blocking.shift()!.run();
      work++;
    }
    return work;
  };

  private submit(): number {
    const count = native!.aioSubmit(this.context, this.iocbs, this.order, this.prepared);
    if (count === EAGAIN) return 0; // again at the next poll: what is under way has to end first
    const taken = count < 0 ? 1 : count;
    const first = this.order[0]!;
    this.prepared -= taken;
    if (this.prepared > 0) this.order.copyWithin(0, taken, taken + this.prepared);
    if (count < 0) this.ended(first, count, false);
    else this.inflight += count;
    return taken;
  }

  private ended(slot: number, result: number, submitted: boolean): void {
    this.handlers[slot]!.aioEnded(slot, result, submitted);
  }

  private reap(): number {
    const { ring, results } = this;
    const nr = ring[RING_NR]!;
    const tail = ring[RING_TAIL]!;
    let head = ring[RING_HEAD]!;
    let count = 0;
    while (head !== tail) {
      const at = RING_EVENTS + head * EVENT_WORDS;
      const slot = ring[at]!;
      const result = results[at + EVENT_RESULT]!;
      head = head + 1 === nr ? 0 : head + 1;
      ring[RING_HEAD] = head;
      this.inflight--;
      this.ended(slot, result, true);
      count++;
    }
    return count;
  }

  private get ready(): boolean {
    return this.prepared > 0 || this.blocking.length > 0 || this.ring[RING_HEAD] !== this.ring[RING_TAIL];
  }

  armSleep(): boolean {
    if (this.ready) return true;
    if (this.inflight === 0) return false;
    // What was counted while awake says nothing; what is counted from here on wakes.
    native!.drainEventFd(this.eventFd);
    if (this.ready) return true;
    native!.ringWatchStart(this.watch);
    this.watching = true;
    return false;
  }

  private readonly counted = (): void => {
    this.counting = false;
  };

  /** What is counted while awake ends the next nap at once, and is then forgotten. */
  armNap(): number {
    const { ring } = this.reactor;
    if (this.ready || ring === null) return -1;
    if (this.inflight === 0 || this.counting) return this.inflight;
    this.counting = true;
    this.handler ??= ring.addHandler({ uringComplete: this.counted });
    ring.prepare(UringOp.READ, this.eventFd, this.countAddress, this.count.length, this.handler, 0);
    return this.inflight;
  }

  disarmSleep(): void {
    if (!this.watching) return;
    this.watching = false;
    native!.ringWatchStop(this.watch);
  }
}

const groups = new WeakMap<Thread, AioGroup>();
const idle = new WeakMap<Reactor, AioGroup[]>();

/** The group of a thread: one more channel uses it, until {@link releaseGroup}. */
export function acquireGroup(thread: Thread): AioGroup {
  let group = groups.get(thread);
  if (group === undefined) {
    group = idle.get(thread.reactor)?.pop() ?? new AioGroup(thread.reactor);
    groups.set(thread, group);
  }
  group.attach(thread);
  return group;
}

/** Contexts are kept for the reactor's next thread: their number is that of the threads that there were at once. */
export function releaseGroup(group: AioGroup, thread: Thread): void {
  if (!group.detach()) return;
  groups.delete(thread);
  const list = idle.get(thread.reactor) ?? [];
  list.push(group);
  idle.set(thread.reactor, list);
}
