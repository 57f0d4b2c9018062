import type { Poller, Thread } from '@spdk-ts/reactor';
import { BdevIo, HOLDS_BASE, IoState } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { IoQueue } from './io-queue.ts';
import { IoVec } from './iovec.ts';
import type { Memory } from './memory.ts';
import { Split } from './split.ts';

/** Who waits for an I/O object: see {@link BdevChannel.queueWait}. */
export interface BdevIoWaiter {
  bdevIoAvailable(): void;
}

/** I/O objects that a thread takes from the common pool at once, when its own do not suffice. */
const POOL_CHUNK = 64;
const UNDER_WAY: ReadonlySet<number> = new Set([
  IoState.QUEUED,
  IoState.LOCKED,
  IoState.SUBMITTED,
  IoState.COMPLETING,
]);
/** Pieces that a gather list has room for, at least. */
const IOVS_MIN = 8;

/**
 * What the layer keeps for one logical thread, whatever its bdevs: the pool of I/O objects, the ring of completed
 * ones whose owners are still to be told, and the queue of reads that wait for a buffer.
 */
export class ThreadContext {
  readonly thread: Thread;
  private readonly memory: Memory;
  /** Channels of this thread: with the last one goes the context. */
  channels = 0;

  /** Every I/O object of this thread, by index. */
  private readonly all: BdevIo[] = [];
  private free: BdevIo | null = null;
  /** Objects for the layer's own use, beside the pool. */
  private readonly spare: BdevIo[] = [];
  private readonly iovs: IoVec[] = [];
  private splits: Split | null = null;
  /** Objects made for the pool, and how many it may make. */
  private made = 0;
  private allowance: number;
  private readonly pool: Int32Array;
  private taken = 0;

  private readonly waiters: BdevIoWaiter[] = [];
  private serving = false;
  /** Objects beyond the pool that are free; how many more there are in the pool's stead until as many have come back. */
  private beyond: BdevIo | null = null;
  private excess = 0;
  /** Waiters and excess: what the next objects that are given back are for. */
  private owed = 0;

  private ring = new Int32Array(256);
  private head = 0;
  private tail = 0;
  /** The iteration in which the poller ran last. */
  private polledAt = -1;
  private messageSent = false;
  private readonly poller: Poller;

  private readonly forBuffer = new IoQueue();
  private waitsForBuffer = false;

  /** `pool`: the count of objects left for all threads; `cache_size`: those that this thread has for sure. */
  constructor(thread: Thread, memory: Memory, pool: Int32Array, cache_size: number) {
    this.thread = thread;
    this.memory = memory;
    this.pool = pool;
    this.allowance = cache_size;
    this.taken = cache_size;
    Atomics.sub(pool, 0, cache_size);
    this.poller = thread.registerPoller('bdev', this.drain);
  }

  /** A free object in state SETUP, or null. */
  take(): BdevIo | null {
    if (this.waiters.length !== 0 && !this.serving) return null;
    const io = this.free;
    if (io === null) return this.make();
    this.free = io.next;
    io.next = null;
    io.state = IoState.SETUP;
    return io;
  }

  private make(): BdevIo | null {
    if (this.made >= this.allowance && !this.takeMore()) return null;
    this.made++;
    const io = this.add();
    io.state = IoState.SETUP;
    return io;
  }

  private takeMore(): boolean {
    const left = Atomics.load(this.pool, 0);
    const chunk = Math.min(left, POOL_CHUNK);
    if (chunk <= 0) return false;
    if (Atomics.compareExchange(this.pool, 0, left, left - chunk) !== left) return this.takeMore();
    this.allowance += chunk;
    this.taken += chunk;
    return true;
  }

  /**
   * An object beyond the pool's size, to be freed as any other: of what comes back next, one is kept out of the pool
   * for it. For a stacked bdev that has no I/O under way on its base: the objects may all be with its own users, who
   * would wait for it for ever.
   */
  takeBeyond(): BdevIo {
    const io = this.beyond ?? this.add();
    this.beyond = io.next;
    io.next = null;
    io.state = IoState.SETUP;
    this.excess++;
    this.owed++;
    return io;
  }

  /** Brings the pool back to its size. */
  private keepOut(): void {
    while (this.excess > 0 && this.free !== null) {
      const io = this.free;
      this.free = io.next;
      io.next = this.beyond;
      this.beyond = io;
      this.excess--;
      this.owed--;
    }
  }

  private add(): BdevIo {
    const io = new BdevIo(this.all.length);
    this.all.push(io);
    if (this.all.length > this.ring.length) this.growRing();
    return io;
  }

  /** An object for the layer's own use: never refused. */
  takeSpare(): BdevIo {
    const io = this.spare.pop() ?? this.add();
    io.state = IoState.SETUP;
    return io;
  }

  giveSpare(io: BdevIo): void {
    if (io.ownBuffer >= 0) this.release(io);
    io.reset();
    io.state = IoState.FREE;
    this.spare.push(io);
  }

  /** Calls `fn` with each I/O of a channel that is under way: started, and not ended, nor its zero-copy memory given back. */
  forEachUnderWay(channel: BdevChannel, fn: (io: BdevIo) => void): void {
    for (const io of this.all)
      if (io.channel === channel && (UNDER_WAY.has(io.state) || (io.state === IoState.DONE && io.zcopy_open)))
        fn(io);
  }

