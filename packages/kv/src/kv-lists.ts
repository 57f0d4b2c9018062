import { type BdevIo, IoStatus } from '@spdk-ts/bdev';
import type { RegionTable } from '@spdk-ts/env';
import type { KvIndex } from './kv-index.ts';
import { KvList, LIST_HEAD_BYTES } from './kv-list.ts';

const GENERIC = 0;
const INVALID_FIELD = 2;

/** A channel's KV_LISTs under way. */
export class KvLists {
  private readonly regions: RegionTable;
  private readonly index: KvIndex;
  private readonly lists: KvList[] = [];
  private readonly unused: KvList[] = [];

  constructor(regions: RegionTable, index: KvIndex) {
    this.regions = regions;
    this.index = index;
  }

  /** Begins a list, and ends it if it takes one go: else false, and {@link proceed} is for the next poll. */
  begin(io: BdevIo): boolean {
    if (io.bytes < LIST_HEAD_BYTES) {
      io.completeNvme(GENERIC, INVALID_FIELD);
      return true;
    }
    const list = this.unused.pop() ?? new KvList();
    list.begin(this.regions, io);
    this.lists.push(list);
    return this.proceed(io);
  }

  proceed(io: BdevIo): boolean {
    const list = this.lists.find((other) => other.io === io)!;
    if (!list.proceed(this.regions, this.index)) return false;
    this.forget(io);
    io.complete(IoStatus.SUCCESS);
    return true;
  }

  /** The I/O is ended by somebody else. */
  forget(io: BdevIo): void {
    const at = this.lists.findIndex((other) => other.io === io);
    if (at < 0) return;
    const [list] = this.lists.splice(at, 1);
    list!.io = null;
    this.unused.push(list!);
  }
}
