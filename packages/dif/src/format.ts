/**
 * Protection information (PI): the last or first bytes of a block's metadata, which say whether the data are those
 * that were written, by whom, and for which block. NVM Command Set specification, "End-to-end Data Protection".
 */

/** Types of protection information, as the specification numbers them. */
export const DifType = { DISABLE: 0, TYPE_1: 1, TYPE_2: 2, TYPE_3: 3 } as const;

/** Formats, by the bits of the guard: 16 (CRC-16 T10DIF), 32 (CRC-32C), 64 (CRC-64 NVMe). */
export const DifFormat = { GUARD_16: 0, GUARD_32: 1, GUARD_64: 2 } as const;

/** What is checked: the bits of PRCHK in an NVMe command. */
export const DifCheck = { REFTAG: 1, APPTAG: 2, GUARD: 4 } as const;

/** Bytes of protection information, by {@link DifFormat}. */
export const PI_BYTES: readonly number[] = [8, 16, 16];

/** The geometry of a block with metadata. */
export interface DifOptions {
  /** Bytes of a block in the data, with the metadata if they are interleaved. */
  readonly block_size: number;
  readonly md_size: number;
  readonly md_interleave: boolean;
  /** {@link DifType}. */
  readonly dif_type: number;
  /** {@link DifFormat}. */
  readonly dif_pi_format: number;
  /** True: protection information is the first bytes of the metadata; false: the last. */
  readonly dif_is_head_of_md: boolean;
}

/**
 * Where the parts of protection information are. The field behind the application tag is the storage tag, then the
 * reference tag. The storage tag has the smallest size that its format allows: none with guards of 16 and 64 bits,
 * whose reference tags then have 32 and 48 bits; 16 bits with a guard of 32, whose reference tag has 64. It is written
 * as zeroes and not checked.
 */
export class DifLayout {
  readonly type: number;
  readonly format: number;
  /** Bytes from one block to the next in the data. */
  readonly block_size: number;
  readonly md_size: number;
  readonly interleaved: boolean;
  /** Bytes of data in a block. */
  readonly data_block_size: number;
  readonly pi_bytes: number;
  /** Of the protection information in the metadata. */
  readonly pi_offset: number;
  /** Bytes of metadata that the guard covers: those before protection information that comes last. */
  readonly guarded_md_bytes: number;
  readonly guard_bytes: number;
  /** First byte and length of the reference tag in the protection information. */
  readonly ref_offset: number;
  readonly ref_bytes: number;

  /** Throws RangeError if the metadata are too small for the format, or a value is none of the specification's. */
  constructor(options: DifOptions) {
    const { dif_type, dif_pi_format, md_size } = options;
    if (!(dif_type >= 0 && dif_type <= 3)) throw new RangeError(`dif_type is ${dif_type}; give 0 to 3`);
    if (PI_BYTES[dif_pi_format] === undefined)
      throw new RangeError(`dif_pi_format is ${dif_pi_format}; give 0 (16 bits), 1 (32) or 2 (64)`);
    this.type = dif_type;
    this.format = dif_pi_format;
    this.block_size = options.block_size;
    this.md_size = md_size;
    this.interleaved = options.md_interleave;
    this.data_block_size = options.md_interleave ? options.block_size - md_size : options.block_size;
    this.pi_bytes = dif_type === DifType.DISABLE ? 0 : PI_BYTES[dif_pi_format]!;
    if (this.pi_bytes > md_size)
      throw new RangeError(
        `md_size is ${md_size}; protection information with a guard of ${16 << dif_pi_format} bits needs ${this.pi_bytes}`,
      );
    this.pi_offset = options.dif_is_head_of_md ? 0 : md_size - this.pi_bytes;
    this.guarded_md_bytes = this.pi_offset;
    this.guard_bytes = 2 << dif_pi_format;
    this.ref_bytes = [4, 8, 6][dif_pi_format]!;
    this.ref_offset = this.pi_bytes - this.ref_bytes;
  }
}
