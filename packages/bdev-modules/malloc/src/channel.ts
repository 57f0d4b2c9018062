import {
  type BdevIo,
  copyFromIo,
  copyToIo,
  IoStatus,
  IoType,
  IoVec,
  ioEquals,
  type Memory,
  type ModuleChannel,
  ZcopyPhase,
} from '@spdk-ts/bdev';
import type { Poller, Thread } from '@spdk-ts/reactor';
import type { Segments } from './segments.ts';

/** Clearing or copying more than this is done in slices, one a poll, so that it does not stall the reactor. */
const SLICE_BYTES = 256 * 1024;
/** Unmapping goes in slices of a huge page, which are given back as one. */
export const UNMAP_SLICE_BYTES = 2 * 1024 * 1024;
/** Less than this is only cleared: its pages are likely to be needed again, and huge pages would fall apart. */
export const DISCARD_BYTES = 64 * 1024;

/** A thread's way to a malloc bdev. `moduleTag` of an I/O in slices: blocks done. */
export class MallocChannel implements ModuleChannel {
  private readonly thread: Thread;
  protected readonly memory: Memory;
  protected readonly segments: Segments;
  protected readonly block_size: number;
  /** Unmap gives memory back. */
  private readonly discards: boolean;
  /** I/Os that are done in slices, in order. */
  private sliced: BdevIo[] = [];
  private poller: Poller | null = null;

  constructor(thread: Thread, memory: Memory, segments: Segments, block_size: number, discards = true) {
    this.thread = thread;
    this.memory = memory;
    this.segments = segments;
    this.block_size = block_size;
    this.discards = discards;
  }

  submit(io: BdevIo): void {
    const at = io.offset_blocks * this.block_size;
    const length = io.num_blocks * this.block_size;
    switch (io.type) {
      case IoType.READ:
        this.read(io, at, length);
        break;
      case IoType.WRITE:
        this.write(io, at, length);
        break;
      case IoType.COMPARE:
        io.complete(this.equal(io, at, length) ? IoStatus.SUCCESS : IoStatus.MISCOMPARE);
        break;
      case IoType.WRITE_ZEROES:
      case IoType.UNMAP:
      case IoType.COPY:
        this.slice(io);
        break;
      case IoType.RESET:
        while (this.sliced.length > 0) this.abort(this.sliced[0]!);
        io.complete(IoStatus.SUCCESS);
        break;
      case IoType.ZCOPY:
        if (io.zcopy_phase === ZcopyPhase.START) this.showPlace(io, at, length);
        io.complete(IoStatus.SUCCESS);
        break;
      case IoType.FLUSH:
        io.complete(IoStatus.SUCCESS);
        break;
      default:
        io.complete(IoStatus.FAILED);
    }
  }

  private read(io: BdevIo, at: number, length: number): void {
    const segments = this.segments;
    const index = segments.find(at);
    if (at + length <= segments.end(index)) {
      const region = segments.region(index);
      const offset = at - segments.start(index);
      if (io.region < 0 && io.iovs === null) {
        io.region = region;
        io.offset = offset;
      } else copyToIo(this.memory, io, 0, region, offset, length);
    } else if (io.region < 0 && io.iovs === null) io.iovs = this.pieces(at, length);
    else
      this.each(at, length, (region, offset, skip, count) => {
        copyToIo(this.memory, io, skip, region, offset, count);
        return true;
      });
    io.complete(IoStatus.SUCCESS);
  }

  /** Names the bdev's own memory as the I/O's place. */
  private showPlace(io: BdevIo, at: number, length: number): void {
    const segments = this.segments;
    const index = segments.find(at);
    if (at + length > segments.end(index)) {
      io.iovs = this.pieces(at, length);
      return;
    }
    io.region = segments.region(index);
    io.offset = at - segments.start(index);
  }

  private write(io: BdevIo, at: number, length: number): void {
    const segments = this.segments;
    const index = segments.find(at);
    if (at + length <= segments.end(index))
      copyFromIo(this.memory, io, 0, segments.region(index), at - segments.start(index), length);
    else
      this.each(at, length, (region, offset, skip, count) => {
        copyFromIo(this.memory, io, skip, region, offset, count);
        return true;
      });
    io.complete(IoStatus.SUCCESS);
  }

