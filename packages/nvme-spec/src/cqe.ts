/**
 * Completion Queue Entry (Base 2.0, 3.3.3.2 "Common Completion Queue Entry"): 16 bytes.
 *
 *      0  dword 0 (result)     8  sqhd     12  cid
 *      4  dword 1             10  sqid     14  phase tag (bit 0), status (15:1)
 *
 * A status here is the 15-bit number of `status.ts`. Fabrics reserves SQID and the phase tag; there they are 0.
 */
import { getUint64 } from './bytes.ts';

export const CQE_SIZE = 16;

/** Writes a completion. `phase` is 0 or 1. */
export function encodeCqe(
  view: DataView,
  offset: number,
  dw0: number,
  dw1: number,
  sqhd: number,
  sqid: number,
  cid: number,
  status: number,
  phase: number,
): void {
  view.setUint32(offset, dw0, true);
  view.setUint32(offset + 4, dw1, true);
  view.setUint32(offset + 8, sqhd | (sqid << 16), true);
  view.setUint32(offset + 12, cid | (((status << 1) | phase) << 16), true);
}

export function cqeDw0(view: DataView, offset: number): number {
  return view.getUint32(offset, true);
}

export function cqeDw1(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true);
}

/** Dwords 0 and 1 as one number: the value of Property Get, the LBA of Zone Append. Rounded above 2^53. */
export function cqeResult64(view: DataView, offset: number): number {
  return getUint64(view, offset);
}

/** Submission Queue Head Pointer. */
export function cqeSqhd(view: DataView, offset: number): number {
  return view.getUint16(offset + 8, true);
}

export function cqeSqid(view: DataView, offset: number): number {
  return view.getUint16(offset + 10, true);
}

export function cqeCid(view: DataView, offset: number): number {
  return view.getUint16(offset + 12, true);
}

/** The 15-bit status, 0 for success. */
export function cqeStatus(view: DataView, offset: number): number {
  return view.getUint16(offset + 14, true) >>> 1;
}

export function cqePhase(view: DataView, offset: number): number {
  return view.getUint8(offset + 14) & 1;
}
