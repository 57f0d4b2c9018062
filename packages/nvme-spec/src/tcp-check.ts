/**
 * Whether the common header of a received PDU can be believed (TCP Transport 1.0, 3.6): its type, HLEN,
 * digest flags, PDO and PLEN, from its first 8 bytes alone. After this its length is known and bounded, so a
 * receiver can wait for the rest. Sequence (ICReq first, and once) is the connection's matter.
 */
import { PDU_DIGEST_LENGTH, pduFlag, pduHeaderLength, pduType } from './tcp-pdu.ts';
import { fes, PDU_OK, pduError, TERM_REQ_PLEN_MAX } from './tcp-term-req.ts';

/** What a receiver expects. One object per connection, changed once ICReq and ICResp are exchanged. */
export interface PduRules {
  /** Whether the receiver is the controller, and takes the PDUs of hosts; or a host. */
  controller: boolean;
  /** Digests in use: `pduFlag.hdgst`, `pduFlag.ddgst`. */
  digests: number;
  /** Alignment we asked for: CPDA of a controller, HPDA of a host. */
  alignment: number;
  /** Bytes of in-capsule data taken with a CapsuleCmd. */
  capsuleDataMax: number;
  /** Bytes of data taken with one H2CData (MAXH2CDATA) or C2HData. */
  dataMax: number;
}

/** Rules of a connection before ICReq and ICResp: no digests, data of any alignment. */
export function pduRules(controller: boolean, capsuleDataMax: number, dataMax: number): PduRules {
  return { controller, digests: 0, alignment: 0, capsuleDataMax, dataMax };
}

const TYPE = 0;
const FLAGS = 1;
const HLEN = 2;
const PDO = 3;
const PLEN = 4;

/** HLEN by type for each receiver; 0 for a type that it does not receive. */
const lengths = [new Uint8Array(256), new Uint8Array(256)] as const;
const [hostTakes, controllerTakes] = lengths;
controllerTakes[pduType.icReq] = pduHeaderLength.icReq;
controllerTakes[pduType.h2cTermReq] = pduHeaderLength.termReq;
controllerTakes[pduType.capsuleCmd] = pduHeaderLength.capsuleCmd;
controllerTakes[pduType.h2cData] = pduHeaderLength.h2cData;
hostTakes[pduType.icResp] = pduHeaderLength.icResp;
hostTakes[pduType.c2hTermReq] = pduHeaderLength.termReq;
hostTakes[pduType.capsuleResp] = pduHeaderLength.capsuleResp;
hostTakes[pduType.c2hData] = pduHeaderLength.c2hData;
hostTakes[pduType.r2t] = pduHeaderLength.r2t;

/**
 * Checks the 8 bytes at `offset`. Returns `PDU_OK` (0), or FES and FEI of the termination request to send, packed
 * for `pduErrorFes` and `pduErrorFei`. PDO is not looked at where there is no data.
 */
export function checkPduHeader(view: DataView, offset: number, rules: PduRules): number {
  const type = view.getUint8(offset + TYPE);
  const hlen = (rules.controller ? controllerTakes : hostTakes)[type];
  if (hlen === 0) return pduError(fes.invalidHeaderField, TYPE);
  if (view.getUint8(offset + HLEN) !== hlen) return pduError(fes.invalidHeaderField, HLEN);

  const plen = view.getUint32(offset + PLEN, true);
  if (type <= pduType.icResp) return plen === hlen ? PDU_OK : pduError(fes.invalidHeaderField, PLEN);
  if (type <= pduType.c2hTermReq) {
    return plen >= hlen && plen <= TERM_REQ_PLEN_MAX ? PDU_OK : pduError(fes.invalidHeaderField, PLEN);
  }

  const flags = view.getUint8(offset + FLAGS);
  if (((flags ^ rules.digests) & pduFlag.hdgst) !== 0) return pduError(fes.invalidHeaderField, FLAGS);
  const header = hlen + (flags & pduFlag.hdgst ? PDU_DIGEST_LENGTH : 0);
  if (plen < header) return pduError(fes.invalidHeaderField, PLEN);
  if (plen === header) return PDU_OK;
  if (type === pduType.capsuleResp || type === pduType.r2t) return pduError(fes.invalidHeaderField, PLEN);
  return checkData(view, offset, rules, type, header, plen);
}

/** The same for a PDU longer than its header. */
function checkData(
  view: DataView,
  offset: number,
  rules: PduRules,
  type: number,
  header: number,
  plen: number,
): number {
  const flags = view.getUint8(offset + FLAGS);
  if (((flags ^ rules.digests) & pduFlag.ddgst) !== 0) return pduError(fes.invalidHeaderField, FLAGS);
  const pdo = view.getUint8(offset + PDO);
  if (pdo < header || pdo % ((rules.alignment + 1) * 4) !== 0) return pduError(fes.invalidHeaderField, PDO);
  const length = plen - pdo - (flags & pduFlag.ddgst ? PDU_DIGEST_LENGTH : 0);
  if (length <= 0) return pduError(fes.invalidHeaderField, PLEN);
  const max = type === pduType.capsuleCmd ? rules.capsuleDataMax : rules.dataMax;
  return length > max ? pduError(fes.dataTransferLimitExceeded, PLEN) : PDU_OK;
}
