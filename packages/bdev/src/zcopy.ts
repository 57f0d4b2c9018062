import type { BdevIo, BdevIoOwner, IoWork } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { Errno, IoStatus } from './io-status.ts';
import type { IoType } from './io-type.ts';

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
