import type { IoVec } from '@spdk-ts/bdev';
import type { RegionTable } from '@spdk-ts/env';
import type { GuestMemory } from '@spdk-ts/guest-memory';
import { genericStatus, STATUS_DNR, status, statusType } from '@spdk-ts/nvme-spec';
import type { NvmfRequest } from '../request.ts';
import { Transfer } from '../request.ts';
import { PAGE_BYTES } from './layout.ts';

const wrong = (code: number): number => status(statusType.generic, code) | STATUS_DNR;
const PRP_OFFSET_INVALID = wrong(genericStatus.prpOffsetInvalid);
const TRANSFER_ERROR = wrong(genericStatus.dataTransferError);
const INVALID_FIELD = wrong(genericStatus.invalidField);
const SGL_SEGMENT_INVALID = wrong(genericStatus.invalidSglSegmentDescriptor);
const SGL_COUNT_INVALID = wrong(genericStatus.invalidNumberOfSglDescriptors);
const SGL_LENGTH_INVALID = wrong(genericStatus.dataSglLengthInvalid);
const SGL_TYPE_INVALID = wrong(genericStatus.sglDescriptorTypeInvalid);
const SGL_GRANULARITY_INVALID = wrong(genericStatus.sglDataBlockGranularityInvalid);

const TWO_32 = 0x1_0000_0000;
/** Upper halves of addresses beyond 2^52 are of no memory. */
const HIGH_MAX = 0x10_0000;
const OFFSET_MASK = PAGE_BYTES - 1;
const PSDT = 0xc000;
/** Dwords of PRP1 and PRP2, which an SGL descriptor takes the place of. */
const POINTER = 6;
const PRP2 = 8;
/** SGL descriptors: bytes, and types with subtype "address". */
const DESCRIPTOR_BYTES = 16;
const DATA_BLOCK = 0x00;
const SEGMENT = 0x20;
const LAST_SEGMENT = 0x30;
/** Most segments of a command's SGL. */
const SEGMENTS_MAX = 64;

/**
 * Turns a command's PRPs or SGL into places of its data, in the guest's own memory. Everything is read once: what the guest
 * changes meanwhile makes its own data wrong, and nothing else.
 */
export class DataPointers {
  private readonly memory: GuestMemory;
  private readonly regions: RegionTable;
  private list!: IoVec;
  private writes = false;
  private views: Int32Array = new Int32Array(0);
  private viewed: Uint8Array | null = null;

  constructor(memory: GuestMemory, regions: RegionTable) {
    this.memory = memory;
    this.regions = regions;
  }

  /** Sets a request's place to `length` bytes; `list` is the request's own. Returns a status, 0 if all is well. */
  load(request: NvmfRequest, list: IoVec, length: number): number {
    const { sqe32 } = request;
    this.list = list;
    this.writes = request.transfer === Transfer.CONTROLLER_TO_HOST;
    list.clear();
    request.length = length;
    const result = (sqe32[0]! & PSDT) === 0 ? this.prps(sqe32, length) : this.sgl(sqe32, length);
    if (result !== 0) return result;
    if (list.count === 1) {
      request.region = list.region[0]!;
      request.offset = list.offset[0]!;
    } else request.iovs = list;
    return 0;
  }

  /** Appends memory of the guest. False: a part of it is not there, or may not be written, or there are too many pieces. */
  private push(address: number, length: number): boolean {
    const { memory, list } = this;
    if (!memory.find(address, length, this.writes)) return memory.gather(list, address, length, this.writes);
    const last = list.count - 1;
    if (
      last >= 0 &&
      list.region[last] === memory.region &&
      list.offset[last]! + list.length[last]! === memory.offset
    ) {
      list.length[last]! += length;
      return true;
    }
    if (list.count === list.capacity) return false;
    list.push(memory.region, memory.offset, length);
    return true;
  }

  /** PRP entries (Base 2.0, 4.1.1). */
  private prps(sqe32: Uint32Array, length: number): number {
    const low = sqe32[POINTER]!;
    const high = sqe32[POINTER + 1]!;
    if ((low & 3) !== 0) return PRP_OFFSET_INVALID;
    const first = Math.min(length, PAGE_BYTES - (low & OFFSET_MASK));
    if (high >= HIGH_MAX || !this.push(low + high * TWO_32, first)) return TRANSFER_ERROR;
    const left = length - first;
    if (left === 0) return 0;
    const low2 = sqe32[PRP2]!;
    const high2 = sqe32[PRP2 + 1]!;
    if (high2 >= HIGH_MAX) return TRANSFER_ERROR;
    if (left > PAGE_BYTES) return this.prpList(low2 + high2 * TWO_32, left);
    if ((low2 & OFFSET_MASK) !== 0) return PRP_OFFSET_INVALID;
    return this.push(low2 + high2 * TWO_32, left) ? 0 : TRANSFER_ERROR;
  }

