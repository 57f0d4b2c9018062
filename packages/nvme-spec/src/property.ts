/**
 * Property Get and Property Set (Base 2.0, 6.5 and 6.6): the registers of a Fabrics controller.
 *
 *     40  ATTRIB, bits 2:0: size      44  OFST      48  VALUE (Set, 8 bytes)
 */
import { FABRICS_OPCODE, fabricsType } from './opcodes.ts';
import { encodeSqe, psdt } from './sqe.ts';

/** Size of a property (ATTRIB bits 2:0). */
export const propertySize = { bytes4: 0, bytes8: 1 } as const;

/** One of `propertySize`, or a reserved value. */
export function propertySizeOf(view: DataView, sqe: number): number {
  return view.getUint8(sqe + 40) & 0x7;
}

/** Offset of the property, one of `register`. */
export function propertyOffset(view: DataView, sqe: number): number {
  return view.getUint32(sqe + 44, true);
}

/** Property Set: low dword of the value. */
export function propertyValueLo(view: DataView, sqe: number): number {
  return view.getUint32(sqe + 48, true);
}

/** Property Set: high dword of the value; reserved for 4-byte properties. */
export function propertyValueHi(view: DataView, sqe: number): number {
  return view.getUint32(sqe + 52, true);
}

/** Writes a Property Get. The value comes back in dwords 0 and 1 of the completion. */
export function encodePropertyGet(
  view: DataView,
  offset: number,
  cid: number,
  property: number,
  size: number,
): void {
  encodeSqe(view, offset, {
    opcode: FABRICS_OPCODE,
    cid,
    psdt: psdt.sgl,
    nsid: fabricsType.propertyGet,
    cdw10: size,
    cdw11: property,
  });
}

/** Writes a Property Set. */
export function encodePropertySet(
  view: DataView,
  offset: number,
  cid: number,
  property: number,
  size: number,
  lo: number,
  hi = 0,
): void {
  encodeSqe(view, offset, {
    opcode: FABRICS_OPCODE,
    cid,
    psdt: psdt.sgl,
    nsid: fabricsType.propertySet,
    cdw10: size,
    cdw11: property,
    cdw12: lo,
    cdw13: hi,
  });
}
