import { native } from '@spdk-ts/native';
import type { BlkDevice } from './blk-device.ts';
import type { Bits, VringAddress } from './protocol/codec.ts';
import { QUEUE_SIZE_MAX } from './protocol/constants.ts';
import { VhostUserError } from './protocol/errors.ts';
import type { SessionMemory } from './session-memory.ts';
import { Feature } from './virtio/constants.ts';
import { hasFeature } from './virtio/features.ts';
import type { InflightArea } from './virtio/inflight.ts';
import { PackedQueue } from './virtio/packed-queue.ts';
import { SplitQueue } from './virtio/split-queue.ts';
import type { Virtqueue } from './virtio/virtqueue.ts';

/** What a ring needs of its session to start. */
export interface VringContext {
  readonly features: Bits;
  readonly memory: SessionMemory;
  readonly device: BlkDevice;
  readonly inflight: InflightArea | null;
}

/** One ring as a front-end sets it up, and the queue that runs it once it is started. */
export class Vring {
  readonly index: number;
  private num = 0;
  private address: VringAddress | null = null;
  private base = 0;
  private call_fd = -1;
  private err_fd = -1;
  private enabled = true;
  queue: Virtqueue | null = null;

  constructor(index: number) {
    this.index = index;
  }

  private stopped(what: string): void {
    if (this.queue !== null)
      throw new VhostUserError(`ring ${this.index} runs: its ${what} cannot be changed`);
  }

  setNum(num: number): void {
    this.stopped('size');
    if (num < 1 || num > QUEUE_SIZE_MAX)
      throw new VhostUserError(
        `ring ${this.index} is to have ${num} entries: it must have 1 to ${QUEUE_SIZE_MAX}`,
      );
    this.num = num;
  }

  setBase(base: number): void {
    this.stopped('base');
    this.base = base;
  }

  setAddress(address: VringAddress): void {
    const { address: old } = this;
    const same =
      old !== null &&
      old.descriptor === address.descriptor &&
      old.available === address.available &&
      old.used === address.used;
    if (!same) this.stopped('address');
    this.address = address;
  }

  setEnabled(enabled: boolean): void {
    this.enabled = enabled;
    if (this.queue !== null) this.queue.enabled = enabled;
  }

  /** Takes over a descriptor, or -1 for none. */
  setCall(fd: number): void {
    if (this.call_fd >= 0) native!.closeFd(this.call_fd);
    this.call_fd = fd;
    if (this.queue === null) return;
    this.queue.call_fd = fd;
    // What was given back before may have been told to the old one.
    this.queue.call();
  }

  setErr(fd: number): void {
    if (this.err_fd >= 0) native!.closeFd(this.err_fd);
    this.err_fd = fd;
    if (this.queue !== null) this.queue.err_fd = fd;
  }

  /** Starts the ring, or gives the running one another descriptor for kicks. Throws VhostUserError. */
  setKick(fd: number, context: VringContext, wake: () => void): void {
    this.queue ??= this.start(context);
    this.queue.setKick(fd, wake);
    // The driver may have waited for one while nobody was here.
    this.queue.call();
  }

  private start({ features, memory, device, inflight }: VringContext): Virtqueue {
    const { index, num: size, address, base } = this;
    const packed = hasFeature(features, Feature.RING_PACKED);
    if (size === 0 || address === null)
      throw new VhostUserError(`ring ${index} is started without a size and an address`);
    if (!packed && (size & (size - 1)) !== 0)
      throw new VhostUserError(`ring ${index} has ${size} entries: a split ring must have a power of two`);
    const place = {
      descriptor: memory.guestAddress(address.descriptor, 'descriptors'),
      available: memory.guestAddress(address.available, packed ? "driver's event area" : 'available ring'),
      used: memory.guestAddress(address.used, packed ? "device's event area" : 'used ring'),
    };
    const flushes =
      hasFeature(features, Feature.BLK_FLUSH) || !hasFeature(device.features, Feature.BLK_FLUSH);
    const parts = {
      ...{ index, size, memory, sink: device },
      event_idx: hasFeature(features, Feature.RING_EVENT_IDX),
      indirect: hasFeature(features, Feature.RING_INDIRECT_DESC),
      write_through: !flushes,
    };
    const queue = packed
      ? new PackedQueue(parts, place, base, inflight?.packedRing(index, size) ?? null)
      : new SplitQueue(parts, place, base, inflight?.split(index, size) ?? null);
    queue.enabled = this.enabled;
    queue.call_fd = this.call_fd;
    queue.err_fd = this.err_fd;
    return queue;
  }

  /** The queue has nothing under way: it ends. Returns where the next request is. */
  stop(): number {
    if (this.queue !== null) {
      this.base = this.queue.base;
      this.queue.closeKick();
      this.queue = null;
    }
    this.setCall(-1);
    return this.base;
  }

  /** Closes its descriptors. */
  close(): void {
    this.stop();
    this.setErr(-1);
  }
}
