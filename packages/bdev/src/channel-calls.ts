import { type BdevIo, type BdevIoOwner, ZcopyPhase } from './bdev-io.ts';
import { Errno } from './io-status.ts';
import { IoType } from './io-type.ts';
import type { IoVec } from './iovec.ts';

/**
 * I/O in one call: each takes an I/O object, sets it up and submits it. 0, or a negative errno (as submit's, and
 * ENOMEM: no I/O object now) and then there is no callback.
 */
export abstract class ChannelCalls {
  abstract readonly block_size: number;
  abstract num_blocks: number;
  abstract getIo(): BdevIo | null;
  abstract submit(io: BdevIo): number;
  abstract freeIo(io: BdevIo): void;

  /** For other calls of this kind: submits an I/O that {@link prepare} has made, and frees it if it is refused. */
  launch(io: BdevIo): number {
    const result = this.submit(io);
    if (result !== 0) this.freeIo(io);
    return result;
  }

  /** For other calls of this kind: an I/O of a type, or null if there is none now. */
  prepare(
    type: number,
    offset_blocks: number,
    num_blocks: number,
    owner: BdevIoOwner,
    ownerIndex: number,
  ): BdevIo | null {
    const io = this.getIo();
    if (io === null) return null;
    io.type = type;
    io.offset_blocks = offset_blocks;
    io.num_blocks = num_blocks;
    io.owner = owner;
    io.ownerIndex = ownerIndex;
    return io;
  }

  private withPlace(
    type: number,
    region: number,
    offset: number,
    offset_blocks: number,
    num_blocks: number,
    owner: BdevIoOwner,
    ownerIndex: number,
  ): number {
    const io = this.prepare(type, offset_blocks, num_blocks, owner, ownerIndex);
    if (io === null) return Errno.ENOMEM;
    io.region = region;
    io.offset = offset;
    io.length = num_blocks * this.block_size;
    return this.launch(io);
  }

  private withPieces(
    type: number,
    iovs: IoVec,
    offset_blocks: number,
    num_blocks: number,
    owner: BdevIoOwner,
    ownerIndex: number,
  ): number {
    const io = this.prepare(type, offset_blocks, num_blocks, owner, ownerIndex);
    if (io === null) return Errno.ENOMEM;
    io.iovs = iovs;
    return this.launch(io);
  }

  private withoutData(
    type: number,
    offset_blocks: number,
    num_blocks: number,
    owner: BdevIoOwner,
    ownerIndex: number,
  ): number {
    const io = this.prepare(type, offset_blocks, num_blocks, owner, ownerIndex);
    return io === null ? Errno.ENOMEM : this.launch(io);
  }

