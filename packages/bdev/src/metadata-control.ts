import { DifCheck, DifLayout } from '@spdk-ts/dif';
import { BdevError } from './errors.ts';
import { Errno } from './io-status.ts';
import { checkBlockSize, checkNumber } from './naming-control.ts';

/** Sizes of metadata that SPDK's modules make. */
const MD_SIZES = [0, 8, 16, 32, 64, 128];

/**
 * What SPDK's modules check, by type of protection information. Not the application tag: it is compared where an I/O says
 * with what.
 */
const CHECK_TYPES = [
  0,
  DifCheck.GUARD | DifCheck.REFTAG,
  DifCheck.GUARD | DifCheck.REFTAG,
  DifCheck.GUARD,
] as const;

/** What a module's create call says of metadata. */
export interface MetadataParams {
  readonly md_size?: number;
  readonly md_interleave?: boolean;
  readonly dif_type?: number;
  readonly dif_is_head_of_md?: boolean;
  readonly dif_pi_format?: number;
}

/**
 * The metadata of a new bdev, with SPDK's rules and defaults. `data_block_size`: bytes of data in a block, to which
 * interleaved metadata are added. Throws BdevError EINVAL.
 */
export function checkMetadata(data_block_size: number, params: MetadataParams) {
  checkBlockSize(data_block_size);
  const { md_size = 0, dif_type = 0, dif_pi_format = 0, dif_is_head_of_md = false } = params;
  if (!MD_SIZES.includes(md_size))
    throw new BdevError(Errno.EINVAL, `md_size is ${md_size}; give one of ${MD_SIZES.join(', ')} (bytes)`);
  checkNumber('dif_type', dif_type, 0, 3);
  checkNumber('dif_pi_format', dif_pi_format, 0, 2);
  if (dif_type !== 0 && md_size === 0)
    throw new BdevError(
      Errno.EINVAL,
      `dif_type is ${dif_type}, but md_size is 0: protection information is part of the metadata; give an md_size`,
    );
  const md_interleave = params.md_interleave === true && md_size > 0;
  const metadata = { md_size, md_interleave, dif_type, dif_pi_format, dif_is_head_of_md };
  const block_size = data_block_size + (md_interleave ? md_size : 0);
  try {
    new DifLayout({ ...metadata, block_size });
  } catch (error) {
    throw new BdevError(Errno.EINVAL, (error as Error).message);
  }
  return { ...metadata, block_size, dif_check_types: CHECK_TYPES[dif_type]! };
}
