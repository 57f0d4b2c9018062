import type { SharedZones } from '@spdk-ts/bdev';

/** What a null bdev was made with, beyond what its description says: for saving it. */
export interface NullContext {
  readonly physical_block_size: number;
  readonly preferred_write_granularity: number;
  readonly preferred_write_alignment: number;
  readonly optimal_write_size: number;
  readonly preferred_unmap_granularity: number;
  readonly preferred_unmap_alignment: number;
  /** Null: the bdev has no zones. */
  readonly zones: SharedZones | null;
}