  /**
   * A list of PRP entries, the last of each page leading to the next page of the list if there is more. Each page of
   * it must bring an entry at least: who makes a circle of them comes to the end of the data in it.
   */
  private prpList(start: number, length: number): number {
    let address = start;
    let left = length;
    for (let pages = 0; left > 0; pages++) {
      if (address % 8 !== 0 || (pages > 0 && address % PAGE_BYTES !== 0)) return PRP_OFFSET_INVALID;
      const room = (PAGE_BYTES - (address % PAGE_BYTES)) / 8;
      const needed = Math.ceil(left / PAGE_BYTES);
      const entries = Math.min(room, needed);
      if (!this.memory.find(address, entries * 8, false)) return TRANSFER_ERROR;
      const words = this.wordsOf(this.memory.region);
      const at = this.memory.offset >> 2;
      const chained = needed > room;
      const data = chained ? entries - 1 : entries;
      for (let i = 0; i < data; i++) {
        const low = words[at + i * 2]! >>> 0;
        const high = words[at + i * 2 + 1]! >>> 0;
        if ((low & OFFSET_MASK) !== 0) return PRP_OFFSET_INVALID;
        const bytes = Math.min(left, PAGE_BYTES);
        if (high >= HIGH_MAX || !this.push(low + high * TWO_32, bytes)) return TRANSFER_ERROR;
        left -= bytes;
      }
      if (!chained) break;
      const low = words[at + data * 2]! >>> 0;
      const high = words[at + data * 2 + 1]! >>> 0;
      if (high >= HIGH_MAX) return TRANSFER_ERROR;
      address = low + high * TWO_32;
    }
    return 0;
  }

  /** A region as words. Guest memory begins at page boundaries. */
  private wordsOf(region: number): Int32Array {
    const bytes = this.regions.bytes(region);
    if (bytes !== this.viewed) {
      this.viewed = bytes;
      this.views = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    }
    return this.views;
  }

  /** A scatter gather list (Base 2.0, 4.1.2): data blocks, dword aligned, and segments of them. */
  private sgl(sqe32: Uint32Array, length: number): number {
    if ((sqe32[0]! & PSDT) === PSDT) return INVALID_FIELD; // reserved
    let low = sqe32[POINTER]!;
    let high = sqe32[POINTER + 1]!;
    let bytes = sqe32[POINTER + 2]!;
    let type = sqe32[POINTER + 3]! >>> 24;
    if (type === DATA_BLOCK) {
      if (bytes !== length) return SGL_LENGTH_INVALID;
      return this.block(low, high, bytes);
    }
    let total = 0;
    for (let segments = 0; ; segments++) {
      if (type !== SEGMENT && type !== LAST_SEGMENT) return SGL_TYPE_INVALID;
      const last = type === LAST_SEGMENT;
      const count = bytes / DESCRIPTOR_BYTES;
      if (segments === SEGMENTS_MAX || bytes === 0 || bytes % DESCRIPTOR_BYTES !== 0 || low % 4 !== 0)
        return SGL_SEGMENT_INVALID;
      if (count > this.list.capacity + 1) return SGL_COUNT_INVALID;
      if (high >= HIGH_MAX || !this.memory.find(low + high * TWO_32, bytes, false)) return TRANSFER_ERROR;
      const words = this.wordsOf(this.memory.region);
      let at = this.memory.offset >> 2;
      const blocks = last ? count : count - 1;
      for (let i = 0; i < blocks; i++, at += 4) {
        const size = words[at + 2]! >>> 0;
        const kind = words[at + 3]! >>> 24;
        if (kind !== DATA_BLOCK)
          return kind === SEGMENT || kind === LAST_SEGMENT ? SGL_SEGMENT_INVALID : SGL_TYPE_INVALID;
        total += size;
        if (total > length) return SGL_LENGTH_INVALID;
        const result = size === 0 ? 0 : this.block(words[at]! >>> 0, words[at + 1]! >>> 0, size);
        if (result !== 0) return result;
      }
      if (last) return total === length ? 0 : SGL_LENGTH_INVALID;
      low = words[at]! >>> 0;
      high = words[at + 1]! >>> 0;
      bytes = words[at + 2]! >>> 0;
      type = words[at + 3]! >>> 24;
    }
  }

  private block(low: number, high: number, bytes: number): number {
    if (((low | bytes) & 3) !== 0) return SGL_GRANULARITY_INVALID;
    if (high >= HIGH_MAX) return TRANSFER_ERROR;
    if (this.list.count === this.list.capacity) return SGL_COUNT_INVALID;
    return this.push(low + high * TWO_32, bytes) ? 0 : TRANSFER_ERROR;
  }

  /** For commands: more than a transfer may have. */
  static readonly TOO_LONG: number = INVALID_FIELD;
}
