import type { BdevIo } from '@spdk-ts/bdev';
import type { RegionTable } from '@spdk-ts/env';
import { type KvIndex, NO_NODE } from './kv-index.ts';

/** Bytes of the count that a list begins with. */
export const LIST_HEAD_BYTES = 4;
/** Keys that are listed in one go. */
const KEYS_AT_ONCE = 2048;

/** A KV_LIST under way: pooled, for as many goes as it takes. */
export class KvList {
  io: BdevIo | null = null;
  private length = 0;
  private key0 = 0;
  private key1 = 0;
  private key2 = 0;
  private key3 = 0;
  /** The key was listed already. */
  private listed = false;
  private count = 0;
  private left = 0;
  private piece = 0;
  private bytes: Uint8Array = new Uint8Array(0);
  private offset = 0;
  private end = 0;

  begin(regions: RegionTable, io: BdevIo): void {
    this.io = io;
    this.length = io.key_length;
    this.key0 = io.key0;
    this.key1 = io.key1;
    this.key2 = io.key2;
    this.key3 = io.key3;
    this.listed = false;
    this.count = 0;
    this.left = io.bytes;
    this.rewind(regions);
    for (let i = 0; i < LIST_HEAD_BYTES; i++) this.put(regions, 0);
    this.left -= LIST_HEAD_BYTES;
  }

  /** Lists more keys. True: that is all, and the count is written. */
  proceed(regions: RegionTable, index: KvIndex): boolean {
    let listed = 0;
    if (this.length === 0) index.setBucket(0);
    else index.setKey(this.length, this.key0, this.key1, this.key2, this.key3);
    for (let after = false; index.nextBucket(after); after = true) {
      if (listed >= KEYS_AT_ONCE || !index.lock()) return false;
      let at = index.first();
      for (; at !== NO_NODE; at = index.after(at)) {
        if (this.listed && this.isKey(index, at)) continue;
        if (!this.add(regions, index, at)) break;
        listed++;
      }
      index.unlock();
      if (at !== NO_NODE) break;
    }
    this.rewind(regions);
    for (let i = 0; i < LIST_HEAD_BYTES; i++) this.put(regions, (this.count >>> (8 * i)) & 0xff);
    return true;
  }

  private isKey(index: KvIndex, at: number): boolean {
    return (
      index.keyLength(at) === this.length &&
      index.keyWord(at, 0) === this.key0 &&
      index.keyWord(at, 1) === this.key1 &&
      index.keyWord(at, 2) === this.key2 &&
      index.keyWord(at, 3) === this.key3
    );
  }

  /** Adds a key: false if there is no room for it. */
  private add(regions: RegionTable, index: KvIndex, at: number): boolean {
    const length = index.keyLength(at);
    const padded = (2 + length + 3) & ~3;
    if (padded > this.left) return false;
    this.left -= padded;
    this.put(regions, length);
    this.put(regions, 0);
    for (let i = 0; i < padded - 2; i++)
      this.put(regions, i < length ? (index.keyWord(at, i >> 2) >>> ((i & 3) * 8)) & 0xff : 0);
    this.count++;
    this.length = length;
    this.key0 = index.keyWord(at, 0);
    this.key1 = index.keyWord(at, 1);
    this.key2 = index.keyWord(at, 2);
    this.key3 = index.keyWord(at, 3);
    this.listed = true;
    return true;
  }

  private rewind(regions: RegionTable): void {
    this.piece = -1;
    this.offset = 0;
    this.end = 0;
    const { iovs, region, offset, length } = this.io!;
    if (iovs !== null) return;
    this.bytes = regions.bytes(region);
    this.offset = offset;
    this.end = offset + length;
  }

  /** Writes the next byte of the I/O's room. */
  private put(regions: RegionTable, byte: number): void {
    while (this.offset === this.end) {
      const iovs = this.io!.iovs!;
      this.piece++;
      this.bytes = regions.bytes(iovs.region[this.piece]!);
      this.offset = iovs.offset[this.piece]!;
      this.end = this.offset + iovs.length[this.piece]!;
    }
    this.bytes[this.offset++] = byte;
  }
}
