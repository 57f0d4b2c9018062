/**
 * The PDUs of commands (TCP Transport 1.0, 3.6.2.6 to 3.6.2.10): CapsuleCmd, CapsuleResp, H2CData, C2HData, R2T.
 * Encoders write the header without digests; with `pduFlag.hdgst` the CRC32C of the HLEN bytes goes behind them.
 *
 *     CapsuleCmd    8  submission queue entry (64)
 *     CapsuleResp   8  completion queue entry (16)
 *     H2CData       8  CCCID    10  TTAG       12  DATAO    16  DATAL
 *     C2HData       8  CCCID    10  reserved   12  DATAO    16  DATAL
 *     R2T           8  CCCID    10  TTAG       12  R2TO     16  R2TL
 */
import {
  encodePduHeader,
  PDU_DIGEST_LENGTH,
  pduDataLength,
  pduFlag,
  pduHeaderLength,
  pduType,
} from './tcp-pdu.ts';
import { fes, PDU_OK, pduError } from './tcp-term-req.ts';

/** Where the queue entry lies in CapsuleCmd and CapsuleResp. */
export const CAPSULE_ENTRY_OFFSET = 8;

/**
 * Writes the header of a CapsuleCmd; the submission queue entry follows at `CAPSULE_ENTRY_OFFSET`. `pdo` and
 * `dataLength` are of the in-capsule data, both 0 without.
 */
export function encodeCapsuleCmdHeader(
  view: DataView,
  offset: number,
  flags: number,
  pdo: number,
  dataLength: number,
): void {
  const plen =
    dataLength === 0 ? headerEnd(pduHeaderLength.capsuleCmd, flags) : dataEnd(pdo, dataLength, flags);
  encodePduHeader(view, offset, pduType.capsuleCmd, flags, pduHeaderLength.capsuleCmd, pdo, plen);
}

/** Writes the header of a CapsuleResp; the completion queue entry follows at `CAPSULE_ENTRY_OFFSET`. */
export function encodeCapsuleRespHeader(view: DataView, offset: number, flags: number): void {
  const plen = headerEnd(pduHeaderLength.capsuleResp, flags);
  encodePduHeader(view, offset, pduType.capsuleResp, flags, pduHeaderLength.capsuleResp, 0, plen);
}

/** Writes the header of an H2CData, the host's answer to an R2T. */
export function encodeH2cData(
  view: DataView,
  offset: number,
  flags: number,
  pdo: number,
  cccid: number,
  ttag: number,
  datao: number,
  datal: number,
): void {
  encodeTransfer(
    view,
    offset,
    pduType.h2cData,
    flags,
    pdo,
    dataEnd(pdo, datal, flags),
    cccid,
    ttag,
    datao,
    datal,
  );
}

/** Writes the header of a C2HData. */
export function encodeC2hData(
  view: DataView,
  offset: number,
  flags: number,
  pdo: number,
  cccid: number,
  datao: number,
  datal: number,
): void {
  encodeTransfer(
    view,
    offset,
    pduType.c2hData,
    flags,
    pdo,
    dataEnd(pdo, datal, flags),
    cccid,
    0,
    datao,
    datal,
  );
}

/** Writes an R2T, the controller's request for `r2tl` bytes of a command's data from `r2to` on. */
export function encodeR2t(
  view: DataView,
  offset: number,
  flags: number,
  cccid: number,
  ttag: number,
  r2to: number,
  r2tl: number,
): void {
  const plen = headerEnd(pduHeaderLength.r2t, flags);
  encodeTransfer(view, offset, pduType.r2t, flags, 0, plen, cccid, ttag, r2to, r2tl);
}

/** Command Capsule CID of H2CData, C2HData and R2T. */
export function pduCccid(view: DataView, offset: number): number {
  return view.getUint16(offset + 8, true);
}

/** Transfer Tag of H2CData and R2T. */
export function pduTtag(view: DataView, offset: number): number {
  return view.getUint16(offset + 10, true);
}

/** DATAO of data PDUs, R2TO of R2T: offset within the command's data. */
export function pduDatao(view: DataView, offset: number): number {
  return view.getUint32(offset + 12, true);
}

/** DATAL of data PDUs, R2TL of R2T: bytes. */
export function pduDatal(view: DataView, offset: number): number {
  return view.getUint32(offset + 16, true);
}

/** Whether DATAL of an H2CData or C2HData says what its PLEN says. Returns as `checkPduHeader`. */
export function checkDataLength(view: DataView, offset: number): number {
  return pduDatal(view, offset) === pduDataLength(view, offset)
    ? PDU_OK
    : pduError(fes.invalidHeaderField, 16);
}

function headerEnd(hlen: number, flags: number): number {
  return hlen + (flags & pduFlag.hdgst ? PDU_DIGEST_LENGTH : 0);
}

function dataEnd(pdo: number, length: number, flags: number): number {
  return pdo + length + (flags & pduFlag.ddgst ? PDU_DIGEST_LENGTH : 0);
}

function encodeTransfer(
  view: DataView,
  offset: number,
  type: number,
  flags: number,
  pdo: number,
  plen: number,
  cccid: number,
  tag: number,
  from: number,
  length: number,
): void {
  encodePduHeader(view, offset, type, flags, pduHeaderLength.r2t, pdo, plen);
  view.setUint32(offset + 8, cccid | (tag << 16), true);
  view.setUint32(offset + 12, from, true);
  view.setUint32(offset + 16, length, true);
  view.setUint32(offset + 20, 0, true);
}
