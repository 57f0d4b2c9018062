/**
 * Controller properties (Base 2.0, 3.1.3), which PCIe maps at BAR0 and Fabrics reads by Property Get: offsets, and
 * the fields of the 32-bit ones. CAP has a file of its own.
 */

/** Byte offset of each property. */
export const register = {
  cap: 0x00,
  vs: 0x08,
  intms: 0x0c,
  intmc: 0x10,
  cc: 0x14,
  csts: 0x1c,
  nssr: 0x20,
  aqa: 0x24,
  asq: 0x28,
  acq: 0x30,
  cmbloc: 0x38,
  cmbsz: 0x3c,
  bpinfo: 0x40,
  bprsel: 0x44,
  bpmbl: 0x48,
  cmbmsc: 0x50,
  cmbsts: 0x58,
  cmbebs: 0x5c,
  cmbswtp: 0x60,
  nssd: 0x64,
  crto: 0x68,
  pmrcap: 0xe00,
  /** First doorbell of the PCIe transport. */
  doorbells: 0x1000,
} as const;

/** Version (VS, and VER of Identify): `version(2, 0)` is 00020000h. */
export function version(major: number, minor: number, tertiary = 0): number {
  return (major << 16) | (minor << 8) | tertiary;
}

/** `2.0`, or `1.2.1` where there is a tertiary number. */
export function versionText(vs: number): string {
  const tertiary = vs & 0xff;
  return `${vs >>> 16}.${(vs >>> 8) & 0xff}${tertiary ? `.${tertiary}` : ''}`;
}

/** Controller Configuration (CC), offset 14h. */
export interface ControllerConfiguration {
  /** Enable. */
  en: boolean;
  /** I/O Command Set Selected, one of `ccCss`. */
  css: number;
  /** Memory Page Size, 2^(12 + mps) bytes. */
  mps: number;
  /** Arbitration Mechanism Selected. */
  ams: number;
  /** Shutdown Notification, one of `shn`. */
  shn: number;
  /** I/O Submission Queue Entry Size, 2^n bytes. */
  iosqes: number;
  /** I/O Completion Queue Entry Size, 2^n bytes. */
  iocqes: number;
  /** Controller Ready Independent of Media Enable. */
  crime: boolean;
}

export const ccCss = { nvm: 0, allIoCommandSets: 6, adminOnly: 7 } as const;
/** Arbitration mechanisms. */
export const ccAms = { roundRobin: 0, weightedRoundRobin: 1, vendorSpecific: 7 } as const;
export const shn = { none: 0, normal: 1, abrupt: 2 } as const;

export function decodeCc(cc: number): ControllerConfiguration {
  return {
    en: (cc & 0x1) !== 0,
    css: (cc >>> 4) & 0x7,
    mps: (cc >>> 7) & 0xf,
    ams: (cc >>> 11) & 0x7,
    shn: (cc >>> 14) & 0x3,
    iosqes: (cc >>> 16) & 0xf,
    iocqes: (cc >>> 20) & 0xf,
    crime: (cc & 0x100_0000) !== 0,
  };
}

export function encodeCc(cc: Partial<ControllerConfiguration>): number {
  const { en = false, css = 0, mps = 0, ams = 0, shn = 0, iosqes = 0, iocqes = 0, crime = false } = cc;
  const low = (en ? 1 : 0) | (css << 4) | (mps << 7) | (ams << 11) | (shn << 14);
  return (low | (iosqes << 16) | (iocqes << 20) | (crime ? 0x100_0000 : 0)) >>> 0;
}

/** Controller Status (CSTS), offset 1Ch. */
export interface ControllerStatus {
  /** Ready. */
  rdy: boolean;
  /** Controller Fatal Status. */
  cfs: boolean;
  /** Shutdown Status, one of `shst`. */
  shst: number;
  /** NVM Subsystem Reset Occurred. */
  nssro: boolean;
  /** Processing Paused. */
  pp: boolean;
}

export const shst = { normal: 0, occurring: 1, complete: 2 } as const;

export function decodeCsts(csts: number): ControllerStatus {
  return {
    rdy: (csts & 0x1) !== 0,
    cfs: (csts & 0x2) !== 0,
    shst: (csts >>> 2) & 0x3,
    nssro: (csts & 0x10) !== 0,
    pp: (csts & 0x20) !== 0,
  };
}

export function encodeCsts(csts: Partial<ControllerStatus>): number {
  const { rdy = false, cfs = false, shst = 0, nssro = false, pp = false } = csts;
  return (rdy ? 0x1 : 0) | (cfs ? 0x2 : 0) | (shst << 2) | (nssro ? 0x10 : 0) | (pp ? 0x20 : 0);
}

/** Written to NSSR, offset 20h, to reset the NVM subsystem: "NVMe". */
export const NSSR_RESET = 0x4e56_4d65;

/** Admin Queue Attributes (AQA), offset 24h: numbers of entries, here not 0's based. */
export function decodeAqa(aqa: number): { asqEntries: number; acqEntries: number } {
  return { asqEntries: (aqa & 0xfff) + 1, acqEntries: ((aqa >>> 16) & 0xfff) + 1 };
}

export function encodeAqa(asqEntries: number, acqEntries: number): number {
  return (asqEntries - 1) | ((acqEntries - 1) << 16);
}

/** Controller Ready Timeouts (CRTO), offset 68h, in units of 500 ms: with media, and independent of it. */
export function decodeCrto(crto: number): { crwmt: number; crimt: number } {
  return { crwmt: crto & 0xffff, crimt: crto >>> 16 };
}

export function encodeCrto(crwmt: number, crimt: number): number {
  return (crwmt | (crimt << 16)) >>> 0;
}
