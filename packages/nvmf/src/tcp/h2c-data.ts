import {
  checkDataLength,
  fes,
  PDU_OK,
  pduCccid,
  pduDatao,
  pduError,
  pduFlag,
  pduFlags,
  pduTtag,
} from '@spdk-ts/nvme-spec';
import type { NvmfRequest } from '../request.ts';
import { RequestState } from '../request-state.ts';

const FIELD_CCCID = 8;
const FIELD_TTAG = 10;
const FIELD_DATAL = 16;

/**
 * Whether an H2CData is what an R2T asked for (TCP Transport 1.0, 3.6.2.9): a request that waits for data, named
 * twice, and the next bytes of it, LAST exactly at their end. Returns PDU_OK or an error that ends the connection.
 */
export function checkH2cData(
  view: DataView,
  at: number,
  dataLength: number,
  requests: readonly NvmfRequest[],
): number {
  const wrong = checkDataLength(view, at);
  if (wrong !== PDU_OK) return wrong;
  if (dataLength === 0) return pduError(fes.invalidHeaderField, FIELD_DATAL);
  const request = requests[pduTtag(view, at)];
  if (request === undefined || request.state !== RequestState.AWAITING_DATA)
    return pduError(fes.invalidHeaderField, FIELD_TTAG);
  if (pduCccid(view, at) !== request.cid) return pduError(fes.invalidHeaderField, FIELD_CCCID);
  const from = pduDatao(view, at);
  const end = from + dataLength;
  if (end > request.length) return pduError(fes.dataTransferOutOfRange, 0);
  if (from !== request.received) return pduError(fes.pduSequenceError, 0);
  const last = (pduFlags(view, at) & pduFlag.last) !== 0;
  return last === (end === request.length) ? PDU_OK : pduError(fes.pduSequenceError, 0);
}

/** When data that the host was asked for must have come: until then it holds buffers that others want. */
export class DataDeadlines {
  private readonly requests: readonly NvmfRequest[];
  private readonly patience: number;
  /** By index of the request, ticks. */
  private readonly due: number[] = [];

  constructor(requests: readonly NvmfRequest[], patience: number) {
    this.requests = requests;
    this.patience = patience;
  }

  /** The host has been asked, or has sent some of it. */
  set(request: NvmfRequest, now: number): void {
    while (this.due.length <= request.index) this.due.push(Number.POSITIVE_INFINITY);
    this.due[request.index] = now + this.patience;
  }

  /**
   * True if the host owes data for too long; `hurry`: so much less patience with those for which a bdev lends a place,
   * since somebody waits for that.
   */
  missed(now: number, hurry: number): boolean {
    const requests = this.requests;
    for (let i = 0; i < requests.length; i++) {
      const request = requests[i]!;
      if (request.state !== RequestState.AWAITING_DATA) continue;
      if (now > this.due[i]! - (request.placed === null ? 0 : hurry)) return true;
    }
    return false;
  }
}
