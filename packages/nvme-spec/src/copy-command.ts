/**
 * Copy (NVM Command Set 1.0, 3.2.2).
 *
 *     cdw10, cdw11   starting destination LBA
 *     cdw12          31 LR, 30 FUA, 29:26 PRINFOW, 24 STCW, 23:20 DTYPE, 15:12 PRINFOR, 11:8 descriptor format,
 *                    7:0 number of ranges (0's based)
 *
 * Source range entries, format 0h (32 bytes) and 1h (40 bytes, wider tags); both begin alike:
 *
 *      8  starting LBA     16  number of logical blocks (0's based)
 */
import { getUint64, setUint64 } from './bytes.ts';

/** Copy Descriptor Formats understood here. */
export const copyFormat = { format0: 0, format1: 1 } as const;

/** Bytes of a source range entry in `format`, 0 for a format unknown here. */
export function copyRangeSize(format: number): number {
  return format === copyFormat.format0 ? 32 : format === copyFormat.format1 ? 40 : 0;
}

/** Starting Destination LBA. */
export function copySdlba(view: DataView, sqe: number): number {
  return getUint64(view, sqe + 40);
}

/** Number of source ranges, 1 … 256. */
export function copyRanges(view: DataView, sqe: number): number {
  return view.getUint8(sqe + 48) + 1;
}

/** Descriptor Format. */
export function copyDescriptorFormat(view: DataView, sqe: number): number {
  return view.getUint8(sqe + 49) & 0xf;
}

/** Protection Information Field Read. */
export function copyPrinfor(view: DataView, sqe: number): number {
  return view.getUint8(sqe + 49) >>> 4;
}

/** Protection Information Field Write. */
export function copyPrinfow(view: DataView, sqe: number): number {
  return (view.getUint8(sqe + 51) >>> 2) & 0xf;
}

export function copyFua(view: DataView, sqe: number): boolean {
  return (view.getUint8(sqe + 51) & 0x40) !== 0;
}

/** Starting LBA of the source range at byte `offset` of the data. */
export function copyRangeSlba(view: DataView, offset: number): number {
  return getUint64(view, offset + 8);
}

/** Logical blocks of the source range, 1 … 65536. */
export function copyRangeBlocks(view: DataView, offset: number): number {
  return view.getUint16(offset + 16, true) + 1;
}

/** Writes cdw10 … cdw12; `flags` from `rwFlag`. */
export function setCopyDestination(
  view: DataView,
  sqe: number,
  sdlba: number,
  ranges: number,
  format: number,
  flags: number,
): void {
  setUint64(view, sqe + 40, sdlba);
  view.setUint32(sqe + 48, flags | (format << 8) | (ranges - 1), true);
}

/** Writes a source range entry of either format, with tags of 0. */
export function encodeCopyRange(
  view: DataView,
  offset: number,
  format: number,
  slba: number,
  blocks: number,
): void {
  for (let at = 0; at < copyRangeSize(format); at += 4) view.setUint32(offset + at, 0, true);
  setUint64(view, offset + 8, slba);
  view.setUint16(offset + 16, blocks - 1, true);
}
