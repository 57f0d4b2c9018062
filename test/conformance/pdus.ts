/** PDUs of a host that need not be right. */
import { encodeIcReq, encodePduHeader, pduHeaderLength, viewOf } from '@spdk-ts/nvme-spec';

export interface Header {
  readonly type: number;
  readonly flags?: number;
  readonly hlen: number;
  readonly pdo?: number;
  readonly plen: number;
  /** Bytes that are sent (HLEN). */
  readonly bytes?: number;
}

/** A PDU whose common header says so, the rest of it zeroes. */
export function pdu({ type, flags = 0, hlen, pdo = 0, plen, bytes = hlen }: Header): Uint8Array {
  const out = new Uint8Array(Math.max(pduHeaderLength.common, bytes));
  encodePduHeader(viewOf(out), 0, type, flags, hlen, pdo, plen);
  return out;
}

/** An ICReq in order, for changes. */
export function icReq(
  fields: { pfv?: number; hpda?: number; dgst?: number; maxr2t?: number } = {},
): Uint8Array {
  const { pfv = 0, hpda = 0, dgst = 0, maxr2t = 1 } = fields;
  const out = new Uint8Array(pduHeaderLength.icReq);
  encodeIcReq(viewOf(out), 0, { pfv, hpda, dgst, maxr2t });
  return out;
}

export const concat = (...parts: readonly Uint8Array[]): Buffer => Buffer.concat(parts);