  private equal(io: BdevIo, at: number, length: number): boolean {
    const index = this.segments.find(at);
    const offset = at - this.segments.start(index);
    if (at + length <= this.segments.end(index))
      return ioEquals(this.memory, io, 0, this.segments.region(index), offset, length);
    return this.each(at, length, (region, offset, skip, count) =>
      ioEquals(this.memory, io, skip, region, offset, count),
    );
  }

  /** A place in memory across a segment's end: as pieces. */
  private pieces(at: number, length: number): IoVec {
    const places: number[][] = [];
    this.each(at, length, (region, offset, _skip, count) => places.push([region, offset, count]) > 0);
    const iovs = new IoVec(places.length);
    for (const [region, offset, count] of places) iovs.push(region!, offset!, count!);
    return iovs;
  }

  /** Calls `fn` with each place that a range takes, until it returns false. */
  private each(
    at: number,
    length: number,
    fn: (region: number, offset: number, skip: number, count: number) => boolean,
  ): boolean {
    for (let done = 0; done < length; ) {
      const index = this.segments.find(at + done);
      const count = Math.min(length - done, this.segments.end(index) - at - done);
      if (!fn(this.segments.region(index), at + done - this.segments.start(index), done, count)) return false;
      done += count;
    }
    return true;
  }

  private slice(io: BdevIo): void {
    io.moduleTag = 0;
    if (this.sliceOf(io) === io.num_blocks) {
      this.doSlice(io);
      return;
    }
    this.sliced.push(io);
    this.poller ??= this.thread.registerPoller('bdev_malloc', this.poll);
  }

  /** Blocks of an I/O's next slice. Those of unmap end where the memory's huge pages do, as far as blocks can. */
  private sliceOf(io: BdevIo): number {
    const unmaps = io.type === IoType.UNMAP && this.discards;
    const most = Math.max(1, Math.floor((unmaps ? UNMAP_SLICE_BYTES : SLICE_BYTES) / this.block_size));
    const room = unmaps ? most - ((io.offset_blocks + io.moduleTag) % most) : most;
    return Math.min(room, io.num_blocks - io.moduleTag);
  }

  private readonly poll = (): number => {
    const io = this.sliced[0];
    if (io === undefined) {
      this.poller!.unregister();
      this.poller = null;
      return 0;
    }
    if (this.doSlice(io)) this.sliced.shift();
    return 1;
  };

  /** Does the next slice of clearing or copying. True if the I/O is complete with it. */
  private doSlice(io: BdevIo): boolean {
    const blocks = this.sliceOf(io);
    if (io.type === IoType.COPY) {
      const backwards = io.offset_blocks > io.src_offset_blocks;
      const skip = backwards ? io.num_blocks - io.moduleTag - blocks : io.moduleTag;
      if (!this.copyBlocks(io, skip, blocks)) return true;
    } else this.clearBlocks(io, io.moduleTag, blocks);
    io.moduleTag += blocks;
    if (io.moduleTag < io.num_blocks) return false;
    io.complete(IoStatus.SUCCESS);
    return true;
  }

  /** Clears blocks of an unmap or write zeroes: `skip` and `blocks` within the I/O. */
  protected clearBlocks(io: BdevIo, skip: number, blocks: number): void {
    const at = (io.offset_blocks + skip) * this.block_size;
    const bytes = blocks * this.block_size;
    if (io.type === IoType.UNMAP && this.discards && bytes >= DISCARD_BYTES) this.segments.discard(at, bytes);
    else this.segments.clear(at, bytes);
  }

  /** Copies blocks of a copy. False if it has ended with an error. */
  protected copyBlocks(io: BdevIo, skip: number, blocks: number): boolean {
    const size = this.block_size;
    const backwards = io.offset_blocks > io.src_offset_blocks;
    const from = (io.src_offset_blocks + skip) * size;
    this.segments.copy((io.offset_blocks + skip) * size, from, blocks * size, backwards);
    return true;
  }

  abort(io: BdevIo): boolean {
    if (!this.sliced.includes(io)) return false;
    this.sliced = this.sliced.filter((other) => other !== io);
    io.complete(IoStatus.ABORTED);
    return true;
  }

  destroy(): void {
    this.poller?.unregister();
    this.poller = null;
  }
}
