/**
 * NVMe/TCP PDUs (TCP Transport 1.0, 3.6): the common header, types, flags and lengths. The rest of each PDU is in
 * the other `tcp-*` files. Functions take a DataView and the PDU's byte offset; PDUs start at any byte.
 *
 *      0  type     1  flags     2  hlen     3  pdo     4  plen
 *
 *     | header: hlen | [header digest: 4] | [padding up to pdo] | [data] | [data digest: 4] |
 */
import { namesOf } from './names.ts';

/** PDU types. */
export const pduType = {
  icReq: 0x00,
  icResp: 0x01,
  h2cTermReq: 0x02,
  c2hTermReq: 0x03,
  capsuleCmd: 0x04,
  capsuleResp: 0x05,
  h2cData: 0x06,
  c2hData: 0x07,
  r2t: 0x09,
} as const;

export const pduTypeName = namesOf(pduType);

/** Header lengths in bytes (HLEN). Those of data PDUs, R2T and termination requests are all 24. */
export const pduHeaderLength = {
  common: 8,
  icReq: 128,
  icResp: 128,
  termReq: 24,
  capsuleCmd: 72,
  capsuleResp: 24,
  h2cData: 24,
  c2hData: 24,
  r2t: 24,
} as const;

/** FLAGS of the common header. */
export const pduFlag = {
  /** A header digest follows the header (HDGSTF). */
  hdgst: 0x01,
  /** A data digest follows the data (DDGSTF). */
  ddgst: 0x02,
  /** Last data PDU of the transfer (LAST_PDU): H2CData answering an R2T, C2HData of a command. */
  last: 0x04,
  /** C2HData: the command succeeded and no CapsuleResp follows (SUCCESS); only together with `last`. */
  success: 0x08,
} as const;

/** Bytes of a header or data digest: a CRC32C, least significant byte first. */
export const PDU_DIGEST_LENGTH = 4;
/** Largest HPDA and CPDA: alignment of data to (n + 1) dwords. */
export const PDU_ALIGNMENT_MAX = 31;
/** Least value of MAXH2CDATA. */
export const MAXH2CDATA_MIN = 4096;

export function pduTypeOf(view: DataView, offset: number): number {
  return view.getUint8(offset);
}

export function pduFlags(view: DataView, offset: number): number {
  return view.getUint8(offset + 1);
}

/** Header length in bytes, without digest. */
export function pduHlen(view: DataView, offset: number): number {
  return view.getUint8(offset + 2);
}

/** PDU Data Offset, from the start of the PDU; only meaningful where there is data. */
export function pduPdo(view: DataView, offset: number): number {
  return view.getUint8(offset + 3);
}

/** Bytes of the whole PDU. */
export function pduPlen(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true);
}

/** Bytes of data in a PDU whose header was found valid; 0 if it carries none. */
export function pduDataLength(view: DataView, offset: number): number {
  const flags = view.getUint8(offset + 1);
  const plen = view.getUint32(offset + 4, true);
  const header = view.getUint8(offset + 2) + (flags & pduFlag.hdgst ? PDU_DIGEST_LENGTH : 0);
  if (plen <= header) return 0;
  return plen - view.getUint8(offset + 3) - (flags & pduFlag.ddgst ? PDU_DIGEST_LENGTH : 0);
}

/**
 * Where the data of a PDU that we send starts: behind header and digest, aligned as the receiver asked.
 * `alignment` is its HPDA or CPDA.
 */
export function pduDataOffset(hlen: number, flags: number, alignment: number): number {
  const header = hlen + (flags & pduFlag.hdgst ? PDU_DIGEST_LENGTH : 0);
  const unit = (alignment + 1) * 4;
  return Math.ceil(header / unit) * unit;
}

/** Writes the common header. */
export function encodePduHeader(
  view: DataView,
  offset: number,
  type: number,
  flags: number,
  hlen: number,
  pdo: number,
  plen: number,
): void {
  view.setUint32(offset, type | (flags << 8) | (hlen << 16) | (pdo << 24), true);
  view.setUint32(offset + 4, plen, true);
}
