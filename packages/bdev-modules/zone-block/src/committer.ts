import { type BdevChannel, type BdevIo, type BdevIoOwner, IoStatus, IoType } from '@spdk-ts/bdev';
import type { Poller, Thread } from '@spdk-ts/reactor';
import type { ZoneStore } from './zone-store.ts';

/**
 * Brings the state of zones to stable storage for one thread: flushes the base, then writes the pages that had changed
 * before that, each over the older of its two copies. What a page says was written is so on the base. Everything that
 * asks meanwhile is served together by the next round.
 */
export class Committer<T> implements BdevIoOwner {
  private readonly thread: Thread;
  private readonly base: BdevChannel;
  private readonly store: ZoneStore;
  private readonly done: (item: T, status: number) => void;
  private waiting: T[] = [];
  private served: T[] = [];
  private working = false;
  private flushing = false;
  private pages: number[] = [];
  private poller: Poller | null = null;

  /** `done`: told of each item's end, not from within {@link request} alone: its bdev status. */
  constructor(thread: Thread, base: BdevChannel, store: ZoneStore, done: (item: T, status: number) => void) {
    this.thread = thread;
    this.base = base;
    this.store = store;
    this.done = done;
  }

  /** All that has ended before this call is on stable storage when `item` is done with SUCCESS. */
  request(item: T): void {
    this.waiting.push(item);
    if (!this.working) this.begin();
  }

  /** Ends an item that no round serves yet. False if there is none such. */
  abort(item: T): boolean {
    const at = this.waiting.indexOf(item);
    if (at < 0) return false;
    this.waiting.splice(at, 1);
    if (this.waiting.length === 0) this.stopWaiting();
    this.done(item, IoStatus.ABORTED);
    return true;
  }
  abortWaiting(): void {
    const items = this.waiting;
    this.waiting = [];
    this.stopWaiting();
    for (const item of items) this.done(item, IoStatus.ABORTED);
  }

  /** Nobody is left who wants a round. */
  private stopWaiting(): void {
    if (this.poller === null) return;
    this.poller.unregister();
    this.poller = null;
    this.working = false;
  }

  private begin(): void {
    this.working = true;
    if (this.store.tryLock()) this.commit();
    else this.poller = this.thread.registerPoller('bdev_zone_block', this.poll);
  }

  /** Another thread is at it. That it is waited for counts as work: nobody wakes this reactor. */
  private readonly poll = (): number => {
    if (!this.store.tryLock()) return 1;
    this.poller!.unregister();
    this.poller = null;
    this.commit();
    return 1;
  };

  private commit(): void {
    this.served = this.waiting;
    this.waiting = [];
    this.store.capture(this.pages);
    this.flushing = this.base.supports(IoType.FLUSH);
    if (this.flushing) this.start(IoType.FLUSH, 0, this.base.num_blocks);
    else this.next();
  }

  private next(): void {
    const page = this.pages.at(-1);
    if (page === undefined) this.end(IoStatus.SUCCESS);
    else this.start(IoType.WRITE, this.store.targetOf(page), 1, this.store.offsetOf(page));
  }

  private start(type: number, at: number, blocks: number, offset = 0): void {
    const io = this.base.getIo() ?? this.base.getIoBeyond();
    io.type = type;
    io.offset_blocks = at;
    io.num_blocks = blocks;
    io.owner = this;
    if (type === IoType.WRITE) {
      io.region = this.store.region;
      io.offset = offset;
      io.length = this.store.layout.block_size;
      io.fua = true;
    }
    if (this.base.submit(io) === 0) return;
    io.free();
    this.end(IoStatus.FAILED);
  }

  bdevIoDone(io: BdevIo): void {
    const { status } = io;
    io.free();
    if (status !== IoStatus.SUCCESS) {
      this.end(status);
      return;
    }
    if (this.flushing) this.flushing = false;
    else this.store.written(this.pages.pop()!);
    this.next();
  }

  private end(status: number): void {
    for (const page of this.pages.splice(0)) this.store.notWritten(page);
    this.store.unlock();
    const served = this.served;
    this.served = [];
    this.working = false;
    for (const item of served) this.done(item, status);
    if (this.waiting.length > 0 && !this.working) this.begin();
  }
}
