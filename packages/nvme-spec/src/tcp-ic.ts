/**
 * ICReq and ICResp (TCP Transport 1.0, 3.6.2.2 and 3.6.2.3): once per connection, both 128 bytes.
 *
 *      8  PFV     10  HPDA or CPDA     11  DGST     12  MAXR2T or MAXH2CDATA
 */
import { encodePduHeader, MAXH2CDATA_MIN, PDU_ALIGNMENT_MAX, pduHeaderLength, pduType } from './tcp-pdu.ts';
import { fes, PDU_OK, pduError } from './tcp-term-req.ts';

export interface IcReq {
  /** PDU Format Version; only 0 is defined. */
  pfv: number;
  /** Host PDU Data Alignment: (n + 1) dwords, for data from controller to host. */
  hpda: number;
  /** Digests the host asks for: `pduFlag.hdgst`, `pduFlag.ddgst`. */
  dgst: number;
  /** Outstanding R2Ts per command that the host supports; here not 0's based. */
  maxr2t: number;
}

export interface IcResp {
  pfv: number;
  /** Controller PDU Data Alignment: (n + 1) dwords, for data from host to controller. */
  cpda: number;
  /** Digests that will be used. */
  dgst: number;
  /** Bytes of data that one H2CData may carry; a multiple of 4, at least 4096. */
  maxh2cdata: number;
}

export function encodeIcReq(view: DataView, offset: number, req: IcReq): void {
  encode(view, offset, pduType.icReq, req.pfv, req.hpda, req.dgst, req.maxr2t - 1);
}

export function decodeIcReq(view: DataView, offset: number): IcReq {
  return {
    pfv: view.getUint16(offset + 8, true),
    hpda: view.getUint8(offset + 10),
    dgst: view.getUint8(offset + 11) & 0x3,
    maxr2t: view.getUint32(offset + 12, true) + 1,
  };
}

export function encodeIcResp(view: DataView, offset: number, resp: IcResp): void {
  encode(view, offset, pduType.icResp, resp.pfv, resp.cpda, resp.dgst, resp.maxh2cdata);
}

export function decodeIcResp(view: DataView, offset: number): IcResp {
  return {
    pfv: view.getUint16(offset + 8, true),
    cpda: view.getUint8(offset + 10),
    dgst: view.getUint8(offset + 11) & 0x3,
    maxh2cdata: view.getUint32(offset + 12, true),
  };
}

/** What is wrong with an ICReq: `PDU_OK`, or an error to take apart with `pduErrorFes` and `pduErrorFei`. */
export function checkIcReq(view: DataView, offset: number): number {
  if (view.getUint16(offset + 8, true) !== 0) return pduError(fes.invalidHeaderField, 8);
  if (view.getUint8(offset + 10) > PDU_ALIGNMENT_MAX) return pduError(fes.invalidHeaderField, 10);
  return PDU_OK;
}

/** What is wrong with an ICResp. `requested` is the DGST that the ICReq asked for. */
export function checkIcResp(view: DataView, offset: number, requested: number): number {
  if (view.getUint16(offset + 8, true) !== 0) return pduError(fes.invalidHeaderField, 8);
  if (view.getUint8(offset + 10) > PDU_ALIGNMENT_MAX) return pduError(fes.invalidHeaderField, 10);
  if ((view.getUint8(offset + 11) & ~requested & 0x3) !== 0) return pduError(fes.invalidHeaderField, 11);
  const maxh2cdata = view.getUint32(offset + 12, true);
  if (maxh2cdata < MAXH2CDATA_MIN || maxh2cdata % 4 !== 0) return pduError(fes.invalidHeaderField, 12);
  return PDU_OK;
}

function encode(
  view: DataView,
  offset: number,
  type: number,
  pfv: number,
  alignment: number,
  dgst: number,
  limit: number,
): void {
  encodePduHeader(view, offset, type, 0, pduHeaderLength.icReq, 0, pduHeaderLength.icReq);
  view.setUint32(offset + 8, pfv | (alignment << 16) | (dgst << 24), true);
  view.setUint32(offset + 12, limit, true);
  for (let at = offset + 16; at < offset + pduHeaderLength.icReq; at += 4) view.setUint32(at, 0, true);
}
