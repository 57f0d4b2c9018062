import type { SharedZones } from '@spdk-ts/bdev';
import type { SharedMemory } from '@spdk-ts/env';

/**
 * A malloc bdev's memory: pieces of shared memory one after another, the boundaries at multiples of the block
 * size. More than one where the bdev is larger than {@link SEGMENT_BYTES}, or has grown.
 */
export interface Segment {
  /** Id of the region that each reactor makes of it. */
  readonly region: number;
  readonly memory: SharedMemory;
  /** Bytes in use; the rest was cut off by a resize. */
  readonly bytes: number;
}

export interface MallocContext {
  /** Blocks, with their metadata where those are interleaved. */
  readonly segments: readonly Segment[];
  /** Separate metadata. */
  readonly md_segments: readonly Segment[];
  /** As given: for saving. */
  readonly physical_block_size: number;
  readonly numa_id: number;
  /** Of BlockLocks; null: blocks need no locks. */
  readonly locks: SharedArrayBuffer | null;
  /** Null: the bdev has no zones. */
  readonly zones: SharedZones | null;
}

/** The most that a segment has. Keeps offsets in a segment below 2^31: small integers to V8. */
export const SEGMENT_BYTES = 2 ** 31;

/** What a key-value malloc bdev is made of, beside the segments that hold its values. */
export interface KvMallocContext {
  readonly segments: readonly Segment[];
  /** None. */
  readonly md_segments: readonly Segment[];
  /** Memory of a KvIndex, the allocator's words in its user area. */
  readonly index: SharedArrayBuffer;
  /** For each block the next of its value or of the free ones. */
  readonly next: SharedArrayBuffer;
  /** Of the index's hash. */
  readonly seed: number;
}
