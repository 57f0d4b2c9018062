import {
  type BdevIo,
  copyFromIo,
  copyToIo,
  IoStatus,
  IoType,
  KvStatus,
  KvStoreOption,
  type ModuleChannel,
} from '@spdk-ts/bdev';
import { type KvIndex, KvLists, NO_NODE, RetryQueue } from '@spdk-ts/kv';
import type { Thread } from '@spdk-ts/reactor';
import { type KvPages, NO_PAGE } from './kv-pages.ts';

/** What the index keeps of a value: its bytes and its first page. */
const BYTES = 0;
const PAGE = 1;
const GENERIC = 0;

/**
 * A thread's way to a key-value bdev in memory. A store puts its value into new pages first and then lets the key lead
 * to them, so that whoever reads sees one value or the other; a read copies under the key's lock, so that the pages are
 * not given to another meanwhile. `moduleTag` of a store: its first page + 2 once it has one, 0 before.
 */
export class KvMallocChannel implements ModuleChannel {
  private readonly index: KvIndex;
  private readonly pages: KvPages;
  private readonly retries: RetryQueue;
  private readonly lists: KvLists;

  constructor(thread: Thread, index: KvIndex, pages: KvPages) {
    this.index = index;
    this.pages = pages;
    this.lists = new KvLists(thread.reactor.regions, index);
    this.retries = new RetryQueue(thread, 'bdev_malloc_kv', (io) => this.attempt(io));
  }

  submit(io: BdevIo): void {
    io.moduleTag = 0;
    switch (io.type) {
      case IoType.RESET:
        for (const waiting of [...this.retries.ios]) this.abort(waiting);
        io.complete(IoStatus.SUCCESS);
        break;
      case IoType.FLUSH:
        io.complete(IoStatus.SUCCESS);
        break;
      case IoType.KV_LIST:
        if (!this.lists.begin(io)) this.retries.push(io);
        break;
      default:
        if (!this.attempt(io)) this.retries.push(io);
    }
  }

  /** False: a lock is held by another, nothing has changed. */
  private attempt(io: BdevIo): boolean {
    if (io.type === IoType.KV_LIST) return this.lists.proceed(io);
    if (io.type === IoType.KV_STORE) return this.store(io);
    const { index } = this;
    index.setKeyOf(io);
    if (!index.lock()) return false;
    const at = index.find();
    if (at === NO_NODE) {
      index.unlock();
      io.completeNvme(GENERIC, KvStatus.KEY_DOES_NOT_EXIST);
      return true;
    }
    if (io.type === IoType.KV_DELETE) {
      const first = index.words[index.value(at) + PAGE]!;
      index.remove(at);
      index.unlock();
      this.pages.free(first);
    } else {
      if (io.type === IoType.KV_RETRIEVE) this.copyOut(io, index.value(at));
      index.unlock();
    }
    io.complete(IoStatus.SUCCESS);
    return true;
  }

  private copyOut(io: BdevIo, value: number): void {
    const { pages } = this;
    const { words } = this.index;
    const bytes = words[value + BYTES]!;
    const wanted = Math.min(bytes, io.bytes);
    io.cdw0 = bytes;
    if (wanted === 0) return;
    let page = words[value + PAGE]!;
    for (let done = 0; done < wanted; done += pages.page_bytes) {
      const count = Math.min(pages.page_bytes, wanted - done);
      copyToIo(pages.memory, io, done, pages.region(page), pages.offset(page), count);
      page = pages.after(page);
    }
    pages.memory.settle();
  }

  private store(io: BdevIo): boolean {
    const { index, pages } = this;
    const bytes = io.bytes;
    index.setKeyOf(io);
    if (io.moduleTag === 0) {
      if (io.kv_options !== 0) {
        // Not to be refused for lack of space if it is refused anyway.
        if (!index.lock()) return false;
        const refusal = refuses(io, index.find() !== NO_NODE);
        index.unlock();
        if (refusal !== 0) {
          io.completeNvme(GENERIC, refusal);
          return true;
        }
      }
      const first = bytes === 0 ? NO_PAGE : pages.allocate(bytes);
      if (bytes > 0 && first === NO_PAGE) {
        io.completeNvme(GENERIC, KvStatus.CAPACITY_EXCEEDED);
        return true;
      }
      this.copyIn(io, first, bytes);
      io.moduleTag = first + 2;
    }
    if (!index.lock()) return false;
    let unused = io.moduleTag - 2;
    let at = index.find();
    let status = refuses(io, at !== NO_NODE);
    if (status === 0) {
      const known = at !== NO_NODE;
      if (!known) at = index.insert();
      if (at === NO_NODE) status = KvStatus.CAPACITY_EXCEEDED;
      else {
        const value = index.value(at);
        const before = known ? index.words[value + PAGE]! : NO_PAGE;
        index.words[value + BYTES] = bytes;
        index.words[value + PAGE] = unused;
        unused = before;
      }
    }
    index.unlock();
    pages.free(unused);
    io.completeNvme(GENERIC, status);
    return true;
  }

  private copyIn(io: BdevIo, first: number, bytes: number): void {
    const { pages } = this;
    let page = first;
    for (let done = 0; done < bytes; done += pages.page_bytes) {
      const count = Math.min(pages.page_bytes, bytes - done);
      copyFromIo(pages.memory, io, done, pages.region(page), pages.offset(page), count);
      page = pages.after(page);
    }
    // Others may read it as soon as its key leads to it.
    if (bytes > 0) pages.memory.settle();
  }

  abort(io: BdevIo): boolean {
    if (!this.retries.remove(io)) return false;
    this.lists.forget(io);
    if (io.type === IoType.KV_STORE && io.moduleTag > 0) this.pages.free(io.moduleTag - 2);
    io.complete(IoStatus.ABORTED);
    return true;
  }

  destroy(): void {
    this.retries.stop();
  }
}

/** What a store's options make of its key's being there or not: a status, or 0. */
function refuses(io: BdevIo, exists: boolean): number {
  if (exists && (io.kv_options & KvStoreOption.MUST_NOT_EXIST) !== 0) return KvStatus.KEY_EXISTS;
  if (!exists && (io.kv_options & KvStoreOption.MUST_EXIST) !== 0) return KvStatus.KEY_DOES_NOT_EXIST;
  return 0;
}
