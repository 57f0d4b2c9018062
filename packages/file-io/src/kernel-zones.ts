import type { Native } from '@spdk-ts/native';
import { ZoneState } from '@spdk-ts/zones';

/** What every reactor needs to know of the zones of a zoned block device. Sizes in blocks. */
export interface FileZones {
  readonly zone_size: number;
  readonly num_zones: number;
  /** One Int32 a zone: see ZoneOrder. */
  readonly gates: SharedArrayBuffer;
  /**
   * Two Float64 a zone: blocks from its start to where it is written next ({@link UNKNOWN} where the device has to be
   * asked) for all of them, then their capacities. Changed only by who has the zone's gate.
   */
  readonly pointers: SharedArrayBuffer;
}

/** The write pointer has to be asked for. */
export const UNKNOWN = -1;

/** {@link FileZones.pointers} of zones that nobody has asked for yet. */
export function unknownPointers(num_zones: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(num_zones * 16);
  new Float64Array(memory).fill(UNKNOWN);
  return memory;
}

/** struct blk_zone_report (linux/blkzoned.h): 16 bytes, then 64 for each zone. */
const HEADER_BYTES = 16;
const ZONE_BYTES = 64;
const SECTOR_BYTES = 512;
const HAS_CAPACITY = 1;
const FLAGS = 12;
const LENGTH = 8;
const POINTER = 16;
const TYPE = 24;
const CONDITION = 25;
const CAPACITY = 32;

/** Zone states by the kernel's number of a condition. */
const states: Record<number, number> = {
  0: ZoneState.NOT_WP,
  1: ZoneState.EMPTY,
  2: ZoneState.IMPLICIT_OPEN,
  3: ZoneState.EXPLICIT_OPEN,
  4: ZoneState.CLOSED,
  13: ZoneState.READ_ONLY,
  14: ZoneState.FULL,
  15: ZoneState.OFFLINE,
};

/** A report of zones, which the kernel fills: some of them at a time. */
export class KernelZoneReport {
  /** Zones that the last report has. */
  count = 0;
  readonly room: number;
  private readonly native: Native;
  private readonly fd: number;
  private readonly sectorsPerBlock: number;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor(native: Native, fd: number, block_size: number, room: number) {
    this.native = native;
    this.fd = fd;
    this.sectorsPerBlock = block_size / SECTOR_BYTES;
    this.room = room;
    const buffer = new ArrayBuffer(HEADER_BYTES + room * ZONE_BYTES);
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
  }

  /** Asks for the zones from the one on that begins at `block`: how many there are, or a negative errno. Blocks. */
  read(block: number, most: number = this.room): number {
    const bytes = this.bytes.subarray(0, HEADER_BYTES + Math.min(most, this.room) * ZONE_BYTES);
    const result = this.native.zoneReport(this.fd, block * this.sectorsPerBlock, bytes);
    this.count = Math.max(0, result);
    return result;
  }

  private blocks(zone: number, at: number): number {
    const offset = HEADER_BYTES + zone * ZONE_BYTES + at;
    const sectors = this.view.getUint32(offset, true) + this.view.getUint32(offset + 4, true) * 0x1_0000_0000;
    return sectors / this.sectorsPerBlock;
  }

  private byte(zone: number, at: number): number {
    return this.bytes[HEADER_BYTES + zone * ZONE_BYTES + at]!;
  }

  start(zone: number): number {
    return this.blocks(zone, 0);
  }
  length(zone: number): number {
    return this.blocks(zone, LENGTH);
  }
  /** Blocks that can be written: kernels before 5.9 do not know of fewer than there are. */
  capacity(zone: number): number {
    const known = (this.view.getUint32(FLAGS, true) & HAS_CAPACITY) !== 0;
    return known ? this.blocks(zone, CAPACITY) : this.length(zone);
  }
  /** A ZoneState. */
  state(zone: number): number {
    return states[this.byte(zone, CONDITION)] ?? ZoneState.NOT_WP;
  }
  /** A ZoneType, whose numbers the kernel has too. */
  type(zone: number): number {
    return this.byte(zone, TYPE);
  }
  /** Block that is written next; of a full zone the end of its capacity, of one without a pointer its start. */
  pointer(zone: number): number {
    const state = this.state(zone);
    const start = this.start(zone);
    if (state === ZoneState.FULL) return start + this.capacity(zone);
    const none = state === ZoneState.NOT_WP || state === ZoneState.READ_ONLY || state === ZoneState.OFFLINE;
    return none ? start : this.blocks(zone, POINTER);
  }
}
