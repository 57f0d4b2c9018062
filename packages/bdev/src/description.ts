import type { KvLimits } from './kv.ts';
import type { BdevLimits } from './limits.ts';
import type { BdevZones } from './zoned.ts';

/**
 * A block device as plain, cloneable data: what a module's control half makes, and what each reactor builds its
 * own half from. All sizes in bytes or blocks, as named.
 */
export interface BdevDescription extends BdevLimits, BdevZones {
  /** Number of this device, never used again by the process. */
  readonly id: number;
  /** The module's name, which is also its reactor half's: `malloc`. */
  readonly module: string;
  readonly name: string;
  readonly aliases: readonly string[];
  readonly product_name: string;
  readonly uuid: string;
  /** Bytes of a block: data, a power of two from 512 to 65536, and the metadata where they are interleaved. */
  readonly block_size: number;
  readonly num_blocks: number;
  /** Bit mask of the I/O types that the module does itself (see {@link ioTypeMask}). */
  readonly io_types: number;
  /** Blocks of a physical block, for `preferred_*`; 1 where nothing is preferred. */
  readonly preferred_write_granularity: number;
  readonly preferred_write_alignment: number;
  readonly optimal_write_size: number;
  readonly preferred_unmap_granularity: number;
  readonly preferred_unmap_alignment: number;
  /** Alignment of buffers in memory: log2 of bytes. 0: none. */
  readonly required_alignment: number;
  /** Blocks at whose multiples I/O is best split; 0: none. */
  readonly optimal_io_boundary: number;
  readonly physical_block_size: number;
  /** Bytes of metadata of a block; 0: none. */
  readonly md_size: number;
  /** Metadata follow their block in the data. If not, they have a place of their own: {@link BdevIo.md_region}. */
  readonly md_interleave: boolean;
  /** Protection information in the metadata: 0, or type 1 to 3. */
  readonly dif_type: number;
  /** It is the first bytes of the metadata, not the last. */
  readonly dif_is_head_of_md: boolean;
  /** What the module checks unless an I/O excludes it: a set of DifCheck bits. */
  readonly dif_check_types: number;
  /** Guards of 16 (0), 32 (1) or 64 (2) bits. */
  readonly dif_pi_format: number;
  /** This is how one sees it who has it open with hidden metadata, and so is to get its channel. */
  readonly hides_metadata: boolean;
  /**
   * The module answers a read that brings no buffer with a place in its own memory: region and offset of the I/O,
   * or, if the data are in several pieces there, its iovs. Valid until the I/O is freed.
   */
  readonly reads_in_place: boolean;
  /**
   * The module has taken a write's data, wherever they lie, by the time the layer next tells of completions: whoever
   * submits it may leave them in memory that is soon needed for something else.
   */
  readonly writes_at_once: boolean;
  /** Blocks that were unmapped read as zeroes, whatever the medium. */
  readonly unmap_zeroes: boolean;
  /** A reset waits so many seconds for what is outstanding, and leaves the module alone if that ends. 0: it does not. */
  readonly reset_io_drain_timeout: number;
  /** A key-value bdev's limits; null: it has blocks. Then there is no block I/O, and a block is what space is counted in. */
  readonly kv: KvLimits | null;
  /** What the module's reactor half needs: cloneable, shared memory included. */
  readonly context: unknown;
}

/** The part of a description that a module supplies; the registry fills in the rest. */
export interface BdevSpec extends Partial<BdevLimits>, Partial<BdevZones> {
  readonly name: string;
  readonly product_name: string;
  readonly uuid?: string | undefined;
  readonly block_size: number;
  readonly num_blocks: number;
  readonly io_types: number;
  readonly context: unknown;
  readonly aliases?: readonly string[];
  readonly preferred_write_granularity?: number;
  readonly preferred_write_alignment?: number;
  readonly optimal_write_size?: number;
  readonly preferred_unmap_granularity?: number;
  readonly preferred_unmap_alignment?: number;
  readonly required_alignment?: number;
  readonly optimal_io_boundary?: number;
  readonly physical_block_size?: number;
  readonly md_size?: number;
  readonly md_interleave?: boolean;
  readonly dif_type?: number;
  readonly dif_is_head_of_md?: boolean;
  readonly dif_check_types?: number;
  readonly dif_pi_format?: number;
  readonly reads_in_place?: boolean;
  readonly writes_at_once?: boolean;
  readonly unmap_zeroes?: boolean;
  readonly reset_io_drain_timeout?: number;
  readonly kv?: KvLimits | null;
}
