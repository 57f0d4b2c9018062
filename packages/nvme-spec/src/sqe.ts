/**
 * Submission Queue Entry (Base 2.0, 3.3.3.1 "Submission Queue Entry", figure "Common Command Format"): 64 bytes.
 * All functions take a DataView and the entry's byte offset in it, and neither allocate nor check bounds.
 *
 *      0  opcode            4  nsid              24  prp1 or sgl1 (16 bytes)
 *      1  fuse, psdt        8  cdw2, cdw3        32  prp2
 *      2  cid              16  mptr              40  cdw10 … cdw15
 */
import { getUint64, setUint64 } from './bytes.ts';
import { encodeSgl, sglAddress, sglIdentifier, sglLength } from './sgl.ts';

export const SQE_SIZE = 64;

/** Byte offsets within the entry. */
export const sqeOffset = {
  opcode: 0,
  flags: 1,
  cid: 2,
  nsid: 4,
  cdw2: 8,
  cdw3: 12,
  mptr: 16,
  prp1: 24,
  prp2: 32,
  sgl1: 24,
  cdw10: 40,
  cdw11: 44,
  cdw12: 48,
  cdw13: 52,
  cdw14: 56,
  cdw15: 60,
} as const;

/** Fused Operation (FUSE). */
export const fuse = { normal: 0, first: 1, second: 2 } as const;

/** PRP or SGL for Data Transfer (PSDT). Fabrics knows only the SGL ones. */
export const psdt = { prp: 0, sgl: 1, sglWithMetadataSgl: 2 } as const;

export function sqeOpcode(view: DataView, offset: number): number {
  return view.getUint8(offset);
}

export function sqeFuse(view: DataView, offset: number): number {
  return view.getUint8(offset + 1) & 0x3;
}

export function sqePsdt(view: DataView, offset: number): number {
  return view.getUint8(offset + 1) >>> 6;
}

/** Command Identifier. FFFFh is not for use by hosts. */
export function sqeCid(view: DataView, offset: number): number {
  return view.getUint16(offset + 2, true);
}

export function sqeNsid(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true);
}

/** Command dword `n`, 0 … 15, unsigned. */
export function sqeCdw(view: DataView, offset: number, n: number): number {
  return view.getUint32(offset + 4 * n, true);
}

/** Metadata Pointer. */
export function sqeMptr(view: DataView, offset: number): number {
  return getUint64(view, offset + 16);
}

export function sqePrp1(view: DataView, offset: number): number {
  return getUint64(view, offset + 24);
}

export function sqePrp2(view: DataView, offset: number): number {
  return getUint64(view, offset + 32);
}

/** Address or offset of SGL entry 1. */
export function sqeSgl1Address(view: DataView, offset: number): number {
  return sglAddress(view, offset + 24);
}

export function sqeSgl1Length(view: DataView, offset: number): number {
  return sglLength(view, offset + 24);
}

/** Type and subtype of SGL entry 1; compare with `sglId`. */
export function sqeSgl1Identifier(view: DataView, offset: number): number {
  return sglIdentifier(view, offset + 24);
}

/**
 * Starts an entry: clears all 64 bytes, then writes dwords 0 and 1. Complete it with `setSqeCdw`, `setSqeSgl1`
 * or `setSqePrps`. `fused` is one of `fuse`; `pointers` one of `psdt`.
 */
export function beginSqe(
  view: DataView,
  offset: number,
  opcode: number,
  cid: number,
  nsid: number,
  pointers: number,
  fused: number,
): void {
  view.setUint32(offset, opcode | (fused << 8) | (pointers << 14) | (cid << 16), true);
  view.setUint32(offset + 4, nsid, true);
  for (let at = offset + 8; at < offset + SQE_SIZE; at += 4) view.setUint32(at, 0, true);
}

export function setSqeCdw(view: DataView, offset: number, n: number, value: number): void {
  view.setUint32(offset + 4 * n, value, true);
}

export function setSqeCid(view: DataView, offset: number, cid: number): void {
  view.setUint16(offset + 2, cid, true);
}

/** Writes SGL entry 1; the entry must have been begun with `psdt.sgl`. `identifier` is one of `sglId`. */
export function setSqeSgl1(
  view: DataView,
  offset: number,
  identifier: number,
  address: number,
  length: number,
): void {
  encodeSgl(view, offset + 24, identifier, address, length);
}

export function setSqePrps(view: DataView, offset: number, prp1: number, prp2: number): void {
  setUint64(view, offset + 24, prp1);
  setUint64(view, offset + 32, prp2);
}

/** A command in words, for the control path and tests. What is absent is 0. */
export interface SqeFields {
  opcode: number;
  cid?: number;
  nsid?: number;
  fuse?: number;
  psdt?: number;
  cdw2?: number;
  cdw3?: number;
  mptr?: number;
  prp1?: number;
  prp2?: number;
  /** Takes the place of the PRPs, and makes PSDT `sgl` unless given. */
  sgl1?: { identifier: number; address: number; length: number };
  cdw10?: number;
  cdw11?: number;
  cdw12?: number;
  cdw13?: number;
  cdw14?: number;
  cdw15?: number;
}

/** Writes a whole entry at once. */
export function encodeSqe(view: DataView, offset: number, fields: SqeFields): void {
  const { sgl1 } = fields;
  const pointers = fields.psdt ?? (sgl1 ? psdt.sgl : psdt.prp);
  beginSqe(view, offset, fields.opcode, fields.cid ?? 0, fields.nsid ?? 0, pointers, fields.fuse ?? 0);
  setSqeCdw(view, offset, 2, fields.cdw2 ?? 0);
  setSqeCdw(view, offset, 3, fields.cdw3 ?? 0);
  setUint64(view, offset + sqeOffset.mptr, fields.mptr ?? 0);
  if (sgl1) setSqeSgl1(view, offset, sgl1.identifier, sgl1.address, sgl1.length);
  else setSqePrps(view, offset, fields.prp1 ?? 0, fields.prp2 ?? 0);
  setSqeCdw(view, offset, 10, fields.cdw10 ?? 0);
  setSqeCdw(view, offset, 11, fields.cdw11 ?? 0);
  setSqeCdw(view, offset, 12, fields.cdw12 ?? 0);
  setSqeCdw(view, offset, 13, fields.cdw13 ?? 0);
  setSqeCdw(view, offset, 14, fields.cdw14 ?? 0);
  setSqeCdw(view, offset, 15, fields.cdw15 ?? 0);
}
