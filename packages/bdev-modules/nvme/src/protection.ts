import { type BdevDescription, type BdevIo, difChecks } from '@spdk-ts/bdev';
import { DifFormat, DifType } from '@spdk-ts/dif';
import type { NvmeRequest } from '@spdk-ts/nvme';
import { rwFlag } from '@spdk-ts/nvme-spec';

const PRCHK_SHIFT = 26;
const TWO_32 = 0x1_0000_0000;

/** `skip`: blocks from the I/O's first to the command's. */
function setTags(description: BdevDescription, { sqe }: NvmeRequest, io: BdevIo, skip: number): void {
  const { dif_type, dif_pi_format } = description;
  const counts_up = dif_type !== DifType.TYPE_3;
  const first = io.dif_ref_tag >= 0 ? io.dif_ref_tag : counts_up ? io.offset_blocks : 0;
  const tag = counts_up ? first + skip : first;
  sqe[14] = tag;
  if (dif_pi_format !== DifFormat.GUARD_16) sqe[3] = tag / TWO_32;
  sqe[15] = io.dif_app_tag | (io.dif_app_tag_mask << 16);
}

/**
 * What a read, write or compare says of its protection information (NVM Command Set 1.0, 5.2): the controller checks what the bdev has
 * checked and the I/O does not exclude.
 */
export function checkProtection(description: BdevDescription, request: NvmeRequest, io: BdevIo): void {
  request.sqe[12]! |= difChecks(description, io) << PRCHK_SHIFT;
  setTags(description, request, io, 0);
}

/** The controller makes it, for zeroes. */
export function generateProtection(
  description: BdevDescription,
  request: NvmeRequest,
  io: BdevIo,
  skip: number,
): void {
  request.sqe[12]! |= rwFlag.pract;
  setTags(description, request, io, skip);
}
