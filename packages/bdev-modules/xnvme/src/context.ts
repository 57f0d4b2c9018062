import type { FileContext } from '@spdk-ts/file-io';

export const mechanisms = ['libaio', 'io_uring', 'io_uring_cmd'] as const;
export type IoMechanism = (typeof mechanisms)[number];

/** How an xnvme bdev was asked for, and what came of it. */
export interface XnvmeOptions {
  readonly io_mechanism: IoMechanism;
  readonly conserve_cpu: boolean;
  /** The device is polled for completions; if not, why. */
  readonly polled: boolean;
  readonly not_polled: string;
  /** The block size was given, not found out. */
  readonly block_size_override: boolean;
}

/** What every reactor needs to know of an xnvme bdev on a file. With `libaio` it is an AioFileContext, too. */
export interface XnvmeFileContext extends FileContext, XnvmeOptions {}

/** What every reactor needs to send commands to an NVMe namespace. */
export interface CommandContext extends XnvmeOptions {
  /** Path of the generic character device, absolute. */
  readonly filename: string;
  readonly fd: number;
  readonly readonly: false;
  readonly nsid: number;
  /** Command set identifier. */
  readonly csi: number;
  /** Blocks that a range of a deallocate may have. */
  readonly range_blocks_max: number;
  /** Zoned namespaces: reads may cross zones; one Int32 a zone, see ZoneOrder. Null: it has no zones. */
  readonly cross_reads: boolean;
  readonly zone_gates: SharedArrayBuffer | null;
}
