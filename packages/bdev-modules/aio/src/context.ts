import type { FileContext } from '@spdk-ts/file-io';

/** What every reactor needs to know of an aio bdev. */
export interface AioContext extends FileContext {
  /** Holes and zeroed ranges are made with fallocate. */
  readonly fallocate: boolean;
  /** Requests that would wait in the kernel come back, and are tried again later. */
  readonly nowait: boolean;
  /** The block size was given, not found out. */
  readonly block_size_override: boolean;
}
