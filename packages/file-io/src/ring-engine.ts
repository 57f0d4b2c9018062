import { IoType } from '@spdk-ts/bdev';
import type { RegionTable } from '@spdk-ts/env';
import type { Native } from '@spdk-ts/native';
import { FIXED_FILE, type Uring, type UringHandler, UringOp } from '@spdk-ts/reactor';
import {
  type EngineOwner,
  type FileEngine,
  PUNCH_HOLE,
  RWF_DSYNC,
  TRANSFER_BYTES_MAX,
  ZERO_RANGE,
} from './engine.ts';
import { KernelIoVec } from './kernel-iovec.ts';
import { type FileOperation, Phase } from './operation.ts';

const FSYNC_DATASYNC = 1;
/** Tag of requests to cancel others. */
const TAG_CANCEL = 0xffff_ffff;
/** Words of an entry beside those that Uring.prepare sets. */
const FLAGS = 7;
const BUFFER = 10;

/** What the engines of one file on one reactor have in common. */
export interface RingFile {
  readonly native: Native;
  readonly ring: Uring;
  readonly regions: RegionTable;
  /** A region of zeroes. */
  readonly zeroRegion: number;
  /** The descriptor, and its place in the ring's table of files (-1: it has none). */
  readonly fd: number;
  readonly place: number;
  /** Another ring, for data only; null: they go through this one. */
  readonly data: Uring | null;
  /** Opened with O_DIRECT: memory is worth registering. */
  readonly direct: boolean;
}

/** What entries of one ring name the file and the engine by. */
class RingWay {
  readonly ring: Uring;
  readonly target: number;
  /** The bit in the opcode that says whether the target is a descriptor. */
  readonly flag: number;
  readonly handler: number;

  constructor(ring: Uring, fd: number, place: number, handler: UringHandler) {
    this.ring = ring;
    this.target = place >= 0 ? place : fd;
    this.flag = place >= 0 ? FIXED_FILE : 0;
    this.handler = ring.addHandler(handler);
  }
}

/** Requests as entries of the reactor's io_uring: they go with everything else that an iteration prepares. */
export class RingEngine implements FileEngine, UringHandler {
  readonly writesThrough = true;
  readonly punches = true;
  readonly zeroesRanges = true;
  private readonly file: RingFile;
  private readonly regions: RegionTable;
  private readonly owner: EngineOwner;
  /** Where data go, and everything else: the same, unless the file's data have a ring of their own. */
  private readonly data: RingWay;
  private readonly other: RingWay;
  private readonly direct: boolean;
  private cancels = 0;
  private destroyed = false;

  constructor(file: RingFile, owner: EngineOwner) {
    this.file = file;
    this.regions = file.regions;
    this.owner = owner;
    this.direct = file.direct;
    this.other = new RingWay(file.ring, file.fd, file.place, this);
    this.data = file.data === null ? this.other : new RingWay(file.data, file.fd, -1, this);
  }

  uringComplete(tag: number, result: number): void {
    if (tag !== TAG_CANCEL) {
      this.other.ring.awaited--;
      this.owner.answered(tag, result);
    } else if (--this.cancels === 0 && this.destroyed) this.other.ring.removeHandler(this.other.handler);
  }

  begin(): boolean {
    return true;
  }
  end(): void {}

  private prepare(
    way: RingWay,
    opcode: number,
    operation: FileOperation,
    address: number,
    length: number,
  ): number {
    const { ring, target, flag, handler } = way;
    this.other.ring.awaited++;
    const at = ring.prepare(opcode | flag, target, address, length, handler, operation.index);
    ring.setOffset(at, operation.at + operation.done);
    return at;
  }

  transfer(operation: FileOperation): void {
    const data = this.data;
    const io = operation.io!;
    const reads = io.type === IoType.READ;
    let at: number;
    if (io.iovs === null) {
      const offset = io.offset + operation.done;
      const count = Math.min(operation.length - operation.done, TRANSFER_BYTES_MAX);
      const buffer = this.direct ? data.ring.buffers.find(io.region, offset, count) : -1;
      const address = this.regions.address(io.region, offset);
      if (buffer < 0)
        at = this.prepare(data, reads ? UringOp.READ : UringOp.WRITE, operation, address, count);
      else {
        at = this.prepare(data, reads ? UringOp.READ_FIXED : UringOp.WRITE_FIXED, operation, address, count);
        data.ring.words[at + BUFFER] = buffer;
      }
    } else {
      if (operation.iovec === null) operation.iovec = new KernelIoVec(this.file.native);
      const pieces = operation.iovec.fill(this.regions, io.iovs, operation.done);
      const { address } = operation.iovec;
      at = this.prepare(data, reads ? UringOp.READV : UringOp.WRITEV, operation, address, pieces);
    }
    if (io.fua && !reads) data.ring.words[at + FLAGS] = RWF_DSYNC;
  }

  writeZeroes(operation: FileOperation): void {
    const { data } = this;
    const { zeroRegion } = this.file;
    const zeroes = this.regions.bytes(zeroRegion).length;
    const count = Math.min(zeroes, operation.length - operation.done);
    this.prepare(data, UringOp.WRITE, operation, this.regions.address(zeroRegion, 0), count);
  }

  allocate(operation: FileOperation): void {
    const mode = operation.phase === Phase.PUNCH ? PUNCH_HOLE : ZERO_RANGE;
    // The range's length is where others have an address.
    this.prepare(this.other, UringOp.FALLOCATE, operation, operation.count, mode);
  }

  sync(operation: FileOperation): void {
    const { ring, target, flag, handler } = this.other;
    ring.awaited++;
    const at = ring.prepare(UringOp.FSYNC | flag, target, 0, 0, handler, operation.index);
    ring.words[at + FLAGS] = FSYNC_DATASYNC;
  }

  cancel(operation: FileOperation): boolean {
    const { ring, handler } = this.other;
    // A polled ring takes no such request, and a ring whose entries another thread takes may not have them yet.
    if (this.data !== this.other && operation.phase <= Phase.ZEROES) return false;
    // The address names the entry by what it is to be told with: handler and tag.
    const name = handler * 0x1_0000_0000 + operation.index;
    ring.prepare(UringOp.ASYNC_CANCEL, -1, name, 0, handler, TAG_CANCEL);
    this.cancels++;
    return true;
  }

  destroy(): void {
    const { data, other } = this;
    this.destroyed = true;
    if (data !== other) data.ring.removeHandler(data.handler);
    if (this.cancels === 0) other.ring.removeHandler(other.handler);
  }
}
