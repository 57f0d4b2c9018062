import type { FileContext } from '@spdk-ts/file-io';

/** What every reactor needs to know of a uring bdev. */
export interface UringContext extends FileContext {
  /** The device is polled for completions. */
  readonly io_poll: boolean;
  /** A thread of the kernel takes submissions. */
  readonly sq_poll: boolean;
}
