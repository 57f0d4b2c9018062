/**
 * The commands on one range of logical blocks: Read, Write, Compare, Write Zeroes, Verify, Write Uncorrectable
 * (NVM Command Set 1.0, 3.2.1 and 3.2.4 to 3.2.8). They share the layout of their dwords:
 *
 *     cdw10, cdw11   starting LBA
 *     cdw12          31 LR, 30 FUA, 29:26 PRINFO, 25 DEAC (Write Zeroes), 24 STC, 23:20 DTYPE, 15:0 NLB (0's based)
 *     cdw13          31:16 DSPEC, 7:0 DSM
 *     cdw14          initial or expected logical block reference tag
 *     cdw15          31:16 application tag mask, 15:0 application tag
 *
 * Functions take a DataView and the offset of the submission queue entry.
 */
import { getUint64, setUint64 } from './bytes.ts';

/** Bits of cdw12 above NLB, to be or-ed into the `flags` of `setRwRange`. */
export const rwFlag = {
  /** Limited Retry. */
  lr: 0x8000_0000,
  /** Force Unit Access. */
  fua: 0x4000_0000,
  /** Protection Information Action: strip or insert. */
  pract: 0x2000_0000,
  prchkGuard: 0x1000_0000,
  prchkApplicationTag: 0x0800_0000,
  prchkReferenceTag: 0x0400_0000,
  /** Deallocate; Write Zeroes only. */
  deac: 0x0200_0000,
  /** Storage Tag Check. */
  stc: 0x0100_0000,
} as const;

/** Starting LBA. Above 2^53 it is rounded, and larger than any namespace: compare before use. */
export function rwSlba(view: DataView, sqe: number): number {
  return getUint64(view, sqe + 40);
}

/** Number of logical blocks, 1 … 65536 (the field NLB is 0's based). */
export function rwBlocks(view: DataView, sqe: number): number {
  return view.getUint16(sqe + 48, true) + 1;
}

/** Limited Retry. */
export function rwLr(view: DataView, sqe: number): boolean {
  return (view.getUint8(sqe + 51) & 0x80) !== 0;
}

/** Force Unit Access: on stable media before completion, not from a cache. */
export function rwFua(view: DataView, sqe: number): boolean {
  return (view.getUint8(sqe + 51) & 0x40) !== 0;
}

/** Protection Information field: bit 3 PRACT, 2 guard, 1 application tag, 0 reference tag check. */
export function rwPrinfo(view: DataView, sqe: number): number {
  return (view.getUint8(sqe + 51) >>> 2) & 0xf;
}

/** Deallocate (Write Zeroes). */
export function rwDeac(view: DataView, sqe: number): boolean {
  return (view.getUint8(sqe + 51) & 0x02) !== 0;
}

/** Storage Tag Check. */
export function rwStc(view: DataView, sqe: number): boolean {
  return (view.getUint8(sqe + 51) & 0x01) !== 0;
}

/** Directive Type (writes). */
export function rwDtype(view: DataView, sqe: number): number {
  return view.getUint8(sqe + 50) >>> 4;
}

/** Directive Specific: the placement handle or stream. */
export function rwDspec(view: DataView, sqe: number): number {
  return view.getUint16(sqe + 54, true);
}

/** Expected (or, for writes, initial) Logical Block Reference Tag. */
export function rwReferenceTag(view: DataView, sqe: number): number {
  return view.getUint32(sqe + 56, true);
}

/** Logical Block Application Tag. */
export function rwApplicationTag(view: DataView, sqe: number): number {
  return view.getUint16(sqe + 60, true);
}

/** Logical Block Application Tag Mask. */
export function rwApplicationTagMask(view: DataView, sqe: number): number {
  return view.getUint16(sqe + 62, true);
}

/** Writes cdw10 … cdw12. `blocks` is 1 … 65536; `flags` or-ed from `rwFlag`. */
export function setRwRange(view: DataView, sqe: number, slba: number, blocks: number, flags: number): void {
  setUint64(view, sqe + 40, slba);
  view.setUint32(sqe + 48, flags | (blocks - 1), true);
}
