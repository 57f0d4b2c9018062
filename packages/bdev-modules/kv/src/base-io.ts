import { type BdevChannel, type BdevIoOwner, IoType, type IoVec } from '@spdk-ts/bdev';

/** I/O on a log's base bdev, in bytes: with objects beside the thread's pool, so that it goes on when that is empty. */
export class BaseIo {
  readonly channel: BdevChannel;
  private readonly flushes: boolean;

  constructor(channel: BdevChannel) {
    this.channel = channel;
    this.flushes = channel.supports(IoType.FLUSH);
  }

  private submit(
    type: number,
    at: number,
    bytes: number,
    owner: BdevIoOwner,
    iovs: IoVec | null,
    region: number,
    offset: number,
    fua: boolean,
  ): number {
    const { channel } = this;
    const io = channel.takeSpare();
    io.type = type;
    io.offset_blocks = at / channel.block_size;
    io.num_blocks = bytes / channel.block_size;
    io.iovs = iovs;
    io.region = region;
    io.offset = offset;
    io.length = bytes;
    io.fua = fua;
    io.owner = owner;
    const result = channel.submit(io);
    if (result !== 0) channel.giveSpare(io);
    return result;
  }

  /** Each returns 0, or a negative errno and then the owner is not told. It gives the I/O back with `giveSpare`. */
  readv(at: number, bytes: number, iovs: IoVec, owner: BdevIoOwner): number {
    return this.submit(IoType.READ, at, bytes, owner, iovs, -1, 0, false);
  }
  writev(at: number, bytes: number, iovs: IoVec, fua: boolean, owner: BdevIoOwner): number {
    return this.submit(IoType.WRITE, at, bytes, owner, iovs, -1, 0, fua);
  }
  read(at: number, bytes: number, region: number, offset: number, owner: BdevIoOwner): number {
    return this.submit(IoType.READ, at, bytes, owner, null, region, offset, false);
  }
  write(at: number, bytes: number, region: number, offset: number, owner: BdevIoOwner): number {
    return this.submit(IoType.WRITE, at, bytes, owner, null, region, offset, false);
  }
  /** What has no cache to flush: a write of nothing, which ends at once. */
  flush(owner: BdevIoOwner): number {
    const { channel, flushes } = this;
    const bytes = flushes ? channel.num_blocks * channel.block_size : 0;
    return this.submit(flushes ? IoType.FLUSH : IoType.WRITE, 0, bytes, owner, null, -1, 0, false);
  }
}
