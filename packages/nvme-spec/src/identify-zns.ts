/**
 * Identify of the Zoned Namespace Command Set (Zoned Namespace Command Set 1.1, 4.1.5): CNS 05h and 06h with CSI 2.
 */
import { getUint64, setUint64 } from './bytes.ts';
import { MAX_LBA_FORMATS } from './identify-namespace.ts';
import { type Field, repeat, type StructValue, struct, u8, u16, u32 } from './struct.ts';

/** LBA Format Extension: what a namespace's LBA format says of its zones. */
export interface ZonedLbaFormat {
  /** Zone Size, blocks. */
  zsze: number;
  /** Zone Descriptor Extension Size, in units of 64 bytes. */
  zdes: number;
}

function zonedLbaFormat(offset: number): Field<ZonedLbaFormat> {
  return {
    offset,
    get: (view, base) => ({ zsze: getUint64(view, base + offset), zdes: view.getUint8(base + offset + 8) }),
    put(view, base, { zsze, zdes }) {
      setUint64(view, base + offset, zsze);
      view.setUint8(base + offset + 8, zdes);
    },
  };
}

export const identifyNamespaceZns = struct(4096, {
  zoc: u16(0), // zone operation characteristics
  ozcs: u16(2), // optional zoned command support: `ozcs`
  mar: u32(4), // maximum active resources, 0's based; `ZONES_UNLIMITED`
  mor: u32(8), // maximum open resources, 0's based; `ZONES_UNLIMITED`
  rrl: u32(12), // reset recommended limit, seconds
  frl: u32(16), // finish recommended limit, seconds
  lbafe: repeat(2816, MAX_LBA_FORMATS, 16, zonedLbaFormat), // LBA format extensions
});
export type IdentifyNamespaceZns = StructValue<typeof identifyNamespaceZns>;

/** MAR, MOR: any number. */
export const ZONES_UNLIMITED = 0xffff_ffff;

/** Optional Zoned Command Support (OZCS). */
export const ozcs = { readAcrossZones: 0x1, zoneRandomWriteArea: 0x2 } as const;

export const identifyControllerZns = struct(4096, {
  zasl: u8(0), // zone append size limit, 2^n memory pages; 0 is MDTS
});
export type IdentifyControllerZns = StructValue<typeof identifyControllerZns>;
