import type { RegionTable } from '@spdk-ts/env';
import type { Native } from '@spdk-ts/native';

const REGISTER_BUFFERS2 = 15;
const REGISTER_BUFFERS_UPDATE = 16;
const SPARSE = 1;
const STRUCT_BYTES = 32;
/** Memory is registered in pieces of this size, of a region from its start on. */
const CHUNK_BYTES = 2 * 1024 * 1024;
/** Places of the table, and so the most that is registered: 2 GiB. */
const CHUNKS = 1024;
const UNKNOWN = -1;
const REFUSED = -2;

/** The memory that a ring may register. */
export interface UringMemory {
  readonly regions: RegionTable;
  /** At most so many bytes. */
  readonly lockable_bytes: number;
}

/**
 * A ring's table of registered memory, for direct I/O: the kernel finds and pins the pages once, not at each I/O.
 * A region is registered piece by piece, as its pieces are used first: memory that is never used is never committed.
 * What cannot be registered is used all the same.
 */
export class UringBuffers {
  private readonly native: Native;
  private readonly ring: number;
  private readonly regions: RegionTable | null;
  private readonly chunksMax: number;
  /** Of each region the place in the table of each of its pieces. */
  private readonly chunks: (Int32Array | undefined)[] = [];
  private readonly free: number[] = [];
  private usable: boolean;
  private opened = false;
  /** Pieces that are registered. */
  registered = 0;
  /** struct io_uring_rsrc_register and io_uring_rsrc_update2, and one iovec. */
  private readonly argument = new Uint32Array(new ArrayBuffer(STRUCT_BYTES));
  private readonly piece = new Uint32Array(new ArrayBuffer(16));

  constructor(native: Native, ring: number, memory: UringMemory | null) {
    this.native = native;
    this.ring = ring;
    this.regions = memory?.regions ?? null;
    this.chunksMax = Math.min(CHUNKS, Math.floor((memory?.lockable_bytes ?? 0) / CHUNK_BYTES));
    this.usable = this.chunksMax > 0;
  }

  /** The place in the table of the memory that holds all of a range, or -1. */
  find(region: number, offset: number, length: number): number {
    const chunks = region < this.chunks.length ? this.chunks[region] : undefined;
    const chunk = Math.floor(offset / CHUNK_BYTES);
    if (offset + length > (chunk + 1) * CHUNK_BYTES) return -1;
    if (chunks !== undefined) {
      const place = chunks[chunk]!;
      if (place >= 0) return place;
      if (place === REFUSED) return -1;
    }
    return this.register(region, chunk);
  }

  private open(): void {
    this.opened = true;
    this.argument.fill(0);
    this.argument[0] = CHUNKS;
    this.argument[1] = SPARSE;
    const status = this.native.ringRegister(this.ring, REGISTER_BUFFERS2, this.argument, STRUCT_BYTES);
    this.usable = status >= 0;
    if (!this.usable) return;
    for (let i = this.chunksMax - 1; i >= 0; i--) this.free.push(i);
    this.regions!.onRemove((id) => this.forget(id));
  }

  private register(region: number, chunk: number): number {
    if (this.usable && !this.opened) this.open();
    if (!this.usable || !this.regions!.pinnable(region)) return -1;
    const bytes = this.regions!.bytes(region);
    while (this.chunks.length <= region) this.chunks.push(undefined);
    const known = this.chunks[region];
    const chunks = known ?? new Int32Array(Math.ceil(bytes.length / CHUNK_BYTES)).fill(UNKNOWN);
    this.chunks[region] = chunks;
    const place = this.free.pop();
    const start = chunk * CHUNK_BYTES;
    const length = Math.min(CHUNK_BYTES, bytes.length - start);
    if (place !== undefined && this.set(place, this.regions!.address(region, start), length)) {
      chunks[chunk] = place;
      this.registered++;
      return place;
    }
    if (place !== undefined) this.free.push(place);
    chunks[chunk] = REFUSED;
    return -1;
  }

  /** Fills a place of the table, or empties it (address 0). */
  private set(place: number, address: number, length: number): boolean {
    this.piece[0] = address;
    this.piece[1] = address / 0x1_0000_0000;
    this.piece[2] = length;
    const at = this.native.addressOf(this.piece);
    this.argument.fill(0);
    this.argument[0] = place;
    this.argument[2] = at;
    this.argument[3] = at / 0x1_0000_0000;
    this.argument[6] = 1;
    return this.native.ringRegister(this.ring, REGISTER_BUFFERS_UPDATE, this.argument, STRUCT_BYTES) >= 0;
  }

  /** A region is going: what comes in its place, or at its address, is other memory. */
  private forget(region: number): void {
    const chunks = this.chunks[region];
    if (chunks === undefined) return;
    for (const place of chunks) {
      if (place < 0) continue;
      this.set(place, 0, 0);
      this.free.push(place);
      this.registered--;
    }
    this.chunks[region] = undefined;
  }
}
