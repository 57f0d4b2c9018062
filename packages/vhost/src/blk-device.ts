import {
  type BdevChannel,
  type BdevIo,
  type BdevIoOwner,
  type BdevIoWaiter,
  Errno,
  getBdevService,
  IoStatus,
  IoType,
} from '@spdk-ts/bdev';
import type { Thread } from '@spdk-ts/reactor';
import type { Bits } from './protocol/codec.ts';
import { type BlkGeometry, geometryOf, noDisk, RANGE_SECTORS_MAX } from './virtio/blk-config.ts';
import type { BlkRequest } from './virtio/blk-request.ts';
import {
  BlkStatus,
  BlkType,
  ID_BYTES,
  SECTOR_BYTES,
  SEGMENT_BYTES,
  SEGMENT_UNMAP,
} from './virtio/constants.ts';
import { deviceFeatures } from './virtio/features.ts';
import { readData, writeData } from './virtio/request-data.ts';
import { RequestPool } from './virtio/request-pool.ts';
import type { RequestSink, Virtqueue } from './virtio/virtqueue.ts';

/** What becomes of rings, beside their requests. */
export interface DeviceOwner {
  /** A paused ring has nothing under way any more. */
  queueDrained(queue: Virtqueue): void;
  ringBroken(queue: Virtqueue, why: string): void;
}

export interface BlkDeviceParts {
  readonly thread: Thread;
  readonly owner: DeviceOwner;
  readonly bdev: { readonly id: number; readonly name: string; readonly hides_metadata: boolean };
  readonly readonly: boolean;
  readonly packed_ring: boolean;
}

const HIGH_WORD_END = 2 ** 20;

/**
 * A virtio block device in front of a bdev: checks each request, makes a bdev I/O of it whose data lie in the guest's memory,
 * and turns the I/O's end into the request's (virtio 1.2, 5.2.6).
 */
export class BlkDevice implements RequestSink, BdevIoOwner, BdevIoWaiter {
  readonly readonly: boolean;
  readonly features: Bits;
  private readonly thread: Thread;
  private readonly owner: DeviceOwner;
  private readonly pool = new RequestPool();
  private readonly id: Uint8Array;
  private readonly can: {
    readonly flush: boolean;
    readonly discard: boolean;
    readonly write_zeroes: boolean;
  };
  /** Null once the bdev is gone. */
  private channel: BdevChannel | null;
  /** Sectors of a block. */
  private readonly block_sectors: number;
  private readonly zeroes_unmap: boolean;
  /** The I/O object for the next request: none is taken off a ring without one. */
  private spare: BdevIo | null = null;
  private waiting = false;
  /** I/Os under way; who waits for their end. */
  private active = 0;
  private onIdle: (() => void) | null = null;
  private readonly segmentBytes = new Uint8Array(SEGMENT_BYTES);
  private readonly segment = new DataView(this.segmentBytes.buffer);

  /** Throws BdevError if the bdev is not there. */
  constructor({ thread, owner, bdev, readonly, packed_ring }: BlkDeviceParts) {
    const channel = getBdevService(thread.reactor).getChannel(bdev.id, thread, bdev.hides_metadata);
    this.thread = thread;
    this.owner = owner;
    this.readonly = readonly;
    this.channel = channel;
    this.can = {
      flush: channel.supports(IoType.FLUSH),
      discard: !readonly && channel.supports(IoType.UNMAP),
      write_zeroes: !readonly && channel.supports(IoType.WRITE_ZEROES),
    };
    this.features = deviceFeatures({ readonly, packed_ring, ...this.can });
    this.block_sectors = channel.block_size / SECTOR_BYTES;
    this.zeroes_unmap = geometryOf(channel, this.can).zeroes_unmap;
    this.id = new Uint8Array(ID_BYTES);
    this.id.set(Buffer.from(bdev.name).subarray(0, ID_BYTES));
  }

  get geometry(): BlkGeometry {
    const { discard, write_zeroes } = this.can;
    return this.channel === null ? noDisk : geometryOf(this.channel, { discard, write_zeroes });
  }

  /** The bdev goes: requests fail from now on. Resolves when its I/O has ended and the channel is given back. */
  async detach(): Promise<void> {
    const { channel, spare } = this;
    if (channel === null) return;
    this.channel = null;
    spare?.free();
    this.spare = null;
    if (this.active > 0)
      await new Promise<void>((resolve) => {
        this.onIdle = resolve;
      });
    channel.put();
    this.thread.reactor.wake();
  }

  // --- requests ---

  take(): BlkRequest | null {
    const { channel } = this;
    if (this.spare === null && channel !== null) {
      if (this.waiting) return null;
      this.spare = channel.getIo();
      if (this.spare === null) {
        this.waiting = true;
        channel.queueWait(this);
        return null;
      }
    }
    return this.pool.take();
  }

  bdevIoAvailable(): void {
    this.waiting = false;
    this.thread.reactor.wake();
  }

  giveBack(request: BlkRequest): void {
    this.pool.give(request);
  }

  ringBroken(queue: Virtqueue, why: string): void {
    this.owner.ringBroken(queue, why);
  }

