import { type BdevIo, type BdevIoOwner, type IoWork, ZcopyPhase } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { After, Gate } from './channel-gate.ts';
import { countIo } from './io-stat.ts';
import { Errno, IoStatus } from './io-status.ts';
import { IoType } from './io-type.ts';

/** A channel's zero-copy I/Os: with the module's memory where it has zcopy, with a buffer where it has not. */
export class Zcopies {
  /** Those between a start that succeeded and its end. */
  open = 0;
  private readonly channel: BdevChannel;
  private readonly native: boolean;
  /** Those that start or end now. */
  private busy = 0;

  constructor(channel: BdevChannel) {
    this.channel = channel;
    this.native = (channel.device.description.io_types & (1 << IoType.ZCOPY)) !== 0;
  }

  /** One is to start. False if no buffer could ever hold it. */
  begin(io: BdevIo): boolean {
    const { block_size, reactor } = this.channel;
    const bytes = io.num_blocks * block_size;
    if (!this.native && bytes > reactor.buffers.max_bytes) return false;
    io.zcopy_phase = ZcopyPhase.START;
    io.zcopy_refused = false;
    io.region = -1;
    io.iovs = null;
    io.length = bytes;
    this.count();
    return true;
  }

  private count(): void {
    this.busy++;
    this.channel.after |= After.ZCOPYING;
  }

  /** It has its buffer. */
  hasBuffer(io: BdevIo): void {
    if (io.populate) this.transfer(io, IoType.READ);
    else this.channel.finishUnstarted(io, IoStatus.SUCCESS);
  }

  private transfer(io: BdevIo, type: typeof IoType.READ | typeof IoType.WRITE): void {
    const work = new ZcopyTransfer(this.channel, io);
    this.channel.beginWork(io, work);
    work.start(type);
  }

  end(io: BdevIo, commit: boolean): void {
    const { channel } = this;
    io.zcopy_phase = ZcopyPhase.END;
    io.status = IoStatus.PENDING;
    io.submitted_at = channel.reactor.now;
    io.zcopy_refused = commit && (channel.gate & (Gate.FROZEN | Gate.REMOVED)) !== 0;
    io.commit = commit && !io.zcopy_refused;
    this.count();
    // Past the queue for resources: ends give them back.
    if (this.native) channel.giveToModule(io);
    else if (io.commit) this.transfer(io, IoType.WRITE);
    else channel.finishUnstarted(io, IoStatus.SUCCESS);
  }

  /** A start or an end is complete. Reads and writes of the module's own memory are counted here. */
  done(io: BdevIo, ticks: number): void {
    const { channel } = this;
    const start = io.zcopy_phase === ZcopyPhase.START;
    const ok = io.status === IoStatus.SUCCESS;
    if (--this.busy === 0) channel.after &= ~After.ZCOPYING;
    io.zcopy_open = start && ok;
    if (!start) this.open--;
    else if (ok) this.open++;
    if (io.zcopy_refused && ok) io.status = IoStatus.ABORTED;
    else if (this.native && ok && (start ? io.populate : io.commit))
      countIo(channel.stat, start ? IoType.READ : IoType.WRITE, io.num_blocks * channel.block_size, ticks);
  }
}

/** Reads the blocks of a zero-copy I/O into its buffer, or writes them from there, for modules that have no zcopy. */
export class ZcopyTransfer implements BdevIoOwner, IoWork {
  readonly inLayer = true;
  readonly blocksLocks = true;
  private readonly channel: BdevChannel;
  private readonly parent: BdevIo;

  constructor(channel: BdevChannel, parent: BdevIo) {
    this.channel = channel;
    this.parent = parent;
  }

  start(type: typeof IoType.READ | typeof IoType.WRITE): void {
    const { channel, parent } = this;
    const io = channel.takeSpare();
    io.owner = this;
    io.type = type;
    io.offset_blocks = parent.offset_blocks;
    io.num_blocks = parent.num_blocks;
    io.region = parent.region;
    io.offset = parent.offset;
    io.length = parent.length;
    io.fua = parent.fua;
    const { description } = channel.device;
    if (description.md_size > 0) io.takeMetadata(parent, 0, description);
    const result = channel.submit(io);
    if (result === 0) return;
    channel.giveSpare(io);
    channel.workDone(parent, result === Errno.ENODEV ? IoStatus.ABORTED : IoStatus.FAILED);
  }

  bdevIoDone(io: BdevIo): void {
    const { status } = io;
    this.parent.sct = io.sct;
    this.parent.sc = io.sc;
    this.channel.giveSpare(io);
    this.channel.workDone(this.parent, status);
  }

  abort(): boolean {
    return false;
  }
}
