import type { NvmfRequest } from './request.ts';

/*
 * Fields of the commands that name a range of logical blocks (NVM Command Set 1.0, 3.2).
 */

const TWO_32 = 0x1_0000_0000;
const NLB = 0xffff;
/** Bits of dword 0: FUSE and its values, and the reserved value of PSDT. */
export const FUSE = 0x300;
export const FUSE_FIRST = 0x100;
export const FUSE_SECOND = 0x200;
export const PSDT = 0xc000;
/** Bits of dword 12. */
export const FUA = 0x4000_0000;
export const DEAC = 0x200_0000;
export const DTYPE = 0xf0_0000;

/** Starting LBA. */
export function slbaOf(request: NvmfRequest): number {
  return request.cdw(10) + request.cdw(11) * TWO_32;
}

/** Number of logical blocks, from the 0's based field. */
export function blocksOf(request: NvmfRequest): number {
  return (request.cdw(12) & NLB) + 1;
}
