/**
 * In-band authentication (Base 2.0, 6.1, 6.2 and 8.13): the Authentication Send and Receive commands and the messages that
 * they carry. What the messages' values are made of is in the package nvme-auth.
 */
import { FABRICS_OPCODE, fabricsType } from './opcodes.ts';
import { psdt, type SqeFields } from './sqe.ts';
import { struct, u8, u16, u32 } from './struct.ts';

/** SECP, SPSP0 and SPSP1 of the commands: the security protocol that is assigned to NVMe. */
export const authProtocol = { secp: 0xe9, spsp0: 1, spsp1: 1 } as const;

/** AUTH_TYPE: first byte of a message. */
export const authType = { common: 0, dhchap: 1 } as const;

/** AUTH_ID: second byte of a message. */
export const authId = {
  negotiate: 0x00,
  challenge: 0x01,
  reply: 0x02,
  success1: 0x03,
  success2: 0x04,
  failure2: 0xf0,
  failure1: 0xf1,
} as const;

/** Reason Code of a failure; the only one. */
export const AUTH_FAILURE = 1;

/** Reason Code Explanation of a failure. */
export const authFailure = {
  failed: 0x01,
  protocolNotUsable: 0x02,
  secureChannelMismatch: 0x03,
  hashNotUsable: 0x04,
  dhGroupNotUsable: 0x05,
  incorrectPayload: 0x06,
  incorrectProtocolMessage: 0x07,
} as const;

/** Authentication protocol identifier in a negotiation's descriptor. */
export const AUTH_DHCHAP = 1;

/** What every message begins with. */
export const authHeader = struct(6, { authType: u8(0), authId: u8(1), tId: u16(4) });

export const authNegotiateHeader = struct(8, {
  authType: u8(0),
  authId: u8(1),
  tId: u16(4),
  scC: u8(6),
  napd: u8(7),
});

const DESCRIPTOR_SIZE = 64;
const LIST_MAX = 30;
const HASHES_AT = 4;
const GROUPS_AT = 34;
const descriptor = struct(HASHES_AT, { authId: u8(0), halen: u8(2), dhlen: u8(3) });

/** Protocols that a host offers: AUTH_Negotiate. */
export interface AuthNegotiate {
  readonly tId: number;
  readonly scC: number;
  /** Those of DH-HMAC-CHAP. */
  readonly hashes: readonly number[];
  readonly groups: readonly number[];
  /** False: DH-HMAC-CHAP is not among the protocols. */
  readonly dhchap: boolean;
}

/** Reads AUTH_Negotiate, or returns null if its lengths do not fit. */
export function decodeAuthNegotiate(bytes: Uint8Array): AuthNegotiate | null {
  const { size } = authNegotiateHeader;
  if (bytes.length < size) return null;
  const { tId, scC, napd } = authNegotiateHeader.decode(bytes);
  if (bytes.length !== size + napd * DESCRIPTOR_SIZE) return null;
  for (let at = size; at < bytes.length; at += DESCRIPTOR_SIZE) {
    const { authId: protocol, halen, dhlen } = descriptor.decode(bytes, at);
    if (protocol !== AUTH_DHCHAP) continue;
    if (halen > LIST_MAX || dhlen > LIST_MAX) return null;
    const hashes = [...bytes.subarray(at + HASHES_AT, at + HASHES_AT + halen)];
    const groups = [...bytes.subarray(at + GROUPS_AT, at + GROUPS_AT + dhlen)];
    return { tId, scC, hashes, groups, dhchap: true };
  }
  return { tId, scC, hashes: [], groups: [], dhchap: false };
}

