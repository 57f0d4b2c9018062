import type { BdevIo } from '@spdk-ts/bdev';
import type { KernelIoVec } from './kernel-iovec.ts';

/** What an operation is doing. */
export const Phase = {
  /** Reads or writes the I/O's data. */
  TRANSFER: 0,
  /** Writes zeroes from memory. */
  ZEROES: 1,
  /** Makes the range a hole. */
  PUNCH: 2,
  /** Lets the file system zero the range. */
  ZERO_RANGE: 3,
  /** Waits for stable storage. */
  SYNC: 4,
} as const;

/** One I/O at work on a file, in as many requests as it takes. Reused; every field is set here. */
export class FileOperation {
  /** Place in its channel's list. */
  readonly index: number;
  io: BdevIo | null = null;
  phase: number = Phase.TRANSFER;
  /** First byte in the file, bytes in all, bytes done. */
  at = 0;
  length = 0;
  done = 0;
  /** Bytes of the request under way, where that is not the rest. */
  count = 0;
  /** It is to end ABORTED, whatever the kernel says. */
  aborted = false;
  /** For the engine: its own place for the operation. */
  slot = -1;
  /** For the engine: its gather list, once it needed one. */
  iovec: KernelIoVec | null = null;

  constructor(index: number) {
    this.index = index;
  }
}
