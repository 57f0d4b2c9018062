import {
  type BdevChannel,
  type BdevIo,
  type BdevIoOwner,
  type BdevIoWaiter,
  IoStatus,
  IoType,
  type ModuleChannel,
} from '@spdk-ts/bdev';

/**
 * A stacked bdev's channel on one thread: hands each I/O to the base's channel, `offset_blocks` further on, and
 * its end back up. Modules override {@link submit} to do something on the way down, {@link ended} on the way up.
 */
export class StackedChannel implements ModuleChannel, BdevIoOwner, BdevIoWaiter {
  protected readonly base: BdevChannel;
  protected readonly offset_blocks: number;
  /** Blocks have metadata. */
  private readonly metadata: boolean;
  /** I/Os of the base that serve this channel's. */
  protected under_way = 0;
  /** For the device. */
  onDestroyed: (() => void) | null = null;
  /** I/Os that wait for an I/O object of the base, in order. */
  private waitHead: BdevIo | null = null;
  private waitTail: BdevIo | null = null;
  private waits = false;

  /** `base`: a reference to the base's channel, which this one puts when it is destroyed. */
  constructor(base: BdevChannel, offset_blocks: number) {
    this.base = base;
    this.offset_blocks = offset_blocks;
    this.metadata = base.device.description.md_size > 0;
  }

  submit(io: BdevIo): void {
    this.forward(io);
  }

  /** The base has ended an I/O: `io` is still to be completed, now (and then with completeNow) or later. */
  protected ended(io: BdevIo, status: number): void {
    io.completeNow(status);
  }

  /** Gives an I/O to the base. */
  protected forward(io: BdevIo): void {
    if (io.type === IoType.RESET) {
      this.abortWaiting();
      this.forwardAtOnce(io);
      return;
    }
    const below = this.waitHead === null ? this.base.getIo() : null;
    if (below === null) this.wait(io);
    else this.pass(io, below);
  }

  /** The same, without waiting for an I/O object behind others. */
  protected forwardAtOnce(io: BdevIo): void {
    this.pass(io, this.base.getIo() ?? this.base.getIoBeyond());
  }

  private pass(io: BdevIo, below: BdevIo): void {
    io.base = below;
    below.upper = io;
    below.type = io.type;
    below.offset_blocks = io.offset_blocks + this.offset_blocks;
    below.num_blocks = io.num_blocks;
    below.region = io.region;
    below.offset = io.offset;
    below.length = io.length;
    below.iovs = io.iovs;
    below.fua = io.fua;
    below.owner = this;
    if (io.type > IoType.RESET) this.passMore(io, below);
    if (this.metadata && !this.passMetadata(io, below)) return;
    this.under_way++;
    if (this.base.submit(below) !== 0) this.refused(io, below);
  }

  /** What concerns metadata, after all else that `below` is set to. False: `io` has ended, and `below` is free. */
  protected passMetadata(io: BdevIo, below: BdevIo): boolean {
    below.takeMetadata(io, 0, this.base.device.description);
    return true;
  }

  /** What only some types have. */
  private passMore(io: BdevIo, below: BdevIo): void {
    below.src_offset_blocks = io.src_offset_blocks + this.offset_blocks;
    below.zone_action = io.zone_action;
    below.zone_all = io.zone_all;
    below.zones = io.zones;
  }

  private takeMore(io: BdevIo, below: BdevIo): void {
    if (io.type === IoType.ZONE_APPEND) io.append_location = below.append_location - this.offset_blocks;
    if (io.type === IoType.GET_ZONE_INFO) io.zones!.shift(this.offset_blocks);
  }

  /** The base does not take it: it is being removed. */
  protected refused(io: BdevIo, below: BdevIo): void {
    this.under_way--;
    io.base = null;
    below.free();
    this.dropped(io, IoStatus.FAILED);
  }

  /** An I/O that was to be forwarded will not be: `io` is still to be completed. */
  protected dropped(io: BdevIo, status: number): void {
    io.complete(status);
  }

  bdevIoDone(below: BdevIo): void {
    const io = below.upper!;
    const status = below.status;
    this.under_way--;
    io.base = null;
    io.cdw0 = below.cdw0;
    if (status !== IoStatus.SUCCESS) {
      io.sct = below.sct;
      io.sc = below.sc;
    } else if (io.region < 0 && io.type === IoType.READ && io.iovs === null) {
      io.takePlace(below);
      this.ended(io, status);
      if (this.waitHead !== null) this.getOn();
      return;
    } else if (io.type > IoType.RESET) this.takeMore(io, below);
    below.free();
    this.ended(io, status);
    if (this.waitHead !== null) this.getOn();
  }

  // --- I/O objects of the base ---

  private wait(io: BdevIo): void {
    if (this.under_way === 0 && this.waitHead === null) {
      this.pass(io, this.base.getIoBeyond());
      return;
    }
    io.next = null;
    if (this.waitTail === null) this.waitHead = io;
    else this.waitTail.next = io;
    this.waitTail = io;
    this.askForIo();
  }

  /** With nothing under way, nothing that ends would let it get on. */
  private getOn(): void {
    while (this.waitHead !== null && this.under_way === 0) {
      const io = this.waitHead;
      this.unlink(io, null);
      this.pass(io, this.base.getIoBeyond());
    }
  }

  private askForIo(): void {
    if (this.waits) return;
    this.waits = true;
    this.base.queueWait(this);
  }

  bdevIoAvailable(): void {
    this.waits = false;
    while (this.waitHead !== null) {
      const below = this.base.getIo();
      if (below === null) {
        this.askForIo();
        return;
      }
      const io = this.waitHead;
      this.unlink(io, null);
      this.pass(io, below);
    }
  }

  private unlink(io: BdevIo, before: BdevIo | null): void {
    if (before === null) this.waitHead = io.next;
    else before.next = io.next;
    if (this.waitTail === io) this.waitTail = before;
    io.next = null;
  }

  private abortWaiting(): void {
    while (this.waitHead !== null) {
      const io = this.waitHead;
      this.unlink(io, null);
      this.dropped(io, IoStatus.ABORTED);
    }
  }

  abort(io: BdevIo): boolean {
    let before: BdevIo | null = null;
    for (let other = this.waitHead; other !== null; before = other, other = other.next) {
      if (other !== io) continue;
      this.unlink(io, before);
      this.dropped(io, IoStatus.ABORTED);
      return true;
    }
    return io.base !== null && this.base.abortTarget(io.base);
  }

  /** The bdev is being removed: what is held back on purpose is to end. */
  retire(): void {}

  destroy(): void {
    this.base.put();
    this.onDestroyed?.();
  }
}
