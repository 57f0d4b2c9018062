import type { BdevIo } from './bdev-io.ts';
import { BdevError } from './errors.ts';
import { Errno } from './io-status.ts';
import { IoType, ioTypeMask } from './io-type.ts';

/** What a description says of zones. Sizes in blocks; all 0 if the device has none. */
export interface BdevZones {
  readonly zoned: boolean;
  /** From the start of a zone to that of the next: all zones have the same, and the device is a multiple of it. */
  readonly zone_size: number;
  /** Most blocks of one append. */
  readonly max_zone_append_size: number;
  /** Most zones that are open, and open or closed, at once. 0: any number. */
  readonly max_open_zones: number;
  readonly max_active_zones: number;
  /** Zones that are best open at once. 0: nothing is preferred. */
  readonly optimal_open_zones: number;
}

/** The zones of a module's spec. Throws BdevError EINVAL for what cannot be. */
export function zonesOf(spec: Partial<BdevZones> & { readonly num_blocks: number }): BdevZones {
  const zones: BdevZones = {
    zoned: spec.zoned ?? false,
    zone_size: spec.zone_size ?? 0,
    max_zone_append_size: spec.max_zone_append_size ?? 0,
    max_open_zones: spec.max_open_zones ?? 0,
    max_active_zones: spec.max_active_zones ?? 0,
    optimal_open_zones: spec.optimal_open_zones ?? 0,
  };
  if (zones.zoned && (zones.zone_size < 1 || spec.num_blocks % zones.zone_size !== 0))
    throw new BdevError(
      Errno.EINVAL,
      `num_blocks is ${spec.num_blocks}; give a multiple of the zone size of ${zones.zone_size} blocks`,
    );
  return zones;
}

export const ZONE_TYPES = ioTypeMask(IoType.GET_ZONE_INFO, IoType.ZONE_MANAGEMENT, IoType.ZONE_APPEND);

/**
 * True if a zone I/O is one: an append begins at the start of a zone and is not too long; anything else is about
 * whole zones, management about one unless it is for all.
 */
export function zoneIoValid({ zone_size, max_zone_append_size }: BdevZones, io: BdevIo): boolean {
  if (io.offset_blocks % zone_size !== 0) return false;
  if (io.type === IoType.ZONE_APPEND)
    return io.num_blocks <= (max_zone_append_size === 0 ? zone_size : max_zone_append_size);
  if (io.type === IoType.GET_ZONE_INFO) return io.num_blocks % zone_size === 0 && io.zones !== null;
  return io.zone_all ? io.num_blocks % zone_size === 0 : io.num_blocks === zone_size;
}
