/**
 * H2CTermReq and C2HTermReq (TCP Transport 1.0, 3.6.2.4 and 3.6.2.5): the last PDU on a connection that met a
 * fatal error. The header, 24 bytes, says why; the data is the header of the PDU at fault.
 *
 *      8  FES     10  FEI (4 bytes, unaligned)     24  up to 128 bytes of the other PDU's header
 */
import { viewOf } from './bytes.ts';
import { encodePduHeader, pduHeaderLength } from './tcp-pdu.ts';

/** Fatal Error Status (FES). */
export const fes = {
  invalidHeaderField: 0x01,
  pduSequenceError: 0x02,
  headerDigestError: 0x03,
  dataTransferOutOfRange: 0x04,
  /** C2HTermReq: more data than allowed. */
  dataTransferLimitExceeded: 0x05,
  /** H2CTermReq: more R2Ts than allowed. */
  r2tLimitExceeded: 0x05,
  unsupportedParameter: 0x06,
} as const;

const fesTexts = [
  'Reserved',
  'Invalid PDU Header Field',
  'PDU Sequence Error',
  'Header Digest Error',
  'Data Transfer Out of Range',
  'Data Transfer or R2T Limit Exceeded',
  'Unsupported Parameter',
];

export function fesText(fes: number): string {
  return fesTexts[fes] ?? `Unknown (${fes})`;
}

/** What the checks of PDUs return if nothing is wrong. */
export const PDU_OK = 0;

/** An error found by a check: FES, and in FEI the offset of the offending field from the start of the PDU. */
export function pduError(fes: number, fei: number): number {
  return fes | (fei << 16);
}

export function pduErrorFes(error: number): number {
  return error & 0xffff;
}

export function pduErrorFei(error: number): number {
  return error >>> 16;
}

/** Most data a termination request carries; 152 bytes with its header. */
export const TERM_REQ_DATA_MAX = 128;
export const TERM_REQ_PLEN_MAX = pduHeaderLength.termReq + TERM_REQ_DATA_MAX;

/**
 * Writes a termination request into `out` (up to 152 bytes) and returns its length. `type` is
 * `pduType.h2cTermReq` or `c2hTermReq`; the PDU at fault is at `pduOffset` of `pdu`, `pduLength` bytes of header.
 */
export function encodeTermReq(
  out: Uint8Array,
  type: number,
  fes: number,
  fei: number,
  pdu: Uint8Array,
  pduOffset: number,
  pduLength: number,
): number {
  const dataLength = Math.min(pduLength, TERM_REQ_DATA_MAX, pdu.length - pduOffset);
  const plen = pduHeaderLength.termReq + dataLength;
  const view = viewOf(out);
  out.fill(0, 0, plen);
  encodePduHeader(view, 0, type, 0, pduHeaderLength.termReq, 0, plen);
  view.setUint16(8, fes, true);
  view.setUint32(10, fei, true);
  out.set(pdu.subarray(pduOffset, pduOffset + dataLength), pduHeaderLength.termReq);
  return plen;
}

export function termReqFes(view: DataView, offset: number): number {
  return view.getUint16(offset + 8, true);
}

/** Fatal Error Information; a field offset for `invalidHeaderField` and `unsupportedParameter`. */
export function termReqFei(view: DataView, offset: number): number {
  return view.getUint32(offset + 10, true);
}
