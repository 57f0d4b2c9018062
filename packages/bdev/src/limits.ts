import { BdevError } from './errors.ts';
import { Errno } from './io-status.ts';

/** What a device takes in one I/O. The layer splits what is more. 0: no limit. */
export interface BdevLimits {
  /** Reads and writes do not cross a multiple of `optimal_io_boundary`. */
  readonly split_on_optimal_io_boundary: boolean;
  /** Pieces of memory that the data of a read or write are in. */
  readonly max_num_segments: number;
  /** Bytes of such a piece: a multiple of the block size. */
  readonly max_segment_size: number;
  /** Blocks of a read or write. */
  readonly max_rw_size: number;
  /** Blocks: a write that is not aligned to it, or no multiple of it, fails. */
  readonly write_unit_size: number;
  /** Writes are exactly one `write_unit_size` each. */
  readonly split_on_write_unit: boolean;
  /** Blocks that an unmap takes: of a range, and how many ranges at once. */
  readonly max_unmap: number;
  readonly max_unmap_segments: number;
  /** Blocks of a write zeroes. */
  readonly max_write_zeroes: number;
  /** Blocks of a copy. */
  readonly max_copy: number;
  /** Blocks that a compare-and-write may have. */
  readonly acwu: number;
}

function invalid(explanation: string): never {
  throw new BdevError(Errno.EINVAL, explanation);
}

/** The limits of a module's spec. Throws BdevError EINVAL for those that no I/O could meet. */
export function limitsOf(
  spec: Partial<BdevLimits> & {
    readonly block_size: number;
    readonly required_alignment?: number;
    readonly optimal_io_boundary?: number;
  },
): BdevLimits {
  const limits: BdevLimits = {
    split_on_optimal_io_boundary: spec.split_on_optimal_io_boundary ?? false,
    max_num_segments: spec.max_num_segments ?? 0,
    max_segment_size: spec.max_segment_size ?? 0,
    max_rw_size: spec.max_rw_size ?? 0,
    write_unit_size: spec.write_unit_size || 1,
    split_on_write_unit: spec.split_on_write_unit ?? false,
    max_unmap: spec.max_unmap ?? 0,
    max_unmap_segments: spec.max_unmap_segments ?? 0,
    max_write_zeroes: spec.max_write_zeroes ?? 0,
    max_copy: spec.max_copy ?? 0,
    acwu: spec.acwu || spec.write_unit_size || 1,
  };
  for (const [name, value] of Object.entries(limits))
    if (typeof value === 'number' && (!Number.isInteger(value) || value < 0))
      invalid(`${name} is ${value}; give a whole number`);
  const { max_segment_size, max_rw_size, write_unit_size, split_on_write_unit } = limits;
  const unit_bytes = write_unit_size * spec.block_size;
  if (max_segment_size > 0 && (max_segment_size < unit_bytes || max_segment_size % spec.block_size !== 0))
    invalid(
      `max_segment_size is ${max_segment_size}; give a multiple of the block, at least ${unit_bytes} bytes`,
    );
  if (max_rw_size > 0 && max_rw_size < write_unit_size)
    invalid(`max_rw_size is ${max_rw_size}; give at least a write unit of ${write_unit_size} blocks`);
  const boundary = splitBoundary(spec.optimal_io_boundary, limits);
  if (boundary > 0 && !split_on_write_unit && boundary % write_unit_size !== 0)
    invalid(
      `optimal_io_boundary is ${boundary}; give a multiple of the write unit of ${write_unit_size} blocks, ` +
        'or set split_on_write_unit',
    );
  const splits_data = boundary + limits.max_num_segments + max_segment_size + max_rw_size > 0;
  const alignment = 2 ** (spec.required_alignment ?? 0);
  if ((splits_data || split_on_write_unit) && alignment > spec.block_size)
    invalid(
      `required_alignment is ${alignment} bytes, more than a block of ${spec.block_size}: ` +
        'the pieces of a split would not be aligned; give larger blocks, or no limits for reads and writes',
    );
  return limits;
}

/** Blocks at whose multiples reads (and writes, unless split by the unit) are split, or 0. */
export function splitBoundary(
  optimal_io_boundary: number | undefined,
  { split_on_optimal_io_boundary }: Pick<BdevLimits, 'split_on_optimal_io_boundary'>,
): number {
  return split_on_optimal_io_boundary ? (optimal_io_boundary ?? 0) : 0;
}
