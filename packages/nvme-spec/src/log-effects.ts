/**
 * Log pages that say what a controller supports: Supported Log Pages (00h), Commands Supported and Effects (05h)
 * and Feature Identifiers Supported and Effects (12h). Base 2.0, 5.16.1. Each is a table
 * of dwords indexed by identifier or opcode.
 */
import { viewOf } from './bytes.ts';

/** Dword per log page of page 00h; bits 31:16 are specific to the page. */
export const logPageSupport = {
  supported: 0x1,
  /** Index Offset Supported. */
  indexOffset: 0x2,
} as const;

/** LID Specific Parameter of the Discovery log page, bits 31:16 of its entry in page 00h. */
export const discoveryLidParameter = { extended: 0x1, portLocal: 0x2, allSubsystems: 0x4 } as const;

/** Dword per opcode of page 05h. CSE, the recommended restriction of submission, is in bits 18:16. */
export const commandEffect = {
  /** Command Supported. */
  supported: 0x1,
  /** Logical Block Content Change. */
  lbcc: 0x2,
  /** Namespace Capability Change. */
  ncc: 0x4,
  /** Namespace Inventory Change. */
  nic: 0x8,
  /** Controller Capability Change. */
  ccc: 0x10,
  /** Submit only when no other command is outstanding to the same namespace (CSE 001b). */
  aloneInNamespace: 0x1_0000,
  /** Submit only when no other command is outstanding to any namespace (CSE 010b). */
  alone: 0x2_0000,
  uuidSelection: 0x8_0000,
  namespaceScope: 0x10_0000,
  controllerScope: 0x20_0000,
  subsystemScope: 0x200_0000,
} as const;

/** Dword per feature of page 12h. */
export const featureEffect = {
  supported: 0x1,
  /** User Data Content Change. */
  udcc: 0x2,
  ncc: 0x4,
  nic: 0x8,
  ccc: 0x10,
  uuidSelection: 0x8_0000,
  namespaceScope: 0x10_0000,
  controllerScope: 0x20_0000,
  subsystemScope: 0x200_0000,
} as const;

/** Bytes of pages 00h and 12h. */
export const SUPPORT_LOG_SIZE = 1024;
/** Bytes of page 05h. */
export const COMMAND_EFFECTS_LOG_SIZE = 4096;

/** What page 05h says of each Admin and I/O opcode, indexed by opcode; absent ones are 0, not supported. */
export interface CommandEffects {
  admin: ReadonlyMap<number, number>;
  io: ReadonlyMap<number, number>;
}

/** Writes page 00h or 12h: dwords by log page or feature identifier. */
export function encodeSupportLog(dwords: ReadonlyMap<number, number>, out: Uint8Array): void {
  out.fill(0, 0, SUPPORT_LOG_SIZE);
  putDwords(dwords, out, 0);
}

/** Dwords other than 0 of page 00h or 12h. */
export function decodeSupportLog(bytes: Uint8Array): Map<number, number> {
  return takeDwords(bytes, 0);
}

export function encodeCommandEffects(effects: CommandEffects, out: Uint8Array): void {
  out.fill(0, 0, COMMAND_EFFECTS_LOG_SIZE);
  putDwords(effects.admin, out, 0);
  putDwords(effects.io, out, SUPPORT_LOG_SIZE);
}

export function decodeCommandEffects(bytes: Uint8Array): CommandEffects {
  return { admin: takeDwords(bytes, 0), io: takeDwords(bytes, SUPPORT_LOG_SIZE) };
}

function putDwords(dwords: ReadonlyMap<number, number>, out: Uint8Array, offset: number): void {
  const view = viewOf(out);
  for (const [index, dword] of dwords) {
    if (index > 0xff) throw new RangeError(`identifier ${index} is above 255`);
    view.setUint32(offset + index * 4, dword, true);
  }
}

function takeDwords(bytes: Uint8Array, offset: number): Map<number, number> {
  const view = viewOf(bytes);
  const dwords = new Map<number, number>();
  for (let index = 0; index < 256; index++) {
    const dword = view.getUint32(offset + index * 4, true);
    if (dword !== 0) dwords.set(index, dword);
  }
  return dwords;
}
