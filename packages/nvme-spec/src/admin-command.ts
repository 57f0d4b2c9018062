/**
 * Dwords of the Admin commands (Base 2.0, 5): Identify, Get Log Page, Get and Set Features, Abort, and the
 * creation and deletion of I/O queues. Functions take a DataView and the offset of the submission queue entry.
 */
import { getUint64 } from './bytes.ts';

/** Identify (5.17): Controller or Namespace Structure, cdw10 7:0. */
export function identifyCns(view: DataView, sqe: number): number {
  return view.getUint8(sqe + 40);
}

/** Identify: Controller Identifier, cdw10 31:16. */
export function identifyCntid(view: DataView, sqe: number): number {
  return view.getUint16(sqe + 42, true);
}

/** Identify: Command Set Identifier, cdw11 31:24. */
export function identifyCsi(view: DataView, sqe: number): number {
  return view.getUint8(sqe + 47);
}

/** The two dwords of an Identify command. */
export function identifyDwords(cns: number, csi = 0, cntid = 0): { cdw10: number; cdw11: number } {
  return { cdw10: (cns | (cntid << 16)) >>> 0, cdw11: (csi << 24) >>> 0 };
}

/** Get Log Page (5.16): Log Page Identifier. */
export function logPageLid(view: DataView, sqe: number): number {
  return view.getUint8(sqe + 40);
}

/** Get Log Page: Log Specific Parameter, cdw10 14:8. */
export function logPageLsp(view: DataView, sqe: number): number {
  return view.getUint8(sqe + 41) & 0x7f;
}

/** Get Log Page: Retain Asynchronous Event, cdw10 15. */
export function logPageRae(view: DataView, sqe: number): boolean {
  return (view.getUint8(sqe + 41) & 0x80) !== 0;
}

/** Get Log Page: bytes to return, a multiple of 4 up to 2^34 (NUMDU:NUMDL counts dwords, 0's based). */
export function logPageLength(view: DataView, sqe: number): number {
  return (view.getUint32(sqe + 42, true) + 1) * 4;
}

/** Get Log Page: Log Specific Identifier, cdw11 31:16. */
export function logPageLsi(view: DataView, sqe: number): number {
  return view.getUint16(sqe + 46, true);
}

/** Get Log Page: Log Page Offset in bytes, or an index if `logPageOt`. */
export function logPageOffset(view: DataView, sqe: number): number {
  return getUint64(view, sqe + 48);
}

/** Get Log Page: Offset Type, cdw14 23; true if the offset is an index into the page's list. */
export function logPageOt(view: DataView, sqe: number): boolean {
  return (view.getUint8(sqe + 58) & 0x80) !== 0;
}

/** Get Log Page: Command Set Identifier, cdw14 31:24. */
export function logPageCsi(view: DataView, sqe: number): number {
  return view.getUint8(sqe + 59);
}

/** The dwords of a Get Log Page command for `length` bytes (a multiple of 4) from byte `offset`. */
export function logPageDwords(
  lid: number,
  length: number,
  offset = 0,
  options: { lsp?: number; rae?: boolean; lsi?: number; csi?: number } = {},
): { cdw10: number; cdw11: number; cdw12: number; cdw13: number; cdw14: number } {
  const numd = length / 4 - 1;
  const { lsp = 0, rae = false, lsi = 0, csi = 0 } = options;
  return {
    cdw10: (lid | (lsp << 8) | (rae ? 0x8000 : 0) | ((numd & 0xffff) << 16)) >>> 0,
    cdw11: ((numd >>> 16) | (lsi << 16)) >>> 0,
    cdw12: offset >>> 0,
    cdw13: Math.floor(offset / 2 ** 32),
    cdw14: (csi << 24) >>> 0,
  };
}

/** Get Features (5.15) and Set Features (5.27): Feature Identifier. */
export function featureFid(view: DataView, sqe: number): number {
  return view.getUint8(sqe + 40);
}

/** Get Features: which value, one of `featureSelect`; cdw10 10:8. */
export function featureSel(view: DataView, sqe: number): number {
  return view.getUint8(sqe + 41) & 0x7;
}

/** Set Features: Save, cdw10 31. */
export function featureSv(view: DataView, sqe: number): boolean {
  return (view.getUint8(sqe + 43) & 0x80) !== 0;
}

/** Which value of a feature Get Features returns. */
export const featureSelect = { current: 0, default: 1, saved: 2, supportedCapabilities: 3 } as const;

/** Get Features with `supportedCapabilities`: bits of completion dword 0. */
export const featureCapability = { saveable: 0x1, namespaceSpecific: 0x2, changeable: 0x4 } as const;

/** Abort (5.1): Submission Queue Identifier of the command to abort. */
export function abortSqid(view: DataView, sqe: number): number {
  return view.getUint16(sqe + 40, true);
}

/** Abort: Command Identifier of the command to abort. */
export function abortCid(view: DataView, sqe: number): number {
  return view.getUint16(sqe + 42, true);
}

/** Abort: bit 0 of completion dword 0, set if the command was not aborted. */
export const ABORT_NOT_ABORTED = 0x1;

/** Create and Delete I/O Submission or Completion Queue (5.4 to 5.7): Queue Identifier. */
export function queueQid(view: DataView, sqe: number): number {
  return view.getUint16(sqe + 40, true);
}

/** Create I/O Queue: number of entries, 1 … 65536 (QSIZE is 0's based; 1 is invalid). */
export function queueEntries(view: DataView, sqe: number): number {
  return view.getUint16(sqe + 42, true) + 1;
}

/** Create I/O Queue: Physically Contiguous. */
export function queuePc(view: DataView, sqe: number): boolean {
  return (view.getUint8(sqe + 44) & 0x1) !== 0;
}

/** Create I/O Completion Queue: Interrupts Enabled. */
export function queueIen(view: DataView, sqe: number): boolean {
  return (view.getUint8(sqe + 44) & 0x2) !== 0;
}

/** Create I/O Submission Queue: Queue Priority, 0 urgent … 3 low. */
export function queueQprio(view: DataView, sqe: number): number {
  return (view.getUint8(sqe + 44) >>> 1) & 0x3;
}

/** Create I/O Submission Queue: identifier of its completion queue. */
export function queueCqid(view: DataView, sqe: number): number {
  return view.getUint16(sqe + 46, true);
}

/** Create I/O Completion Queue: Interrupt Vector. */
export function queueIv(view: DataView, sqe: number): number {
  return view.getUint16(sqe + 46, true);
}