/** AUTH_Negotiate with one descriptor. Throws RangeError for lists of more than 30. */
export function encodeAuthNegotiate(message: Omit<AuthNegotiate, 'dhchap'>): Uint8Array {
  const { tId, scC, hashes, groups } = message;
  if (hashes.length > LIST_MAX || groups.length > LIST_MAX)
    throw new RangeError(`a descriptor lists at most ${LIST_MAX} hash functions and groups`);
  const { size } = authNegotiateHeader;
  const out = new Uint8Array(size + DESCRIPTOR_SIZE);
  const { common } = authType;
  authNegotiateHeader.encode({ authType: common, authId: authId.negotiate, tId, scC, napd: 1 }, out);
  descriptor.encode({ authId: AUTH_DHCHAP, halen: hashes.length, dhlen: groups.length }, out, size);
  out.set(hashes, size + HASHES_AT);
  out.set(groups, size + GROUPS_AT);
  return out;
}

const challengeHeader = struct(16, {
  authType: u8(0),
  authId: u8(1),
  tId: u16(4),
  hl: u8(6),
  hashId: u8(8),
  dhgId: u8(9),
  dhvlen: u16(10),
  seqnum: u32(12),
});

/** DH-HMAC-CHAP_Challenge. */
export interface AuthChallenge {
  readonly tId: number;
  readonly hashId: number;
  readonly dhgId: number;
  readonly seqnum: number;
  /** C1: as long as the hash function's values. */
  readonly cval: Uint8Array;
  /** g^x mod p, or empty with the null group. */
  readonly dhv: Uint8Array;
}

export function encodeAuthChallenge(message: AuthChallenge): Uint8Array {
  const { tId, hashId, dhgId, seqnum, cval, dhv } = message;
  const { size } = challengeHeader;
  const out = new Uint8Array(size + cval.length + dhv.length);
  const type = { authType: authType.dhchap, authId: authId.challenge };
  challengeHeader.encode({ ...type, tId, hl: cval.length, hashId, dhgId, dhvlen: dhv.length, seqnum }, out);
  out.set(cval, size);
  out.set(dhv, size + cval.length);
  return out;
}

/** Reads DH-HMAC-CHAP_Challenge from the beginning of `bytes`, or returns null if it does not fit. */
export function decodeAuthChallenge(bytes: Uint8Array): AuthChallenge | null {
  const { size } = challengeHeader;
  if (bytes.length < size) return null;
  const { tId, hl, hashId, dhgId, dhvlen, seqnum } = challengeHeader.decode(bytes);
  if (bytes.length < size + hl + dhvlen) return null;
  const cval = bytes.slice(size, size + hl);
  return { tId, hashId, dhgId, seqnum, cval, dhv: bytes.slice(size + hl, size + hl + dhvlen) };
}

const replyHeader = struct(16, {
  authType: u8(0),
  authId: u8(1),
  tId: u16(4),
  hl: u8(6),
  cvalid: u8(8),
  dhvlen: u16(10),
  seqnum: u32(12),
});

/** DH-HMAC-CHAP_Reply. */
export interface AuthReply {
  readonly tId: number;
  /** R1. */
  readonly rval: Uint8Array;
  /** C2 where the host wants the controller to prove itself, else null. */
  readonly cval: Uint8Array | null;
  readonly seqnum: number;
  /** g^y mod p, or empty. */
  readonly dhv: Uint8Array;
}

/** CVALID of 0 and 1; others are wrong. */
const CVALID_MAX = 1;
/** DHVLEN comes in whole dwords. */
const DWORD = 4;

/**
 * Reads DH-HMAC-CHAP_Reply, or returns null if its lengths do not fit: HL must be `hl`, DHVLEN 0 with the null group, else
 * at most `dhvlenMax`, the length of the group's prime.
 */
export function decodeAuthReply(bytes: Uint8Array, hl: number, dhvlenMax: number): AuthReply | null {
  const { size } = replyHeader;
  if (bytes.length < size) return null;
  const header = replyHeader.decode(bytes);
  const { dhvlen } = header;
  if (header.hl !== hl || dhvlen > dhvlenMax || dhvlen % DWORD !== 0) return null;
  if (dhvlen === 0 && dhvlenMax > 0) return null;
  if (header.cvalid > CVALID_MAX || bytes.length !== size + 2 * hl + dhvlen) return null;
  const cval = header.cvalid === 1 ? bytes.slice(size + hl, size + 2 * hl) : null;
  const { tId, seqnum } = header;
  return { tId, rval: bytes.slice(size, size + hl), cval, seqnum, dhv: bytes.slice(size + 2 * hl) };
}