  /** Reads to a place; region -1 leaves it to the layer or the module. */
  readBlocks(
    region: number,
    offset: number,
    at: number,
    blocks: number,
    owner: BdevIoOwner,
    index = 0,
  ): number {
    return this.withPlace(IoType.READ, region, offset, at, blocks, owner, index);
  }
  readvBlocks(iovs: IoVec, at: number, blocks: number, owner: BdevIoOwner, index = 0): number {
    return this.withPieces(IoType.READ, iovs, at, blocks, owner, index);
  }
  writeBlocks(
    region: number,
    offset: number,
    at: number,
    blocks: number,
    owner: BdevIoOwner,
    index = 0,
  ): number {
    return this.withPlace(IoType.WRITE, region, offset, at, blocks, owner, index);
  }
  writevBlocks(iovs: IoVec, at: number, blocks: number, owner: BdevIoOwner, index = 0): number {
    return this.withPieces(IoType.WRITE, iovs, at, blocks, owner, index);
  }
  compareBlocks(
    region: number,
    offset: number,
    at: number,
    blocks: number,
    owner: BdevIoOwner,
    index = 0,
  ): number {
    return this.withPlace(IoType.COMPARE, region, offset, at, blocks, owner, index);
  }
  comparevBlocks(iovs: IoVec, at: number, blocks: number, owner: BdevIoOwner, index = 0): number {
    return this.withPieces(IoType.COMPARE, iovs, at, blocks, owner, index);
  }
  /**
   * Writes one place's data if the blocks hold the other's, and nobody changes them between; else MISCOMPARE. No more
   * blocks than the description's `acwu`.
   */
  compareAndWriteBlocks(
    region: number,
    offset: number,
    write_offset: number,
    at: number,
    blocks: number,
    owner: BdevIoOwner,
    index = 0,
  ): number {
    const io = this.prepare(IoType.COMPARE_AND_WRITE, at, blocks, owner, index);
    if (io === null) return Errno.ENOMEM;
    io.region = region;
    io.offset = offset;
    io.length = blocks * this.block_size;
    io.write_region = region;
    io.write_offset = write_offset;
    io.write_iovs = null;
    return this.launch(io);
  }
  comparevAndWritevBlocks(
    compare: IoVec,
    write: IoVec,
    at: number,
    blocks: number,
    owner: BdevIoOwner,
    index = 0,
  ): number {
    const io = this.prepare(IoType.COMPARE_AND_WRITE, at, blocks, owner, index);
    if (io === null) return Errno.ENOMEM;
    io.iovs = compare;
    io.write_iovs = write;
    return this.launch(io);
  }
  writeZeroesBlocks(at: number, blocks: number, owner: BdevIoOwner, index = 0): number {
    return this.withoutData(IoType.WRITE_ZEROES, at, blocks, owner, index);
  }
  unmapBlocks(at: number, blocks: number, owner: BdevIoOwner, index = 0): number {
    return this.withoutData(IoType.UNMAP, at, blocks, owner, index);
  }
  flushBlocks(at: number, blocks: number, owner: BdevIoOwner, index = 0): number {
    return this.withoutData(IoType.FLUSH, at, blocks, owner, index);
  }
  /**
   * Asks for memory that stands for blocks: with their data in it (`populate`), or with whatever is there, to be
   * written as a whole. The completed I/O names the place (region and offset, or iovs): where the module has zcopy it
   * is the module's own, else a buffer (EINVAL if none is as large). The owner keeps the I/O, and ends with
   * {@link BdevChannel.zcopyEnd}. Locks of the range wait for that.
   */
  zcopyStart(at: number, blocks: number, populate: boolean, owner: BdevIoOwner, index = 0): number {
    const io = this.prepare(IoType.ZCOPY, at, blocks, owner, index);
    if (io === null) return Errno.ENOMEM;
    io.populate = populate;
    io.zcopy_phase = ZcopyPhase.START;
    return this.launch(io);
  }
  /** Finds the next block from `at` on that is, or may be, data: its number is the I/O's `seek_offset_blocks`, or -1. */
  seekData(at: number, owner: BdevIoOwner, index = 0): number {
    return this.seek(IoType.SEEK_DATA, at, owner, index);
  }
  /** ... that is in a hole: one whose data are zeroes and take no space. */
  seekHole(at: number, owner: BdevIoOwner, index = 0): number {
    return this.seek(IoType.SEEK_HOLE, at, owner, index);
  }
  private seek(type: number, at: number, owner: BdevIoOwner, index: number): number {
    if (at >= this.num_blocks) return Errno.EINVAL;
    return this.withoutData(type, at, this.num_blocks - at, owner, index);
  }
  /** Copies within the device; the ranges may overlap. */
  copyBlocks(to: number, from: number, blocks: number, owner: BdevIoOwner, index = 0): number {
    const io = this.prepare(IoType.COPY, to, blocks, owner, index);
    if (io === null) return Errno.ENOMEM;
    io.src_offset_blocks = from;
    return this.launch(io);
  }
  /**
   * Stores a value under the key that `io` was given ({@link getIo}, then `setKey`). `options`: a set of KvStoreOption.
   * The I/O is the caller's, also where this is refused.
   */
  kvStore(io: BdevIo, region: number, offset: number, length: number, options = 0): number {
    io.type = IoType.KV_STORE;
    io.region = region;
    io.offset = offset;
    io.length = length;
    io.kv_options = options;
    return this.submit(io);
  }
  /** Brings a value, or as much of it as there is room for: `cdw0` says how many bytes it has. */
  kvRetrieve(io: BdevIo, region: number, offset: number, room: number): number {
    io.type = IoType.KV_RETRIEVE;
    io.region = region;
    io.offset = offset;
    io.length = room;
    return this.submit(io);
  }
  /**
   * Lists keys, from the I/O's own on, or what would come after it; all, if it is empty. In the room: a little-endian
   * count, then for each key its length in 2 bytes, the key, and zeroes up to a multiple of 4 bytes (NVMe Key Value
   * Command Set, List command). The order is the same as long as the bdev lives.
   */
  kvList(io: BdevIo, region: number, offset: number, room: number): number {
    io.type = IoType.KV_LIST;
    io.region = region;
    io.offset = offset;
    io.length = room;
    return this.submit(io);
  }
  /** Ends with success or KEY_DOES_NOT_EXIST. */
  kvExist(io: BdevIo): number {
    io.type = IoType.KV_EXIST;
    return this.submit(io);
  }
  kvDelete(io: BdevIo): number {
    io.type = IoType.KV_DELETE;
    return this.submit(io);
  }
  /**
   * Sends a command of the namespace's I/O command sets as it is (see {@link BdevIo.command}), with `length` bytes of data in the
   * direction that its opcode says. ENOTSUP where the bdev is no NVMe namespace; EINVAL for what cannot be sent. It ends with
   * NVME_ERROR and the status that the controller gave it, or with SUCCESS; data that a controller leaves out of what it returns
   * stay as they were.
   */
  nvmeIo(
    command: Uint32Array,
    region: number,
    offset: number,
    length: number,
    owner: BdevIoOwner,
    index = 0,
  ): number {
    return this.passthru(IoType.NVME_IO, command, region, offset, length, owner, index);
  }
  /** The same for an Admin command, on the admin queue of a controller that is connected. An NSID other than 0 and
   * FFFFFFFFh becomes that of the bdev's namespace. */
  nvmeAdmin(
    command: Uint32Array,
    region: number,
    offset: number,
    length: number,
    owner: BdevIoOwner,
    index = 0,
  ): number {
    return this.passthru(IoType.NVME_ADMIN, command, region, offset, length, owner, index);
  }
  private passthru(
    type: number,
    command: Uint32Array,
    region: number,
    offset: number,
    length: number,
    owner: BdevIoOwner,
    index: number,
  ): number {
    const io = this.prepare(type, 0, 0, owner, index);
    if (io === null) return Errno.ENOMEM;
    io.command = command;
    io.region = region;
    io.offset = offset;
    io.length = length;
    return this.launch(io);
  }
  /** Resets the device: on every reactor, I/O is aborted or drained. */
  reset(owner: BdevIoOwner, index = 0): number {
    return this.withoutData(IoType.RESET, 0, 0, owner, index);
  }
  /** Aborts an I/O of this channel: SUCCESS and cdw0 0 if it will end ABORTED, else FAILED and cdw0 1. */
  abort(target: BdevIo, owner: BdevIoOwner, index = 0): number {
    const io = this.prepare(IoType.ABORT, 0, 0, owner, index);
    if (io === null) return Errno.ENOMEM;
    io.target = target;
    return this.launch(io);
  }
}
