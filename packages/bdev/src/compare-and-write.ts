import type { BdevIo, BdevIoOwner, IoWork } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { Errno, IoStatus } from './io-status.ts';
import { IoType } from './io-type.ts';
import type { LbaRangeLock } from './range-lock.ts';

/**
 * Compares and writes as one, for modules that cannot: nobody else changes the blocks meanwhile, on any reactor.
 * Ends MISCOMPARE, and writes nothing, if the blocks hold something else than what is to be compared.
 */
export class CompareAndWrite implements BdevIoOwner, IoWork {
  readonly inLayer = true;
  /** Locks that overlap are held one after another: this has one, or waits for it. */
  readonly blocksLocks = false;
  private readonly channel: BdevChannel;
  private readonly parent: BdevIo;
  private lock: LbaRangeLock | null = null;
  private aborted = false;
  private writing = false;
  private ended = false;

  constructor(channel: BdevChannel, parent: BdevIo) {
    this.channel = channel;
    this.parent = parent;
  }

  start(): void {
    const { offset_blocks, num_blocks } = this.parent;
    this.channel.lockRange(offset_blocks, num_blocks, this).then(
      (lock) => this.locked(lock),
      () => this.end(IoStatus.FAILED),
    );
  }

  private locked(lock: LbaRangeLock): void {
    if (this.ended) {
      lock.release();
      return;
    }
    this.lock = lock;
    const { region, offset, iovs } = this.parent;
    this.submit(IoType.COMPARE, region, offset, iovs);
    this.channel.reactor.wake();
  }

  private submit(type: number, region: number, offset: number, iovs: BdevIo['iovs']): void {
    const io = this.channel.takeSpare();
    io.owner = this;
    io.type = type;
    io.offset_blocks = this.parent.offset_blocks;
    io.num_blocks = this.parent.num_blocks;
    io.region = region;
    io.offset = offset;
    io.length = io.num_blocks * this.channel.block_size;
    io.iovs = iovs;
    io.fua = this.parent.fua;
    this.withoutPlaceOfMetadata(io);
    const result = this.channel.submit(io);
    if (result === 0) return;
    this.channel.giveSpare(io);
    this.end(result === Errno.ENODEV ? IoStatus.ABORTED : IoStatus.FAILED);
  }

  /** Its two data would need two places for separate metadata: those are not compared, and made anew. */
  private withoutPlaceOfMetadata(io: BdevIo): void {
    const { description } = this.channel.device;
    if (description.md_size === 0) return;
    io.takeMetadata(this.parent, 0, description);
    io.md_region = -1;
  }

  bdevIoDone(io: BdevIo): void {
    const { type, status } = io;
    this.parent.sct = io.sct;
    this.parent.sc = io.sc;
    this.channel.giveSpare(io);
    if (status !== IoStatus.SUCCESS || type === IoType.WRITE) this.end(status);
    else if (this.aborted) this.end(IoStatus.ABORTED);
    else {
      const { write_region, write_offset, write_iovs } = this.parent;
      this.writing = true;
      this.submit(IoType.WRITE, write_region, write_offset, write_iovs);
    }
  }

  /** While it waits for the range it ends at once; once it writes, it no longer can. */
  abort(): boolean {
    if (this.lock === null) {
      this.end(IoStatus.ABORTED);
      return true;
    }
    this.aborted = !this.writing;
    return this.aborted;
  }

  private end(status: number): void {
    if (this.ended) return;
    this.ended = true;
    this.lock?.release();
    this.channel.workDone(this.parent, status);
  }
}