export function encodeAuthReply(message: AuthReply): Uint8Array {
  const { tId, rval, cval, seqnum, dhv } = message;
  const { size } = replyHeader;
  const hl = rval.length;
  const out = new Uint8Array(size + 2 * hl + dhv.length);
  const type = { authType: authType.dhchap, authId: authId.reply };
  replyHeader.encode({ ...type, tId, hl, cvalid: cval === null ? 0 : 1, dhvlen: dhv.length, seqnum }, out);
  out.set(rval, size);
  if (cval !== null) out.set(cval, size + hl);
  out.set(dhv, size + 2 * hl);
  return out;
}

const success1Header = struct(16, { authType: u8(0), authId: u8(1), tId: u16(4), hl: u8(6), rvalid: u8(8) });

/** DH-HMAC-CHAP_Success1. `rval` is R2, or null if the host asked for none. HL is told either way, as Linux wants it. */
export function encodeAuthSuccess1(tId: number, hl: number, rval: Uint8Array | null): Uint8Array {
  const { size } = success1Header;
  const out = new Uint8Array(size + (rval === null ? 0 : rval.length));
  const type = { authType: authType.dhchap, authId: authId.success1 };
  success1Header.encode({ ...type, tId, hl, rvalid: rval === null ? 0 : 1 }, out);
  if (rval !== null) out.set(rval, size);
  return out;
}

/** Reads DH-HMAC-CHAP_Success1 from the beginning of `bytes`, or returns null if it does not fit. */
export function decodeAuthSuccess1(bytes: Uint8Array): { tId: number; rval: Uint8Array | null } | null {
  const { size } = success1Header;
  if (bytes.length < size) return null;
  const { tId, hl, rvalid } = success1Header.decode(bytes);
  if (rvalid === 0) return { tId, rval: null };
  return bytes.length < size + hl ? null : { tId, rval: bytes.slice(size, size + hl) };
}

/** Bytes of DH-HMAC-CHAP_Success2. */
export const AUTH_SUCCESS2_SIZE = 16;

export function encodeAuthSuccess2(tId: number): Uint8Array {
  const out = new Uint8Array(AUTH_SUCCESS2_SIZE);
  authHeader.encode({ authType: authType.dhchap, authId: authId.success2, tId }, out);
  return out;
}

/** AUTH_Failure1 (of the controller) and AUTH_Failure2 (of the host). */
export const authFailureMessage = struct(8, {
  authType: u8(0),
  authId: u8(1),
  tId: u16(4),
  rc: u8(6),
  rce: u8(7),
});

/** A failure message; `id` is `authId.failure1` or `authId.failure2`, `explanation` one of {@link authFailure}. */
export function encodeAuthFailure(id: number, tId: number, explanation: number): Uint8Array {
  const out = new Uint8Array(authFailureMessage.size);
  const { common } = authType;
  authFailureMessage.encode({ authType: common, authId: id, tId, rc: AUTH_FAILURE, rce: explanation }, out);
  return out;
}

/** Fields of Authentication Send (`fabricsType.authenticationSend`) or Receive of `length` bytes. */
export function authCommand(fctype: number, length: number): SqeFields {
  const { secp, spsp0, spsp1 } = authProtocol;
  return {
    ...{ opcode: FABRICS_OPCODE, nsid: fctype, psdt: psdt.sgl },
    cdw10: ((secp << 24) | (spsp1 << 16) | (spsp0 << 8)) >>> 0,
    cdw11: length,
  };
}

/** Fields of Authentication Receive. */
export const authReceive = (length: number): SqeFields =>
  authCommand(fabricsType.authenticationReceive, length);
/** Fields of Authentication Send. */
export const authSend = (length: number): SqeFields => authCommand(fabricsType.authenticationSend, length);
