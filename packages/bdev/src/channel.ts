import type { Reactor } from '@spdk-ts/reactor';
import type { BdevIo } from './bdev-io.ts';

// CONTRACT ONLY until the layer is written: names and meaning hold.
export declare class BdevChannel {
  readonly reactor: Reactor;
  readonly block_size: number;
  num_blocks: number;
  /** A free I/O object, or null if there is none now (then queueWait). */
  getIo(): BdevIo | null;
  /** Called once when an I/O object is free again on this thread. */
  queueWait(waiter: { bdevIoAvailable(): void }): void;
  /**
   * Submits an I/O that was set up by hand (type, offset_blocks, num_blocks, region/offset/length or iovs, owner,
   * ownerIndex). Returns 0, or a negative errno (EINVAL: range or length; EPERM: not writable; ENOTSUP); the I/O
   * then was not started and stays the caller's. The callback never runs inside.
   */
  submit(io: BdevIo): number;
  completed(io: BdevIo, status: number): void;
  freeIo(io: BdevIo): void;
  /** Gives the channel back. In-flight I/O must have completed. */
  put(): void;
}
