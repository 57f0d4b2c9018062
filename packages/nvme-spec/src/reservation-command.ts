/**
 * Reservation Register, Acquire, Release and Report (Base 2.0, 7.2 … 7.5): fields of the commands, their data, and
 * the Reservation Status data structure. Keys are 64 bits that mean nothing: `bigint` here, as these commands are
 * rare.
 *
 *      cdw10 of Register   31:30 CPTPL     3 IEKEY     2:0 RREGA
 *      cdw10 of Acquire    15:8 RTYPE      3 IEKEY     2:0 RACQA
 *      cdw10 of Release    15:8 RTYPE      3 IEKEY     2:0 RRELA
 *      cdw10 of Report     NUMD            cdw11   0 EDS
 */
import { viewOf } from './bytes.ts';

/** Reservation Type. */
export const reservationType = {
  none: 0,
  writeExclusive: 1,
  exclusiveAccess: 2,
  writeExclusiveRegistrantsOnly: 3,
  exclusiveAccessRegistrantsOnly: 4,
  writeExclusiveAllRegistrants: 5,
  exclusiveAccessAllRegistrants: 6,
} as const;

/** Reservation Register Action. */
export const reservationRegisterAction = { register: 0, unregister: 1, replace: 2 } as const;
/** Change Persist Through Power Loss State. */
export const reservationCptpl = { noChange: 0, clear: 2, set: 3 } as const;
/** Reservation Acquire Action. */
export const reservationAcquireAction = { acquire: 0, preempt: 1, preemptAndAbort: 2 } as const;
/** Reservation Release Action. */
export const reservationReleaseAction = { release: 0, clear: 1 } as const;

/** Bytes of the commands' data: CRKEY, and for Register NRKEY, for Acquire PRKEY. */
export const reservationDataSize = { register: 16, acquire: 16, release: 8 } as const;

/** What all three have in dword 10; `rtype` is of Acquire and Release, `cptpl` of Register. */
export interface ReservationFields {
  action: number;
  iekey: boolean;
  rtype: number;
  cptpl: number;
}

export function decodeReservationFields(cdw10: number): ReservationFields {
  return {
    action: cdw10 & 0x7,
    iekey: (cdw10 & 0x8) !== 0,
    rtype: (cdw10 >>> 8) & 0xff,
    cptpl: cdw10 >>> 30,
  };
}

export function encodeReservationFields(fields: Partial<ReservationFields>): number {
  const { action = 0, iekey = false, rtype = 0, cptpl = 0 } = fields;
  return (action | (iekey ? 0x8 : 0) | (rtype << 8) | (cptpl << 30)) >>> 0;
}

/** The key at byte `offset`. */
export function reservationKey(data: Uint8Array, offset: number): bigint {
  return viewOf(data).getBigUint64(offset, true);
}

/** Data of a command: its keys one after the other. */
export function encodeReservationKeys(...keys: readonly bigint[]): Uint8Array {
  const out = new Uint8Array(keys.length * 8);
  const view = viewOf(out);
  keys.forEach((key, i) => {
    view.setBigUint64(i * 8, key, true);
  });
  return out;
}

/** Report, dword 11 bit 0: Extended Data Structure, with host identifiers of 128 bits. */
export const RESERVATION_EDS = 0x1;

/** A registered controller (extended data structure). */
export interface RegisteredController {
  /** FFFFh: of the dynamic controller model. */
  cntlid: number;
  /** RCSTS bit 0: its host holds the reservation. */
  holder: boolean;
  rkey: bigint;
  /** 16 bytes. */
  hostid: Uint8Array;
}

/** Reservation Status. */
export interface ReservationStatus {
  generation: number;
  /** One of `reservationType`. */
  rtype: number;
  /** Persist Through Power Loss State. */
  ptpls: number;
  registered: readonly RegisteredController[];
}

const HEADER_SIZE = 64;
const CONTROLLER_SIZE = 64;

/** The Reservation Status Extended data structure, whole. */
export function encodeReservationStatus(status: ReservationStatus): Uint8Array {
  const { generation, rtype, ptpls, registered } = status;
  const out = new Uint8Array(HEADER_SIZE + registered.length * CONTROLLER_SIZE);
  const view = viewOf(out);
  view.setUint32(0, generation, true);
  view.setUint8(4, rtype);
  view.setUint16(5, registered.length, true);
  view.setUint8(9, ptpls);
  registered.forEach(({ cntlid, holder, rkey, hostid }, i) => {
    const at = HEADER_SIZE + i * CONTROLLER_SIZE;
    view.setUint16(at, cntlid, true);
    view.setUint8(at + 2, holder ? 1 : 0);
    view.setBigUint64(at + 8, rkey, true);
    out.set(hostid, at + 16);
  });
  return out;
}

/** Reads it. Throws RangeError if it claims more controllers than `bytes` holds. */
export function decodeReservationStatus(bytes: Uint8Array): ReservationStatus {
  const view = viewOf(bytes);
  const count = view.getUint16(5, true);
  if (HEADER_SIZE + count * CONTROLLER_SIZE > bytes.length)
    throw new RangeError(`reservation status of ${count} controllers is cut off after ${bytes.length} bytes`);
  return {
    generation: view.getUint32(0, true),
    rtype: view.getUint8(4),
    ptpls: view.getUint8(9),
    registered: Array.from({ length: count }, (_, i) => {
      const at = HEADER_SIZE + i * CONTROLLER_SIZE;
      return {
        cntlid: view.getUint16(at, true),
        holder: (view.getUint8(at + 2) & 1) !== 0,
        rkey: view.getBigUint64(at + 8, true),
        hostid: Uint8Array.from(bytes.subarray(at + 16, at + 32)),
      };
    }),
  };
}
