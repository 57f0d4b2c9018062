/**
 * Identify Namespace for the NVM Command Set (NVM Command Set 1.0, 4.1.5.1, CNS 00h): 4096 bytes.
 */
import { bytes, type Field, repeat, type StructValue, struct, u8, u16, u32, u64, u128 } from './struct.ts';

/** One LBA Format. */
export interface LbaFormat {
  /** Metadata Size, bytes per block. */
  ms: number;
  /** LBA Data Size, 2^n bytes; 0 for a format that is not available. */
  lbads: number;
  /** Relative Performance, 0 best … 3 degraded. */
  rp: number;
}

export const MAX_LBA_FORMATS = 64;

function lbaFormat(offset: number): Field<LbaFormat> {
  return {
    offset,
    get: (view, base) => ({
      ms: view.getUint16(base + offset, true),
      lbads: view.getUint8(base + offset + 2),
      rp: view.getUint8(base + offset + 3) & 0x3,
    }),
    put(view, base, { ms, lbads, rp }) {
      view.setUint16(base + offset, ms, true);
      view.setUint8(base + offset + 2, lbads);
      view.setUint8(base + offset + 3, rp);
    },
  };
}

export const identifyNamespace = struct(4096, {
  nsze: u64(0), // namespace size, blocks
  ncap: u64(8), // namespace capacity, blocks
  nuse: u64(16), // namespace utilization, blocks
  nsfeat: u8(24), // namespace features: `nsfeat`
  nlbaf: u8(25), // number of LBA formats, 0's based
  flbas: u8(26), // formatted LBA size: index in 3:0 and 6:5, `FLBAS_EXTENDED`
  mc: u8(27), // metadata capabilities: `metadataCapability`
  dpc: u8(28), // end-to-end data protection capabilities: `dpc`
  dps: u8(29), // end-to-end data protection type settings: type in 2:0, `DPS_FIRST`
  nmic: u8(30), // multi-path I/O and sharing: `nmic`
  rescap: u8(31), // reservation capabilities: `rescap`
  fpi: u8(32), // format progress indicator
  dlfeat: u8(33), // deallocate logical block features: `dlfeat`
  nawun: u16(34), // namespace atomic write unit normal, 0's based
  nawupf: u16(36), // namespace atomic write unit power fail, 0's based
  nacwu: u16(38), // namespace atomic compare and write unit, 0's based
  nabsn: u16(40), // namespace atomic boundary size normal, 0's based
  nabo: u16(42), // namespace atomic boundary offset
  nabspf: u16(44), // namespace atomic boundary size power fail, 0's based
  noiob: u16(46), // namespace optimal I/O boundary, blocks; 0 is none
  nvmcap: u128(48), // NVM capacity, bytes
  npwg: u16(64), // namespace preferred write granularity, 0's based
  npwa: u16(66), // namespace preferred write alignment, 0's based
  npdg: u16(68), // namespace preferred deallocate granularity, 0's based
  npda: u16(70), // namespace preferred deallocate alignment, 0's based
  nows: u16(72), // namespace optimal write size, 0's based
  mssrl: u16(74), // maximum single source range length (Copy), blocks
  mcl: u32(76), // maximum copy length, blocks
  msrc: u8(80), // maximum source range count, 0's based
  kpios: u8(81), // key per I/O status
  nulbaf: u8(82), // number of unique attribute LBA formats
  kpiodaag: u32(84), // key per I/O data access alignment and granularity
  anagrpid: u32(92), // ANA group identifier
  nsattr: u8(99), // namespace attributes: `nsattr`
  nvmsetid: u16(100), // NVM set identifier
  endgid: u16(102), // endurance group identifier
  nguid: bytes(104, 16), // namespace globally unique identifier, big endian
  eui64: bytes(120, 8), // IEEE extended unique identifier, big endian
  lbaf: repeat(128, MAX_LBA_FORMATS, 4, lbaFormat), // LBA formats
});
export type IdentifyNamespace = StructValue<typeof identifyNamespace>;

/** Namespace Features (NSFEAT). */
export const nsfeat = {
  thinProvisioning: 0x01,
  /** NAWUN, NAWUPF and NACWU are defined. */
  atomicUnits: 0x02,
  /** Deallocated or Unwritten Logical Block error is supported. */
  deallocatedError: 0x04,
  /** NGUID and EUI64 are never reused. */
  idsNeverReused: 0x08,
  /** NPWG, NPWA, NPDG, NPDA and NOWS are defined (OPTPERF). */
  optimalPerformance: 0x10,
} as const;

/** FLBAS: metadata is transferred at the end of each block, as an extended LBA. */
export const FLBAS_EXTENDED = 0x10;

/** Metadata Capabilities (MC). */
export const metadataCapability = { extendedLba: 0x1, separateBuffer: 0x2 } as const;

/** End-to-end Data Protection Capabilities (DPC). */
export const dpc = { type1: 0x01, type2: 0x02, type3: 0x04, firstBytes: 0x08, lastBytes: 0x10 } as const;

/** DPS: protection information lies in the first bytes of the metadata. */
export const DPS_FIRST = 0x08;

/** Namespace Multi-path I/O and Namespace Sharing Capabilities (NMIC). */
export const nmic = { shared: 0x1, dispersed: 0x2 } as const;

/** Reservation Capabilities (RESCAP). */
export const rescap = {
  persistThroughPowerLoss: 0x01,
  writeExclusive: 0x02,
  exclusiveAccess: 0x04,
  writeExclusiveRegistrantsOnly: 0x08,
  exclusiveAccessRegistrantsOnly: 0x10,
  writeExclusiveAllRegistrants: 0x20,
  exclusiveAccessAllRegistrants: 0x40,
  /** Ignore Existing Key as of 1.3. */
  ignoreExistingKey: 0x80,
} as const;

/** Deallocate Logical Block Features (DLFEAT); bits 2:0 say what a deallocated block reads as. */
export const dlfeat = {
  readsZeroes: 0x01,
  readsOnes: 0x02,
  writeZeroesDeallocates: 0x08,
  guardIsCrc: 0x10,
} as const;

/** Namespace Attributes (NSATTR). */
export const nsattr = { writeProtected: 0x1 } as const;

/** Index of the LBA format in use, from FLBAS bits 6:5 and 3:0 (the former count if there are over 16 formats). */
export function lbaFormatIndex(flbas: number, nlbaf: number): number {
  return nlbaf >= 16 ? (flbas & 0xf) | ((flbas >>> 1) & 0x30) : flbas & 0xf;
}