  /** A gather list for that many pieces, empty. */
  takeIovs(capacity: number): IoVec {
    const iovs = this.iovs.pop();
    if (iovs !== undefined && iovs.capacity >= capacity) return iovs;
    return new IoVec(Math.max(IOVS_MIN, 2 ** Math.ceil(Math.log2(capacity))));
  }
  giveIovs(iovs: IoVec): void {
    iovs.clear();
    this.iovs.push(iovs);
  }

  takeSplit(): Split {
    const split = this.splits;
    if (split === null) return new Split(this);
    this.splits = split.next;
    return split;
  }
  giveSplit(split: Split): void {
    split.next = this.splits;
    this.splits = split;
  }

  /** Takes an object back. Whoever waits longest gets it at once, unless the pool has one too many. */
  give(io: BdevIo): void {
    if (io.state !== IoState.DONE && io.state !== IoState.SETUP)
      throw new Error(`bdev I/O ${io.index} was freed in state ${io.state}: twice, or before it completed`);
    const buffer = io.ownBuffer;
    io.reset();
    io.state = IoState.FREE;
    io.next = this.free;
    this.free = io;
    if (buffer >= 0) this.release(io);
    if (this.owed !== 0 && !this.serving) this.serveWaiters();
  }

  /** Gives back what the I/O holds beside itself: a buffer, or its base's I/O. */
  release(io: BdevIo): void {
    const buffer = io.ownBuffer;
    io.ownBuffer = -1;
    if (buffer !== HOLDS_BASE) {
      this.thread.reactor.buffers.put(buffer);
      return;
    }
    const base = io.held!;
    io.held = null;
    base.free();
  }

  private readonly serveWaiters = (): void => {
    this.serving = true;
    this.keepOut();
    while (this.waiters.length > 0 && (this.free !== null || this.made < this.allowance)) {
      this.owed--;
      this.waiters.shift()!.bdevIoAvailable();
    }
    // What was given back meanwhile.
    this.keepOut();
    this.serving = false;
  };

  wait(waiter: BdevIoWaiter): void {
    this.waiters.push(waiter);
    this.owed++;
    if (this.free !== null) this.thread.send(this.serveWaiters);
  }

  private growRing(): void {
    const ring = new Int32Array(this.ring.length * 2);
    let count = 0;
    while (this.head !== this.tail) {
      ring[count++] = this.ring[this.head & (this.ring.length - 1)]!;
      this.head = (this.head + 1) | 0;
    }
    this.ring = ring;
    this.head = 0;
    this.tail = count;
  }

  /** A completed I/O: its owner is told by the poller. The ring has a place for each object: it is never full. */
  complete(io: BdevIo): void {
    const tail = this.tail;
    // The poller has had its turn in this iteration, and a reactor without work may fall asleep: leave a message.
    if (tail === this.head && this.polledAt === this.thread.reactor.now) this.sendMessage();
    this.ring[tail & (this.ring.length - 1)] = io.index;
    this.tail = (tail + 1) | 0;
  }

  private sendMessage(): void {
    if (this.messageSent) return;
    this.messageSent = true;
    this.thread.send(this.drainMessage);
  }

  private readonly drainMessage = (): void => {
    this.messageSent = false;
    this.drain();
  };

  /** Tells the owners of what has completed so far; what they submit now and completes at once has to wait. */
  readonly drain = (): number => {
    const end = this.tail;
    const count = (end - this.head) | 0;
    if (count > 0) this.memory.settle();
    this.polledAt = this.thread.reactor.now;
    for (let i = 0; i < count; i++) {
      const head = this.head;
      const io = this.all[this.ring[head & (this.ring.length - 1)]!]!;
      this.head = (head + 1) | 0;
      io.channel!.finish(io);
    }
    return count;
  };

  /** True if I/O waits for a buffer: what comes later must not overtake it. */
  get buffersWanted(): boolean {
    return this.forBuffer.head !== null;
  }

  queueForBuffer(io: BdevIo): void {
    this.forBuffer.push(io);
    this.waitForBuffer();
  }

  private waitForBuffer(): void {
    if (this.waitsForBuffer || this.forBuffer.head === null) return;
    this.waitsForBuffer = true;
    this.thread.reactor.buffers.wait(this);
  }

  /** For the buffer pool. */
  bufferAvailable(): void {
    this.waitsForBuffer = false;
    const buffers = this.thread.reactor.buffers;
    for (let io = this.forBuffer.head; io !== null; io = this.forBuffer.head) {
      const buffer = buffers.get(io.length);
      if (buffer < 0) break;
      this.forBuffer.shift();
      io.channel!.startWithBuffer(io, buffer);
    }
    this.waitForBuffer();
  }

  /** Takes an I/O out of the queue for buffers. False if it is not there. */
  unqueue(io: BdevIo): boolean {
    const found = this.forBuffer.remove(io);
    if (found) this.stopWaitingForBuffer();
    return found;
  }

  /** Takes the first I/O of a channel out of the queue for buffers, or returns null. */
  unqueueOf(channel: BdevChannel): BdevIo | null {
    const io = this.forBuffer.removeOf(channel);
    if (io !== null) this.stopWaitingForBuffer();
    return io;
  }

  private stopWaitingForBuffer(): void {
    if (this.forBuffer.head !== null || !this.waitsForBuffer) return;
    this.thread.reactor.buffers.cancelWait(this);
    this.waitsForBuffer = false;
  }

  /** The thread's last channel is gone. */
  destroy(): void {
    this.poller.unregister();
    Atomics.add(this.pool, 0, this.taken);
    this.taken = 0;
    this.allowance = 0;
  }
}
