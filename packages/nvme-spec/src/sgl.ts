/**
 * SGL descriptors (Base 2.0, 4.1.2): 16 bytes, of which the last tells what the rest means.
 *
 *      0:7  address or offset     8:11  length     12:14  reserved     15  type (7:4), subtype (3:0)
 */
import { getUint64, setUint64 } from './bytes.ts';

export const SGL_DESCRIPTOR_SIZE = 16;

/** SGL Descriptor Type. */
export const sglType = {
  dataBlock: 0x0,
  bitBucket: 0x1,
  segment: 0x2,
  lastSegment: 0x3,
  keyedDataBlock: 0x4,
  transportDataBlock: 0x5,
  vendorSpecific: 0xf,
} as const;

/** SGL Descriptor Sub Type. */
export const sglSubtype = { address: 0x0, offset: 0x1, invalidateKey: 0xf, transport: 0xa } as const;

/** The SGL Identifier byte (type and subtype) of the descriptors in use. */
export const sglId = {
  /** Data block at a memory address. */
  dataBlock: 0x00,
  /** Data block at an offset: in-capsule data. */
  inCapsule: 0x01,
  bitBucket: 0x10,
  segment: 0x20,
  segmentInCapsule: 0x21,
  lastSegment: 0x30,
  lastSegmentInCapsule: 0x31,
  keyedDataBlock: 0x40,
  /** Data the transport fetches or delivers by its own means: R2T and data PDUs of NVMe/TCP. */
  transportDataBlock: 0x5a,
} as const;

/** Address, or offset with subtype 1h. Rounded above 2^53. */
export function sglAddress(view: DataView, offset: number): number {
  return getUint64(view, offset);
}

/** Length in bytes. Not for keyed descriptors, whose length has 24 bits. */
export function sglLength(view: DataView, offset: number): number {
  return view.getUint32(offset + 8, true);
}

/** SGL Identifier: type in bits 7:4, subtype in 3:0; compare with `sglId`. */
export function sglIdentifier(view: DataView, offset: number): number {
  return view.getUint8(offset + 15);
}

export function sglTypeOf(view: DataView, offset: number): number {
  return view.getUint8(offset + 15) >>> 4;
}

export function sglSubtypeOf(view: DataView, offset: number): number {
  return view.getUint8(offset + 15) & 0xf;
}

/** Writes one descriptor. `identifier` is one of `sglId`. */
export function encodeSgl(
  view: DataView,
  offset: number,
  identifier: number,
  address: number,
  length: number,
): void {
  setUint64(view, offset, address);
  view.setUint32(offset + 8, length, true);
  view.setUint32(offset + 12, identifier << 24, true);
}
