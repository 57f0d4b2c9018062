import type { SharedZones } from '@spdk-ts/bdev';
import type { SharedMemory } from '@spdk-ts/env';
import type { StackedContext } from '@spdk-ts/vbdev';
import type { Layout } from './layout.ts';

/** The state of a device's zones: in shared memory, and how it gets to the base. */
export interface StoredZones {
  readonly base_id: number;
  readonly layout: Layout;
  readonly zones: SharedZones;
  /** Who writes to the base now (a word), and behind it the generation of each page (Float64). */
  readonly commits: SharedArrayBuffer;
  /** A block of memory for each page, and one for the superblock; and the region that each reactor makes of it. */
  readonly image: SharedMemory;
  readonly region: number;
}

export interface ZoneBlockContext extends StackedContext, StoredZones {}

/** Bytes of {@link StoredZones.commits} before the generations. */
export const COMMIT_WORD_BYTES = 8;
