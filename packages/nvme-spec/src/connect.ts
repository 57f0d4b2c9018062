/**
 * Connect (Base 2.0, 6.3): creates a queue of a Fabrics association. The command, its 1024 bytes of data, and the
 * response.
 */
import { FABRICS_OPCODE, fabricsType } from './opcodes.ts';
import { encodeSqe, psdt } from './sqe.ts';
import { bytes, type StructValue, struct, u16, utf8 } from './struct.ts';

/** FCTYPE: the Fabrics command type, byte 4 of any Fabrics command. */
export function sqeFctype(view: DataView, sqe: number): number {
  return view.getUint8(sqe + 4);
}

/** Record Format; only 0 is defined. */
export function connectRecfmt(view: DataView, sqe: number): number {
  return view.getUint16(sqe + 40, true);
}

/** Queue Identifier, 0 for the admin queue. */
export function connectQid(view: DataView, sqe: number): number {
  return view.getUint16(sqe + 42, true);
}

/** Number of submission queue entries, 1 … 65536 (SQSIZE is 0's based; 1 is invalid). */
export function connectEntries(view: DataView, sqe: number): number {
  return view.getUint16(sqe + 44, true) + 1;
}

/** Connect Attributes, bits of `connectAttribute`. */
export function connectCattr(view: DataView, sqe: number): number {
  return view.getUint8(sqe + 46);
}

/** Keep Alive Timeout in milliseconds, 0 for none. Counts on the admin queue only. */
export function connectKato(view: DataView, sqe: number): number {
  return view.getUint32(sqe + 48, true);
}

/** Connect Attributes (CATTR); bits 1:0 are the priority class. */
export const connectAttribute = {
  /** Disable SQ flow control: SQHD is not maintained. */
  disableSqFlowControl: 0x04,
  /** Individual I/O queue deletion (Disconnect) is supported by the host. */
  individualIoQueueDeletion: 0x08,
} as const;

/** Byte offsets in the command, as the Invalid Parameter Offset of a failed Connect names them. */
export const connectOffset = { recfmt: 40, qid: 42, sqsize: 44, cattr: 46, kato: 48 } as const;

/** CNTLID by which a host asks for any controller (the dynamic model). */
export const CNTLID_DYNAMIC = 0xffff;
/** CNTLID by which a host asks for any static controller. */
export const CNTLID_STATIC = 0xfffe;

/** What a Connect command says, without its data. */
export interface ConnectFields {
  cid?: number;
  qid: number;
  /** Submission queue entries, not 0's based. */
  entries: number;
  cattr?: number;
  katoMs?: number;
  sgl1?: { identifier: number; address: number; length: number };
}

/** Writes a Connect command. */
export function encodeConnect(view: DataView, offset: number, fields: ConnectFields): void {
  const { cid = 0, qid, entries, cattr = 0, katoMs = 0, sgl1 } = fields;
  encodeSqe(view, offset, {
    opcode: FABRICS_OPCODE,
    cid,
    nsid: fabricsType.connect,
    psdt: psdt.sgl,
    ...(sgl1 ? { sgl1 } : {}),
    cdw10: (qid << 16) >>> 0,
    cdw11: ((entries - 1) | (cattr << 16)) >>> 0,
    cdw12: katoMs,
  });
}

/** Connect data (figure "Connect Command – Data"). */
export const connectData = struct(1024, {
  hostid: bytes(0, 16),
  cntlid: u16(16),
  subnqn: utf8(256, 256),
  hostnqn: utf8(512, 256),
});
export type ConnectData = StructValue<typeof connectData>;

/** Dword 0 of a successful Connect: the controller, and whether it asks for authentication. */
export function connectSuccess(cntlid: number, authreq = 0): number {
  return (cntlid | (authreq << 16)) >>> 0;
}

/** Authentication requirement (AUTHREQ), bits of `connectSuccess`' second argument. */
export const connectAuthreq = { atr: 0x2, ascr: 0x4 } as const;

/**
 * Dword 0 of a Connect that failed with Connect Invalid Parameters: where the offending parameter is. Offsets
 * come from `connectOffset` for the command, from `connectData.offsets` for the data.
 */
export function connectInvalidParameter(offset: number, inData: boolean): number {
  return offset | (inData ? 0x1_0000 : 0);
}

/** The admin queue of an association may not be smaller (Base 2.0, 6.3). */
export const ADMIN_QUEUE_MIN_ENTRIES = 32;
