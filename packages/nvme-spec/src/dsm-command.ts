/**
 * Dataset Management (NVM Command Set 1.0, 3.2.3): up to 256 ranges of 16 bytes in the command's data.
 *
 *      range:  0  context attributes     4  length in logical blocks     8  starting LBA
 */
import { getUint64, setUint64 } from './bytes.ts';

export const DSM_RANGE_SIZE = 16;
export const DSM_MAX_RANGES = 256;

/** Attributes of the command, cdw11. */
export const dsmAttribute = { integralRead: 0x1, integralWrite: 0x2, deallocate: 0x4 } as const;

/** Number of ranges, 1 … 256 (NR is 0's based). */
export function dsmRanges(view: DataView, sqe: number): number {
  return view.getUint8(sqe + 40) + 1;
}

/** Bits of `dsmAttribute`. */
export function dsmAttributes(view: DataView, sqe: number): number {
  return view.getUint32(sqe + 44, true) & 0x7;
}

/** Context Attributes of the range at byte `offset` of the data. */
export function dsmRangeContext(view: DataView, offset: number): number {
  return view.getUint32(offset, true);
}

/** Logical blocks of the range; unlike NLB it counts from 0, and 0 is allowed. */
export function dsmRangeBlocks(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true);
}

export function dsmRangeSlba(view: DataView, offset: number): number {
  return getUint64(view, offset + 8);
}

export function encodeDsmRange(
  view: DataView,
  offset: number,
  slba: number,
  blocks: number,
  context: number,
): void {
  view.setUint32(offset, context, true);
  view.setUint32(offset + 4, blocks, true);
  setUint64(view, offset + 8, slba);
}
