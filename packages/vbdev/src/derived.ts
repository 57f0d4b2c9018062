import { type BdevDescription, type BdevSpec, IoType, ioTypeMask } from '@spdk-ts/bdev';

/** What both halves of every stacked bdev know of the base: the start of its `context`. */
export interface StackedContext {
  readonly base_id: number;
  readonly base_name: string;
  /** First block of the base that is this bdev's. */
  readonly offset_blocks: number;
  /** Number of the {@link Stack} that it is a part of. */
  readonly stack: number;
}

/** What a stacked channel hands down. The layer does the rest itself, if it can, with what is handed down. */
const FORWARDED = ioTypeMask(
  IoType.READ,
  IoType.WRITE,
  IoType.UNMAP,
  IoType.FLUSH,
  IoType.RESET,
  IoType.WRITE_ZEROES,
  IoType.COMPARE,
  IoType.ABORT,
  IoType.COPY,
  IoType.GET_ZONE_INFO,
  IoType.ZONE_MANAGEMENT,
  IoType.ZONE_APPEND,
);

/** A stacked bdev's spec: what the base is and can, save for what is its own. */
export function derivedSpec(
  base: BdevDescription,
  own: Partial<BdevSpec> & Pick<BdevSpec, 'name' | 'product_name' | 'uuid' | 'context'>,
): BdevSpec {
  const { id: _id, module: _module, aliases: _aliases, ...same } = base;
  return { ...same, io_types: base.io_types & FORWARDED, ...own };
}
