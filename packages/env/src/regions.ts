import { native } from '@spdk-ts/native';

/**
 * Memory that I/O may touch. A place in it is two numbers, a region's id and a byte offset; an address is
 * needed only where the kernel is told about it. Ids are the same on every thread of a process.
 */
export interface Region {
  readonly id: number;
  readonly bytes: Uint8Array;
  /** Where the region begins in the process's address space, or 0 where that is not known (portable path). */
  readonly address: number;
}

/** Ids below this are the reactors' own buffer regions: the reactor's index. */
export const FIRST_SHARED_REGION = 1024;
const PAGE_BYTES = 4096;
/** Upper bound of ids: a limit on what a process registers at once. */
export const MAX_REGIONS = 65_536;
/** Ids from here on belong to one thread each. */
const FIRST_LOCAL_REGION = 32_768;

/** One thread's view of the registered regions. Nothing registered is collected or moved. */
export class RegionTable {
  private readonly regions: (Region | undefined)[] = [];
  private readonly views: Uint8Array[] = [];
  /** Bytes from the last page boundary to each region's first byte. */
  private readonly skews: number[] = [];
  /** Regions whose pages may change: see {@link neverPin}. */
  private readonly changing = new Set<number>();
  private readonly removal: ((id: number) => void)[] = [];
  private static readonly empty = new Uint8Array(0);
  /** The same regions as the addon knows them, for {@link Batch}; undefined without the addon. */
  readonly batchTable: unknown = native?.batchTable();
  /** The lowest id that {@link addLocal} has given away, and those that came back, oldest first. */
  private localIds = MAX_REGIONS;
  private readonly returnedIds: number[] = [];

  /** Registers a region. Throws RangeError if the id is taken or out of bounds. */
  add(id: number, bytes: Uint8Array, address = native?.addressOf(bytes) ?? 0): Region {
    if (!Number.isInteger(id) || id < 0 || id >= MAX_REGIONS)
      throw new RangeError(`region id ${id} is not in 0 … ${MAX_REGIONS - 1}`);
    if (this.regions[id] !== undefined) throw new RangeError(`region id ${id} is in use`);
    while (this.views.length <= id) {
      this.views.push(RegionTable.empty);
      this.skews.push(0);
    }
    const region = { id, bytes, address };
    this.regions[id] = region;
    this.views[id] = bytes;
    this.skews[id] = address % PAGE_BYTES;
    native?.batchRegion(this.batchTable, id, bytes);
    return region;
  }

  /** How many more {@link addLocal} can take. */
  get localLeft(): number {
    return this.localIds - FIRST_LOCAL_REGION + this.returnedIds.length;
  }

  /** Registers memory that only this thread knows: ids from the upper half, used again as late as possible. */
  addLocal(bytes: Uint8Array): Region {
    if (this.localIds > FIRST_LOCAL_REGION) return this.add(--this.localIds, bytes);
    const id = this.returnedIds.shift();
    if (id === undefined) throw new RangeError('too many regions of memory are in use on this thread');
    return this.add(id, bytes);
  }

  remove(id: number): void {
    for (const listener of this.removal) listener(id);
    if (id >= FIRST_LOCAL_REGION && this.regions[id] !== undefined) this.returnedIds.push(id);
    this.regions[id] = undefined;
    this.changing.delete(id);
    native?.batchRegion(this.batchTable, id, null);
    if (id < this.views.length) this.views[id] = RegionTable.empty;
  }

  /** For a region whose owner gives pages back to the system, which others then take the place of. */
  neverPin(id: number): void {
    this.changing.add(id);
  }

  /** True if a region's pages stay the same, so that they may be registered with the kernel. */
  pinnable(id: number): boolean {
    return !this.changing.has(id);
  }

  /** Calls `listener` when a region is being removed: its memory may be gone afterwards. */
  onRemove(listener: (id: number) => void): void {
    this.removal.push(listener);
  }

  /** True if a place's address is a multiple of `mask` + 1, a power of two up to a page. */
  aligned(id: number, offset: number, mask: number): boolean {
    return ((this.skews[id]! + offset) & mask) === 0;
  }

  /** The address of a place: 0 and up where addresses are not known. */
  address(id: number, offset: number): number {
    return this.regions[id]!.address + offset;
  }

  get(id: number): Region | undefined {
    return this.regions[id];
  }

  /** The bytes of a region: for the hot path, an empty array where there is none. */
  bytes(id: number): Uint8Array {
    return this.views[id] ?? RegionTable.empty;
  }

  /** CRC32C of `length` bytes at `offset` of a region, continued from `crc` (0 at first). Only with the addon. */
  crc32c(id: number, offset: number, length: number, crc: number): number {
    return native!.batchCrc32c(this.batchTable, id, offset, length, crc);
  }

  /** True if `length` bytes at `offset` lie inside the region. */
  contains(id: number, offset: number, length: number): boolean {
    return offset >= 0 && length >= 0 && offset + length <= this.bytes(id).length;
  }
}
