import { getUint64, viewOf } from '@spdk-ts/nvme-spec';

/** What Identify tells of a zoned namespace (Zoned Namespace Command Set 1.1, 4.1.5.1, CNS 05h); blocks and zones. */
export interface ZonedIdentify {
  readonly zone_size: number;
  /** 0: no limit. */
  readonly max_open_zones: number;
  readonly max_active_zones: number;
  /** Reads may cross zones. */
  readonly cross_reads: boolean;
}

const OZCS = 2;
const MAR = 4;
const MOR = 8;
const LBA_FORMAT_EXTENSIONS = 2816;
const EXTENSION_BYTES = 16;
const READ_ACROSS_ZONES = 1;

/** 0's based, all ones for no limit. */
const limit = (value: number): number => (value === 0xffff_ffff ? 0 : value + 1);

/** `format`: index of the LBA format in use. */
export function decodeZoned(bytes: Uint8Array, format: number): ZonedIdentify {
  const view = viewOf(bytes);
  return {
    zone_size: getUint64(view, LBA_FORMAT_EXTENSIONS + format * EXTENSION_BYTES),
    max_open_zones: limit(view.getUint32(MOR, true)),
    max_active_zones: limit(view.getUint32(MAR, true)),
    cross_reads: (view.getUint16(OZCS, true) & READ_ACROSS_ZONES) !== 0,
  };
}