  execute(request: BlkRequest, valid: boolean): void {
    if (!valid || this.channel === null) {
      this.finish(request, BlkStatus.IOERR, 0);
      return;
    }
    switch (request.type) {
      case BlkType.IN:
        this.transfer(request, IoType.READ, request.in_bytes, request.out_bytes);
        break;
      case BlkType.OUT:
        this.transfer(request, IoType.WRITE, request.out_bytes, request.in_bytes);
        break;
      case BlkType.FLUSH:
        this.flush(request);
        break;
      case BlkType.DISCARD:
        this.range(request, this.can.discard, true);
        break;
      case BlkType.WRITE_ZEROES:
        this.range(request, this.can.write_zeroes, false);
        break;
      case BlkType.GET_ID:
        this.getId(request);
        break;
      default:
        this.finish(request, BlkStatus.UNSUPP, 0);
    }
  }

  /** `other`: bytes of data in the direction that the request does not have. */
  private transfer(request: BlkRequest, type: number, bytes: number, other: number): void {
    const { iovs } = request;
    const blocks = bytes / SECTOR_BYTES / this.block_sectors;
    if (bytes === 0 || other !== 0 || bytes % SECTOR_BYTES !== 0) {
      this.finish(request, BlkStatus.UNSUPP, 0);
      return;
    }
    if (type === IoType.WRITE && this.readonly) {
      this.finish(request, BlkStatus.IOERR, 0);
      return;
    }
    const io = this.spare!;
    if (iovs.count === 1) {
      io.region = iovs.region[0]!;
      io.offset = iovs.offset[0]!;
      io.length = bytes;
    } else io.iovs = iovs;
    io.fua = type === IoType.WRITE && request.queue!.write_through;
    this.submit(request, type, request.sector_low, request.sector_high, blocks);
  }

  /** Hands the spare I/O over. What does not lie on whole blocks within the bdev is refused there. */
  private submit(request: BlkRequest, type: number, low: number, high: number, blocks: number): void {
    const io = this.spare!;
    this.spare = null;
    io.type = type;
    io.offset_blocks = high < HIGH_WORD_END ? (low + high * 0x1_0000_0000) / this.block_sectors : -1;
    io.num_blocks = blocks;
    io.owner = this;
    io.ownerIndex = request.index;
    const result = this.channel!.submit(io);
    if (result === 0) this.active++;
    else {
      io.free();
      this.finish(request, result === Errno.ENOTSUP ? BlkStatus.UNSUPP : BlkStatus.IOERR, 0);
    }
  }

  bdevIoDone(io: BdevIo): void {
    const request = this.pool.at(io.ownerIndex);
    const succeeded = io.status === IoStatus.SUCCESS;
    const read = succeeded && io.type === IoType.READ ? request.in_bytes : 0;
    io.free();
    this.active--;
    this.finish(request, succeeded ? BlkStatus.OK : BlkStatus.IOERR, read);
    if (this.onIdle !== null && this.active === 0) this.onIdle();
  }

  private flush(request: BlkRequest): void {
    if (!this.can.flush) this.finish(request, BlkStatus.UNSUPP, 0);
    else if (request.sector_low !== 0 || request.sector_high !== 0) this.finish(request, BlkStatus.IOERR, 0);
    else this.submit(request, IoType.FLUSH, 0, 0, this.channel!.num_blocks);
  }

  /** Discard and write zeroes: one segment each. */
  private range(request: BlkRequest, able: boolean, discard: boolean): void {
    const { segment } = this;
    const { views } = request.queue!.memory;
    if (!able || request.out_bytes !== SEGMENT_BYTES || request.in_bytes !== 0) {
      this.finish(request, able || this.readonly ? BlkStatus.IOERR : BlkStatus.UNSUPP, 0);
      return;
    }
    readData(request, views, this.segmentBytes);
    const sectors = segment.getUint32(8, true);
    const flags = segment.getUint32(12, true);
    // Only write zeroes knows a flag.
    if ((flags & ~SEGMENT_UNMAP) !== 0 || (discard && flags !== 0)) {
      this.finish(request, BlkStatus.UNSUPP, 0);
      return;
    }
    if (sectors > RANGE_SECTORS_MAX) {
      this.finish(request, BlkStatus.IOERR, 0);
      return;
    }
    const unmaps = discard || (flags !== 0 && this.zeroes_unmap);
    const type = unmaps ? IoType.UNMAP : IoType.WRITE_ZEROES;
    if (!unmaps) this.spare!.fua = request.queue!.write_through;
    this.submit(
      request,
      type,
      segment.getUint32(0, true),
      segment.getUint32(4, true),
      sectors / this.block_sectors,
    );
  }

  private getId(request: BlkRequest): void {
    if (request.in_bytes === 0 || request.out_bytes !== 0) {
      this.finish(request, BlkStatus.UNSUPP, 0);
      return;
    }
    this.finish(request, BlkStatus.OK, writeData(request, request.queue!.memory.views, this.id));
  }

  /** The request has ended: `written` bytes of its data were written. */
  private finish(request: BlkRequest, status: number, written: number): void {
    const queue = request.queue!;
    const has_status = request.status_region >= 0;
    if (has_status) queue.memory.views.view(request.status_region).setUint8(request.status_offset, status);
    queue.complete(request, has_status ? written + 1 : 0);
    this.pool.give(request);
    if (queue.paused && queue.inflight === 0) this.owner.queueDrained(queue);
  }
}
