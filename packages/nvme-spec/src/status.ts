/**
 * The Status field (Base 2.0, 3.3.3.2.1): 15 bits, dword 3 bits 31:17 of a completion. Everything in this project
 * that carries "a status" carries this number, without the phase tag; 0 is success.
 *
 *     14    13   12:11   10:8   7:0
 *     DNR   M    CRD     SCT    SC
 */

/** Do Not Retry: the same command would fail again. */
export const STATUS_DNR = 0x4000;
/** More: the Error Information log page says more about this failure. */
export const STATUS_MORE = 0x2000;
/** Command Retry Delay: 0, or 1 … 3 to choose CRDT1 … CRDT3 of Identify Controller. */
export const STATUS_CRD_SHIFT = 11;

/** Packs a status. `dnr` sets Do Not Retry. */
export function status(sct: number, sc: number, dnr = false): number {
  return (sct << 8) | sc | (dnr ? STATUS_DNR : 0);
}

/** Status Code Type. */
export function statusSct(status: number): number {
  return (status >>> 8) & 0x7;
}

/** Status Code. */
export function statusSc(status: number): number {
  return status & 0xff;
}

/** Type and code together, without DNR, M and CRD: what to compare with `status(sct, sc)`. */
export function statusCode(status: number): number {
  return status & 0x7ff;
}

export function statusIsDnr(status: number): boolean {
  return (status & STATUS_DNR) !== 0;
}

/** Command Retry Delay selector, 0 … 3. */
export function statusCrd(status: number): number {
  return (status >>> STATUS_CRD_SHIFT) & 0x3;
}
