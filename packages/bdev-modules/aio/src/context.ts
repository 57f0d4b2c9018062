import type { AioFileContext } from '@spdk-ts/file-io';

/** What every reactor needs to know of an aio bdev. */
export interface AioContext extends AioFileContext {
  /** The block size was given, not found out. */
  readonly block_size_override: boolean;
}
