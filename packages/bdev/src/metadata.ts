import { Dif, DifCheck, type DifFailure, type DifTags, DifType, type Pieces } from '@spdk-ts/dif';
import type { RegionTable } from '@spdk-ts/env';
import type { BdevIo } from './bdev-io.ts';
import type { BdevDescription } from './description.ts';
import { IoStatus } from './io-status.ts';
import { IoType, ioTypeMask } from './io-type.ts';
import type { IoVec } from './iovec.ts';

/** NVMe status of a failed check: status code type "media and data integrity errors", and the codes. */
const SCT_MEDIA_ERROR = 2;
const SC_GUARD = 0x82;
const SC_APPTAG = 0x83;
const SC_REFTAG = 0x84;
/** What can be done on a bdev whose metadata are hidden without knowledge of its data; the layer does the rest. */
const HIDDEN_TYPES = ioTypeMask(
  IoType.READ,
  IoType.WRITE,
  IoType.UNMAP,
  IoType.FLUSH,
  IoType.RESET,
  IoType.WRITE_ZEROES,
  IoType.ABORT,
);

type Geometry = Pick<
  BdevDescription,
  'block_size' | 'md_size' | 'md_interleave' | 'dif_type' | 'dif_pi_format' | 'dif_is_head_of_md'
>;

/** Bytes of data in a block, without metadata. */
export function dataBlockSize({ block_size, md_size, md_interleave }: Geometry): number {
  return md_interleave ? block_size - md_size : block_size;
}

/** What makes and checks a bdev's protection information. Throws RangeError for a geometry that cannot be. */
export function difOf(description: Geometry): Dif {
  return new Dif(description);
}

const hidden = new WeakMap<BdevDescription, BdevDescription>();

/** The same bdev as one without metadata; always the same object for the same description. */
export function hideMetadata(description: BdevDescription): BdevDescription {
  if (description.md_size === 0) return description;
  const known = hidden.get(description);
  if (known !== undefined) return known;
  const made = Object.freeze({
    ...description,
    block_size: dataBlockSize(description),
    io_types: description.io_types & HIDDEN_TYPES,
    // Data go through buffers of the pool, which are aligned.
    required_alignment: 0,
    md_size: 0,
    md_interleave: false,
    dif_type: DifType.DISABLE,
    dif_is_head_of_md: false,
    dif_check_types: 0,
    dif_pi_format: 0,
    hides_metadata: true,
    reads_in_place: false,
    writes_at_once: false,
  });
  hidden.set(description, made);
  return made;
}

/**
 * The checks that an I/O's protection information is to pass: those of the bdev that it does not exclude, and that of
 * the application tag if it brings a mask.
 */
export function difChecks(description: BdevDescription, io: BdevIo): number {
  const apptag = io.dif_app_tag_mask === 0 ? 0 : DifCheck.APPTAG;
  return (description.dif_check_types | apptag) & ~io.dif_exclude;
}

/** Sets the tags that an I/O's first block has, or is to have. `skip`: blocks from the I/O's first. */
export function difTagsOf(description: BdevDescription, io: BdevIo, skip: number, tags: DifTags): DifTags {
  tags.app_tag = io.dif_app_tag;
  tags.app_tag_mask = io.dif_app_tag_mask;
  if (description.dif_type === DifType.TYPE_3) tags.ref_tag = Math.max(io.dif_ref_tag, 0);
  else tags.ref_tag = (io.dif_ref_tag < 0 ? io.offset_blocks : io.dif_ref_tag) + skip;
  return tags;
}

/** Sets the NVMe status of an I/O whose protection information is wrong. Returns the status that it ends with. */
export function difStatus(io: BdevIo, failure: DifFailure): number {
  const { check } = failure;
  io.sct = SCT_MEDIA_ERROR;
  io.sc = check === DifCheck.GUARD ? SC_GUARD : check === DifCheck.APPTAG ? SC_APPTAG : SC_REFTAG;
  return IoStatus.NVME_ERROR;
}

function pushPieces(pieces: Pieces, regions: RegionTable, iovs: IoVec, skip: number, length: number): void {
  let at = 0;
  let left = length;
  for (let i = 0; i < iovs.count && left > 0; i++) {
    const inside = Math.max(0, skip - at);
    const count = Math.min(iovs.length[i]! - inside, left);
    if (count > 0) {
      pieces.push(regions.bytes(iovs.region[i]!), iovs.offset[i]! + inside, count);
      left -= count;
    }
    at += iovs.length[i]!;
  }
}

/** Makes `pieces` those of `length` bytes from `skip` on of an I/O's data, or of what else has a place. */
export function piecesOfIo(
  pieces: Pieces,
  regions: RegionTable,
  io: Pick<BdevIo, 'region' | 'offset' | 'iovs'>,
  skip: number,
  length: number,
): Pieces {
  pieces.clear();
  if (io.iovs === null) return pieces.push(regions.bytes(io.region), io.offset + skip, length);
  pushPieces(pieces, regions, io.iovs, skip, length);
  return pieces;
}

/** Makes `pieces` an I/O's separate metadata: `length` bytes from `skip` on. Only if it has them. */
export function piecesOfMetadata(
  pieces: Pieces,
  regions: RegionTable,
  io: BdevIo,
  skip: number,
  length: number,
): Pieces {
  return pieces.clear().push(regions.bytes(io.md_region), io.md_offset + skip, length);
}
