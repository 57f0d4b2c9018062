import { IoVec } from '@spdk-ts/bdev';
import type { GuestMemory } from '@spdk-ts/guest-memory';
import { HEADER_BYTES } from './constants.ts';
import type { RegionViews } from './guest-views.ts';
import type { Virtqueue } from './virtqueue.ts';

/** Segments of data that a request may have: what the configuration space promises. */
export const SEG_MAX = 126;
/** A header, a status, and pieces that lie across two regions. */
const PIECES_MAX = SEG_MAX + 4;
const HIGH_WORD_END = 2 ** 20;

/**
 * One request of a driver, from its chain of descriptors to its status. Objects are pooled; all that is read from the
 * guest's memory is read once, into this.
 */
export class BlkRequest {
  /** Place in the pool, which its bdev I/O carries. */
  readonly index: number;
  queue: Virtqueue | null = null;
  /** Number of the head descriptor (split), or the buffer's id (packed). */
  head = 0;
  /** Entries of a packed ring that it takes. */
  slots = 0;
  /** Packed: its entry in the in-flight area. */
  entry = 0;
  /** Its data: what the device reads, or writes. */
  readonly iovs = new IoVec(PIECES_MAX);
  out_bytes = 0;
  in_bytes = 0;
  /** virtio_blk_req: type, and the sector's two words. */
  type = 0;
  sector_low = 0;
  sector_high = 0;
  /** Where the status goes; region -1: nowhere, as the chain has no such byte. */
  status_region = -1;
  status_offset = 0;
  private header_bytes = 0;
  /** The last piece is one that the device writes. */
  private status_last = false;
  private failed = false;
  private readonly header = new DataView(new ArrayBuffer(HEADER_BYTES));
  next: BlkRequest | null = null;

  constructor(index: number) {
    this.index = index;
  }

  /** Begins a new one. */
  begin(queue: Virtqueue): void {
    this.queue = queue;
    this.iovs.count = 0;
    this.out_bytes = 0;
    this.in_bytes = 0;
    this.header_bytes = 0;
    this.status_region = -1;
    this.status_last = false;
    this.failed = false;
  }

  /**
   * Appends a buffer of the chain: its address in two words, its bytes, and whether it is for the device to write. What the
   * request cannot have makes it fail; its status is still to be found.
   */
  add(
    memory: GuestMemory,
    views: RegionViews,
    low: number,
    high: number,
    bytes: number,
    write: boolean,
  ): void {
    // The data of a request that has failed are not needed any more.
    if (this.failed) this.iovs.count = 0;
    const address = low + high * 0x1_0000_0000;
    if (high >= HIGH_WORD_END) this.failed = true;
    else if (write) this.addWritable(memory, address, bytes);
    else if (this.in_bytes > 0) this.failed = true;
    else this.addReadable(memory, views, address, bytes);
  }

  private addWritable(memory: GuestMemory, address: number, bytes: number): void {
    this.in_bytes += bytes;
    if (bytes === 0) return;
    this.status_last = memory.gather(this.iovs, address, bytes, true);
    if (!this.status_last) this.failed = true;
  }

  private addReadable(memory: GuestMemory, views: RegionViews, address: number, bytes: number): void {
    const part = this.header_bytes < HEADER_BYTES ? Math.min(HEADER_BYTES - this.header_bytes, bytes) : 0;
    if (part > 0 && !this.addHeader(memory, views, address, part)) this.failed = true;
    this.out_bytes += bytes - part;
    if (bytes > part && !memory.gather(this.iovs, address + part, bytes - part, false)) this.failed = true;
  }

  private addHeader(memory: GuestMemory, views: RegionViews, address: number, part: number): boolean {
    if (part === HEADER_BYTES && memory.find(address, HEADER_BYTES, false)) {
      const view = views.view(memory.region);
      const { offset } = memory;
      this.type = view.getUint32(offset, true);
      this.sector_low = view.getUint32(offset + 8, true);
      this.sector_high = view.getUint32(offset + 12, true);
      this.header_bytes = HEADER_BYTES;
      return true;
    }
    // A header in pieces: byte by byte.
    for (let i = 0; i < part; i++) {
      if (!memory.find(address + i, 1, false)) return false;
      this.header.setUint8(this.header_bytes++, views.view(memory.region).getUint8(memory.offset));
    }
    this.type = this.header.getUint32(0, true);
    this.sector_low = this.header.getUint32(8, true);
    this.sector_high = this.header.getUint32(12, true);
    return true;
  }

  /** The chain has ended: its last byte is the status. False if it is no request: then there may be a status all the same. */
  finish(): boolean {
    const { iovs } = this;
    if (!this.status_last) return false;
    const last = iovs.count - 1;
    const length = iovs.length[last]! - 1;
    this.status_region = iovs.region[last]!;
    this.status_offset = iovs.offset[last]! + length;
    this.in_bytes--;
    if (length === 0) iovs.count = last;
    else iovs.length[last] = length;
    return !this.failed && this.header_bytes === HEADER_BYTES;
  }
}
