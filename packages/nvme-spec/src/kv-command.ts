/**
 * The Key Value Command Set (Key Value Command Set 1.0, 3.2 and 4.1.5.1). Its commands share the layout of their dwords:
 *
 *     cdw2, cdw3, cdw14, cdw15   key, from its first byte on, zeroes behind it
 *     cdw10                      Store: bytes of the value; Retrieve, List: bytes of the host's buffer
 *     cdw11                      15:8 options, 7:0 bytes of the key
 *
 * Retrieve: dword 0 of the completion is the whole value's length. A list of keys: their number (4 bytes), then for each
 * its length in 2 bytes, the key, and zeroes up to a multiple of 4 bytes.
 */
import { viewOf } from './bytes.ts';
import { bytes, type Field, repeat, type StructValue, struct, u8, u16, u32, u64 } from './struct.ts';

export const KV_KEY_MAX = 16;

/** Store options, as in dword 11. */
export const kvStoreOption = { mustExist: 0x100, mustNotExist: 0x200, noCompression: 0x400 } as const;
/** Retrieve options. */
export const kvRetrieveOption = { raw: 0x100 } as const;

/** One KV Format. */
export interface KvFormat {
  /** Longest key, bytes. */
  kvkml: number;
  /** Longest value, bytes. */
  kvvml: number;
  /** Maximum number of keys; 0: not told. */
  mnks: number;
}

function kvFormat(offset: number): Field<KvFormat> {
  return {
    offset,
    get: (view, base) => ({
      kvkml: view.getUint16(base + offset, true),
      kvvml: view.getUint32(base + offset + 4, true),
      mnks: view.getUint32(base + offset + 8, true),
    }),
    put(view, base, { kvkml, kvvml, mnks }) {
      view.setUint16(base + offset, kvkml, true);
      view.setUint32(base + offset + 4, kvvml, true);
      view.setUint32(base + offset + 8, mnks, true);
    },
  };
}

/** CNS 05h, CSI 1: I/O Command Set specific Identify Namespace, Key Value. */
export const identifyNamespaceKv = struct(4096, {
  nsze: u64(0), // namespace size, bytes
  nuse: u64(16), // namespace utilization, bytes
  nsfeat: u8(24), // namespace features
  nkvf: u8(25), // number of KV formats, 0's based
  nmic: u8(26), // as in Identify Namespace
  rescap: u8(27), // as in Identify Namespace
  fpi: u8(28), // format progress indicator
  kvfc: u8(29), // KV format: index in 3:0
  novg: u32(32), // namespace optimal value granularity, bytes
  anagrpid: u32(36), // ANA group identifier
  nsattr: u8(43), // namespace attributes
  nvmsetid: u16(44), // NVM set identifier
  endgid: u16(46), // endurance group identifier
  nguid: bytes(48, 16), // namespace globally unique identifier, big endian
  eui64: bytes(64, 8), // IEEE extended unique identifier, big endian
  kvf: repeat(72, 16, 16, kvFormat), // KV formats
});
export type IdentifyNamespaceKv = StructValue<typeof identifyNamespaceKv>;

/** The dwords of a command that hold a key: cdw2, cdw3, cdw14, cdw15. Throws RangeError if it is longer than 16 bytes. */
export function kvKeyDwords(key: Uint8Array): { cdw2: number; cdw3: number; cdw14: number; cdw15: number } {
  if (key.length > KV_KEY_MAX) throw new RangeError(`a key of ${key.length} bytes, 16 fit`);
  const padded = new Uint8Array(KV_KEY_MAX);
  padded.set(key);
  const view = viewOf(padded);
  const dword = (at: number): number => view.getUint32(at, true);
  return { cdw2: dword(0), cdw3: dword(4), cdw14: dword(8), cdw15: dword(12) };
}

/** Reads a list of keys. Throws RangeError if it claims more than `bytes` holds. */
export function decodeKvList(list: Uint8Array): Uint8Array[] {
  const view = viewOf(list);
  const keys: Uint8Array[] = [];
  let at = 4;
  for (let left = view.getUint32(0, true); left > 0; left--) {
    const length = view.getUint16(at, true);
    if (at + 2 + length > list.length) throw new RangeError('the list of keys is cut off');
    keys.push(list.slice(at + 2, at + 2 + length));
    at += (2 + length + 3) & ~3;
  }
  return keys;
}
