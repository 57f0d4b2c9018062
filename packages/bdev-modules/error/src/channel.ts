import { type BdevChannel, type BdevIo, IoStatus, IoType, IoVec } from '@spdk-ts/bdev';
import { TICKS_PER_US } from '@spdk-ts/env';
import type { Thread } from '@spdk-ts/reactor';
import { DelayLine, StackedChannel } from '@spdk-ts/vbdev';
import type { ErrorDevice } from './device.ts';
import type { Fault } from './fault.ts';

/** Lets I/O go wrong as rules and injection say. `moduleTag` of an I/O that is at the base: 1 if it has a fault. */
export class ErrorChannel extends StackedChannel {
  private readonly device: ErrorDevice;
  private readonly thread: Thread;
  private readonly line: DelayLine;
  /** I/Os that do not end by themselves. */
  private pending: BdevIo[] = [];
  /** What is to happen to I/Os when the base has ended them. */
  private readonly faults = new Map<BdevIo, Fault>();

  constructor(base: BdevChannel, device: ErrorDevice, thread: Thread) {
    super(base, 0);
    this.device = device;
    this.thread = thread;
    this.line = new DelayLine(thread, 'bdev_error');
  }

  override submit(io: BdevIo): void {
    if (io.type === IoType.RESET) {
      this.abortPending();
      this.line.flush(IoStatus.ABORTED);
      this.forward(io);
      return;
    }
    io.moduleTag = 0;
    const fault =
      this.device.rules.decide(io.type, io.offset_blocks, io.num_blocks) ??
      this.device.injection.take(io.type, this.under_way);
    if (fault === null) this.forward(io);
    else this.afflict(io, fault);
  }

  private afflict(io: BdevIo, fault: Fault): void {
    switch (fault.error_type) {
      case 'failure':
        this.end(io, IoStatus.FAILED, fault);
        return;
      case 'nvme_failure':
        io.sct = fault.nvme_sct;
        io.sc = fault.nvme_sc;
        this.end(io, IoStatus.NVME_ERROR, fault);
        return;
      case 'nomem':
        io.complete(IoStatus.NOMEM);
        return;
      case 'pending':
        this.pending.push(io);
        return;
      case 'corrupt_data':
        this.mark(io, fault);
        if (io.type === IoType.WRITE && fault.corrupt_offset < io.bytes) this.writeCorrupted(io, fault);
        else this.forward(io);
        return;
      case 'none':
        this.mark(io, fault);
        this.forward(io);
    }
  }

  private mark(io: BdevIo, fault: Fault): void {
    io.moduleTag = 1;
    this.faults.set(io, fault);
  }

  private end(io: BdevIo, status: number, { latency_us }: Fault): void {
    if (latency_us === 0) io.complete(status);
    else this.line.hold(io, status, this.due(latency_us));
  }

  private due(latency_us: number): number {
    return this.thread.reactor.now + latency_us * TICKS_PER_US;
  }

  protected override ended(io: BdevIo, status: number): void {
    if (io.moduleTag === 0) {
      io.completeNow(status);
      return;
    }
    const fault = this.faults.get(io)!;
    this.faults.delete(io);
    if (fault.error_type === 'corrupt_data' && io.type === IoType.READ && status === IoStatus.SUCCESS)
      this.corrupt(io, fault);
    if (fault.latency_us === 0) io.completeNow(status);
    else this.line.hold(io, status, this.due(fault.latency_us));
  }

  /** Changes a byte of what was read. */
  private corrupt(io: BdevIo, { corrupt_offset, corrupt_value }: Fault): void {
    let skip = corrupt_offset;
    const { iovs } = io;
    for (let i = 0; i < (iovs?.count ?? 1); i++) {
      const length = iovs === null ? io.length : iovs.length[i]!;
      if (skip < length) {
        const bytes = this.thread.reactor.regions.bytes(iovs === null ? io.region : iovs.region[i]!);
        const at = (iovs === null ? io.offset : iovs.offset[i]!) + skip;
        bytes[at] = bytes[at]! ^ corrupt_value;
        return;
      }
      skip -= length;
    }
  }

  /** Writes with one byte changed; the writer's own memory stays as it is. */
  private writeCorrupted(io: BdevIo, fault: Fault): void {
    const { region, offset, iovs } = io;
    io.iovs = this.corruptedPieces(io, fault);
    this.forwardAtOnce(io);
    io.region = region;
    io.offset = offset;
    io.iovs = iovs;
  }

  private corruptedPieces(io: BdevIo, { corrupt_offset, corrupt_value }: Fault): IoVec {
    const pieces = new IoVec((io.iovs?.count ?? 1) + 2);
    let at = 0;
    const add = (region: number, offset: number, length: number): void => {
      const before = corrupt_offset - at;
      at += length;
      if (before < 0 || before >= length) {
        pieces.push(region, offset, length);
        return;
      }
      const byte = this.thread.reactor.regions.bytes(region)[offset + before]! ^ corrupt_value;
      if (before > 0) pieces.push(region, offset, before);
      pieces.push(this.device.everyByte, byte, 1);
      if (before + 1 < length) pieces.push(region, offset + before + 1, length - before - 1);
    };
    const { iovs } = io;
    if (iovs === null) add(io.region, io.offset, io.length);
    else for (let i = 0; i < iovs.count; i++) add(iovs.region[i]!, iovs.offset[i]!, iovs.length[i]!);
    return pieces;
  }

  // --- pending I/O ---

  /** Lets pending I/O go on. */
  resume(): void {
    // On the thread, as everything else that touches its channels.
    this.thread.send(() => {
      for (const io of this.pending.splice(0)) this.forward(io);
    });
  }

  private abortPending(): void {
    for (const io of this.pending.splice(0)) io.complete(IoStatus.ABORTED);
  }

  override abort(io: BdevIo): boolean {
    const at = this.pending.indexOf(io);
    if (at >= 0) this.pending.splice(at, 1);
    else if (!this.line.remove(io)) return super.abort(io);
    io.complete(IoStatus.ABORTED);
    return true;
  }

  override retire(): void {
    this.abortPending();
    this.line.flush();
  }

  override destroy(): void {
    this.line.destroy();
    super.destroy();
  }
}
