/**
 * What Identify tells per I/O command set (Base 2.0, 5.17.2; NVM Command Set 1.0, 4.1.5): CNS 05h and 06h for the
 * NVM Command Set, the command set independent namespace data (CNS 08h), and the command sets themselves (1Ch).
 */
import { getUint64, setUint64, viewOf } from './bytes.ts';
import { repeat, type StructValue, struct, u8, u16, u32, u64 } from './struct.ts';

/** CNS 05h, CSI 0: I/O Command Set specific Identify Namespace, NVM Command Set. */
export const identifyNamespaceNvm = struct(4096, {
  lbstm: u64(0), // logical block storage tag mask
  pic: u8(8), // protection information capabilities
  pifa: u8(9), // protection information format attribute
  elbaf: repeat(12, 64, 4, u32), // extended LBA formats: PIF in 8:7, STS in 6:0
  npdgl: u32(268), // namespace preferred deallocate granularity large
  nprg: u32(272), // namespace preferred read granularity
  npra: u32(276), // namespace preferred read alignment
  nors: u32(280), // namespace optimal read size
  npdal: u32(284), // namespace preferred deallocate alignment large
});
export type IdentifyNamespaceNvm = StructValue<typeof identifyNamespaceNvm>;

/** Extended LBA format (ELBAF): the storage tag's size in bits, and the format of protection information. */
export const elbafPif = { guard16: 0x000, guard32: 0x080, guard64: 0x100 } as const;

/** CNS 06h, CSI 0: I/O Command Set specific Identify Controller, NVM Command Set. Sizes as MDTS; 0 is no limit. */
export const identifyControllerNvm = struct(4096, {
  vsl: u8(0), // verify size limit
  wzsl: u8(1), // write zeroes size limit
  wusl: u8(2), // write uncorrectable size limit
  dmrl: u8(3), // dataset management ranges limit
  dmrsl: u32(4), // dataset management range size limit, blocks
  dmsl: u64(8), // dataset management size limit, blocks
});
export type IdentifyControllerNvm = StructValue<typeof identifyControllerNvm>;

/** CNS 08h: I/O Command Set Independent Identify Namespace. */
export const identifyNamespaceIndependent = struct(4096, {
  nsfeat: u8(0), // common namespace features: `independentNsfeat`
  nmic: u8(1), // as in Identify Namespace
  rescap: u8(2), // as in Identify Namespace
  fpi: u8(3), // format progress indicator
  anagrpid: u32(4), // ANA group identifier
  nsattr: u8(8), // namespace attributes
  nvmsetid: u16(10), // NVM set identifier
  endgid: u16(12), // endurance group identifier
  nstat: u8(14), // namespace status: `nstat`
  kpios: u8(15), // key per I/O status
  maxkt: u16(16), // maximum key tag
  rgrpid: u32(20), // reachability group identifier
});
export type IdentifyNamespaceIndependent = StructValue<typeof identifyNamespaceIndependent>;

/** NSFEAT of CNS 08h. */
export const independentNsfeat = {
  idsNeverReused: 0x08,
  rotational: 0x10,
  noVolatileWriteCache: 0x20,
} as const;

/** Namespace Status (NSTAT). */
export const nstat = { ready: 0x01 } as const;

/** Bits of an I/O command set combination, CNS 1Ch; bit n is CSI n. */
export const ioCommandSetBit = { nvm: 0x1, keyValue: 0x2, zoned: 0x4 } as const;

/** Writes CNS 1Ch: up to 512 vectors, each the command sets that can be enabled together. */
export function encodeIoCommandSets(combinations: readonly number[], out: Uint8Array): void {
  const view = viewOf(out);
  out.fill(0, 0, 4096);
  combinations.forEach((vector, i) => {
    setUint64(view, i * 8, vector);
  });
}

/** The vectors of CNS 1Ch, up to the first empty one. */
export function decodeIoCommandSets(bytes: Uint8Array): number[] {
  const view = viewOf(bytes);
  const vectors: number[] = [];
  for (let at = 0; at < 4096; at += 8) {
    const vector = getUint64(view, at);
    if (vector === 0) break;
    vectors.push(vector);
  }
  return vectors;
}
