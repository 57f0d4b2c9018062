import { type BdevDescription, type BdevSpec, IoType, ioTypeMask } from '@spdk-ts/bdev';
import { DifType } from '@spdk-ts/dif';

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

/** Metadata of a write whose reference tags are changed on the way down, bytes: a large buffer holds so much at least. */
export const REMAPPED_BYTES = 8192;

/** True if reference tags are block addresses, and those of a bdev that begins at `offset_blocks` are not the base's. */
export function remapsTags({ dif_type }: Pick<BdevDescription, 'dif_type'>, offset_blocks: number): boolean {
  return offset_blocks > 0 && (dif_type === DifType.TYPE_1 || dif_type === DifType.TYPE_2);
}

/** What is different where they are. */
function remapped({ io_types, md_size, max_rw_size, write_unit_size }: BdevDescription): Partial<BdevSpec> {
  const most = Math.floor(REMAPPED_BYTES / md_size);
  return {
    // To be compared, data have to be read first: the layer does that.
    io_types: io_types & FORWARDED & ~(1 << IoType.COMPARE),
    reads_in_place: false,
    max_rw_size: Math.max(write_unit_size, max_rw_size === 0 ? most : Math.min(most, max_rw_size)),
  };
}

/** A stacked bdev's spec: what the base is and can, save for what is its own. */
export function derivedSpec<C extends StackedContext>(
  base: BdevDescription,
  own: Partial<BdevSpec> & Pick<BdevSpec, 'name' | 'product_name' | 'uuid'> & { readonly context: C },
): BdevSpec {
  const { id: _id, module: _module, aliases: _aliases, ...same } = base;
  const changed = remapsTags(base, own.context.offset_blocks) ? remapped(base) : {};
  return { ...same, io_types: base.io_types & FORWARDED, ...changed, ...own };
}
