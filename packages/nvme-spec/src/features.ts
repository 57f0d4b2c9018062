/**
 * Values of features (Base 2.0, 5.27.1; NVM Command Set 1.0, 4.1.3): dword 11 of Set Features, dword 0 of the
 * completion of Get Features. Bit masks where a value is flags, a pair of functions where it is numbers. The
 * features that live in data (Host Behavior Support, Host Identifier) are at the end.
 */
import { type StructValue, struct, u8, u16 } from './struct.ts';

/** 01h Arbitration: burst as 2^n (7: no limit) and 0's based weights. */
export interface Arbitration {
  ab: number;
  lpw: number;
  mpw: number;
  hpw: number;
}

export function decodeArbitration(dword: number): Arbitration {
  return { ab: dword & 0x7, lpw: (dword >>> 8) & 0xff, mpw: (dword >>> 16) & 0xff, hpw: dword >>> 24 };
}

export function encodeArbitration({ ab, lpw, mpw, hpw }: Arbitration): number {
  return (ab | (lpw << 8) | (mpw << 16) | (hpw << 24)) >>> 0;
}

/** 02h Power Management: power state and workload hint. */
export function decodePowerManagement(dword: number): { ps: number; wh: number } {
  return { ps: dword & 0x1f, wh: (dword >>> 5) & 0x7 };
}

/** 04h Temperature Threshold. */
export interface TemperatureThreshold {
  /** Kelvin. */
  tmpth: number;
  /** 0 composite, 1 … 8 a sensor, Fh all (Set Features only). */
  tmpsel: number;
  /** 0 over, 1 under temperature threshold. */
  thsel: number;
}

export function decodeTemperatureThreshold(dword: number): TemperatureThreshold {
  return { tmpth: dword & 0xffff, tmpsel: (dword >>> 16) & 0xf, thsel: (dword >>> 20) & 0x3 };
}

export function encodeTemperatureThreshold({ tmpth, tmpsel, thsel }: TemperatureThreshold): number {
  return tmpth | (tmpsel << 16) | (thsel << 20);
}

/** 05h Error Recovery: time limit in units of 100 ms (0: none), and errors on deallocated blocks. */
export function decodeErrorRecovery(dword: number): { tler: number; dulbe: boolean } {
  return { tler: dword & 0xffff, dulbe: (dword & 0x1_0000) !== 0 };
}

/** 06h Volatile Write Cache: bit 0, Write Cache Enable. */
export const VWC_WCE = 0x1;

/** 07h Number of Queues: I/O queues wanted or granted, here not 0's based. */
export function decodeNumberOfQueues(dword: number): { submission: number; completion: number } {
  return { submission: (dword & 0xffff) + 1, completion: (dword >>> 16) + 1 };
}

export function encodeNumberOfQueues(submission: number, completion: number): number {
  return ((submission - 1) | ((completion - 1) << 16)) >>> 0;
}

/** 08h Interrupt Coalescing: threshold in entries (0's based), time in units of 100 µs. */
export function decodeInterruptCoalescing(dword: number): { thr: number; time: number } {
  return { thr: dword & 0xff, time: (dword >>> 8) & 0xff };
}

/** 09h Interrupt Vector Configuration: vector, and whether coalescing is disabled for it. */
export function decodeInterruptVector(dword: number): { iv: number; cd: boolean } {
  return { iv: dword & 0xffff, cd: (dword & 0x1_0000) !== 0 };
}

/** 0Ah Write Atomicity Normal: bit 0, Disable Normal. */
export const WRITE_ATOMICITY_DN = 0x1;

/**
 * 0Bh Asynchronous Event Configuration. Bits 7:0 are the warnings of `criticalWarning`, the others enable notices
 * and coincide with `oaes` where both exist.
 */
export const aec = {
  smartMask: 0xff,
  namespaceAttribute: 0x100,
  firmwareActivation: 0x200,
  telemetry: 0x400,
  anaChange: 0x800,
  predictableLatency: 0x1000,
  lbaStatus: 0x2000,
  enduranceGroup: 0x4000,
  normalShutdown: 0x8000,
  zoneDescriptorChanged: 0x800_0000,
  discoveryLogChange: 0x8000_0000,
} as const;

// 0Fh Keep Alive Timer: the whole dword is KATO, in milliseconds; 0 disables it.

/** 81h Host Identifier, bit 0 of dword 11: Enable Extended Host Identifier, 16 bytes of data instead of 8. */
export const HOST_ID_EXHID = 0x1;

/** 83h Reservation Persistence, bit 0: Persist Through Power Loss. */
export const RESERVATION_PTPL = 0x1;

/** 16h Host Behavior Support: 512 bytes of data; a byte of 1 enables. */
export const hostBehavior = struct(512, {
  acre: u8(0), // advanced command retry: the host honours CRD
  etdas: u8(1), // extended telemetry data area 4
  lbafee: u8(2), // LBA format extension
  hdisns: u8(3), // host dispersed namespace support
  cdfe: u16(4), // copy descriptor formats enabled
});
export type HostBehavior = StructValue<typeof hostBehavior>;
