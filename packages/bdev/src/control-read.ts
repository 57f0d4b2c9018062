import type { BdevIo, BdevIoOwner } from './bdev-io.ts';
import type { BdevService } from './bdev-service.ts';
import type { BdevChannel } from './channel.ts';
import { BdevError } from './errors.ts';
import { Errno, IoStatus } from './io-status.ts';
import { IoType } from './io-type.ts';

export interface ReadRequest {
  readonly id: number;
  readonly offset_blocks: number;
  readonly num_blocks: number;
}

/** Reads blocks for the control thread, a buffer's worth at a time, on this reactor's first thread. */
class ControlRead implements BdevIoOwner {
  private readonly channel: BdevChannel;
  private readonly request: ReadRequest;
  private readonly piece_blocks: number;
  private readonly data: Uint8Array;
  private readonly end: (error: Error | null, data: Uint8Array) => void;
  private doneBlocks = 0;

  constructor(channel: BdevChannel, request: ReadRequest, end: ControlRead['end']) {
    this.channel = channel;
    this.request = request;
    this.piece_blocks = Math.floor(channel.reactor.buffers.max_bytes / channel.block_size);
    this.data = new Uint8Array(request.num_blocks * channel.block_size);
    this.end = end;
  }

  private get at(): number {
    return this.request.offset_blocks + this.doneBlocks;
  }
  private get blocks(): number {
    return Math.min(this.piece_blocks, this.request.num_blocks - this.doneBlocks);
  }

  bdevIoAvailable(): void {
    this.next();
  }

  next(): void {
    const io = this.channel.getIo();
    if (io === null) {
      this.channel.queueWait(this);
      return;
    }
    io.type = IoType.READ;
    io.offset_blocks = this.at;
    io.num_blocks = this.blocks;
    io.owner = this;
    const result = this.channel.submit(io);
    if (result === 0) return;
    io.free();
    this.finish(new BdevError(result, `${this.describe()} cannot be read`));
  }

  bdevIoDone(io: BdevIo): void {
    const { status } = io;
    if (status === IoStatus.SUCCESS) this.take(io);
    io.free();
    if (status !== IoStatus.SUCCESS) {
      const how = Object.entries(IoStatus).find(([, value]) => value === status)?.[0] ?? status;
      this.finish(new BdevError(Errno.EIO, `reading ${this.describe()} ended ${how}`));
      return;
    }
    this.doneBlocks += this.blocks;
    if (this.doneBlocks === this.request.num_blocks) this.finish(null);
    else this.next();
  }

  private describe(): string {
    const { name } = this.channel.device.description;
    return `blocks ${this.at} to ${this.at + this.blocks - 1} of bdev ${name}`;
  }

  private take(io: BdevIo): void {
    const regions = this.channel.reactor.regions;
    let at = this.doneBlocks * this.channel.block_size;
    const add = (region: number, offset: number, length: number): void => {
      this.data.set(regions.bytes(region).subarray(offset, offset + length), at);
      at += length;
    };
    const { iovs } = io;
    if (iovs === null) add(io.region, io.offset, io.length);
    else for (let i = 0; i < iovs.count; i++) add(iovs.region[i]!, iovs.offset[i]!, iovs.length[i]!);
  }

  private finish(error: Error | null): void {
    this.channel.put();
    this.end(error, this.data);
  }
}

/** For BdevService: resolves with the blocks' data. Rejects with BdevError. */
export function readForControl(service: BdevService, request: ReadRequest): Promise<Uint8Array> {
  const { threads, index } = service.reactor;
  const thread = threads[0];
  if (thread === undefined)
    throw new BdevError(Errno.ENODEV, `reactor ${index} has no thread to read on; ask reactor 0`);
  return new Promise((resolve, reject) => {
    // On the thread, as everything else that touches its channels.
    thread.send(() => {
      try {
        const channel = service.getChannel(request.id, thread);
        new ControlRead(channel, request, (error, data) =>
          error === null ? resolve(data) : reject(error),
        ).next();
      } catch (error) {
        reject(error);
      }
    });
  });
}
