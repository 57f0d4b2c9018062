import { type ZoneGeometry, ZoneTable } from '@spdk-ts/zones';
import type { BdevSpec } from './description.ts';
import { BdevError } from './errors.ts';
import { Errno } from './io-status.ts';
import { IoType, ioTypeMask } from './io-type.ts';
import { checkNumber } from './naming-control.ts';

/** A device's zones, for its module's context: see ZoneTable. */
export interface SharedZones {
  readonly geometry: ZoneGeometry;
  readonly memory: SharedArrayBuffer;
}

/** Parameters that make a bdev zoned; sizes in blocks. */
export interface ZoneParams {
  readonly zone_size?: number;
  readonly zone_capacity?: number;
  readonly max_open_zones?: number;
  readonly max_active_zones?: number;
}

/** More would take too long to look through. */
const ZONES_MAX = 1 << 20;

/** The zones that parameters ask for, all empty; null if they ask for none. Throws BdevError EINVAL. */
export function zonesFor(
  params: ZoneParams & { readonly md_size: number },
  num_blocks: number,
): SharedZones | null {
  const geometry = zoneGeometry(params, num_blocks);
  if (geometry !== null && params.md_size > 0)
    throw new BdevError(
      Errno.EINVAL,
      `md_size is ${params.md_size}: blocks of zones have no metadata here; leave it or zone_size out`,
    );
  return geometry === null ? null : { geometry, memory: ZoneTable.allocate(geometry) };
}

function zoneGeometry(params: ZoneParams, num_blocks: number): ZoneGeometry | null {
  const { zone_size = 0, max_open_zones = 0, max_active_zones = 0 } = params;
  if (zone_size === 0) {
    for (const name of ['zone_capacity', 'max_open_zones', 'max_active_zones'] as const)
      if ((params[name] ?? 0) !== 0)
        throw new BdevError(Errno.EINVAL, `${name} is ${params[name]}, but there is no zone_size; give both`);
    return null;
  }
  const zone_capacity = params.zone_capacity || zone_size;
  checkNumber('zone_size', zone_size, Math.ceil(num_blocks / ZONES_MAX), num_blocks);
  checkNumber('zone_capacity', zone_capacity, 1, zone_size);
  if (num_blocks % zone_size !== 0)
    throw new BdevError(
      Errno.EINVAL,
      `zone_size is ${zone_size}, and num_blocks ${num_blocks} is no multiple of it; give a size that divides it`,
    );
  const num_zones = num_blocks / zone_size;
  checkNumber('max_active_zones', max_active_zones, 0, num_zones);
  checkNumber('max_open_zones', max_open_zones, 0, max_active_zones || num_zones);
  return {
    num_zones,
    zone_size,
    zone_capacity,
    max_open_zones,
    max_active_zones,
    zones_per_group: num_zones,
  };
}

/** The parameters that ask for such zones: for saving. */
export function zoneParams(zones: SharedZones | null): ZoneParams {
  if (zones === null) return {};
  const { zone_size, zone_capacity, max_open_zones, max_active_zones } = zones.geometry;
  return { zone_size, zone_capacity, max_open_zones, max_active_zones };
}

/**
 * What zones, if there are any, mean for a module's spec: appends of any length up to a zone's capacity, and of the I/O
 * types that it has without zones those that do not go past the write pointer.
 */
export function zonedSpec(
  zones: SharedZones | null,
  io_types: number,
): Partial<BdevSpec> & { io_types: number } {
  if (zones === null) return { io_types };
  const { zone_size, zone_capacity, max_open_zones, max_active_zones } = zones.geometry;
  return {
    ...{ zoned: true, zone_size, max_open_zones, max_active_zones },
    max_zone_append_size: zone_capacity,
    io_types: zonedTypes(io_types),
  };
}

function zonedTypes(io_types: number): number {
  const beside = ioTypeMask(
    IoType.UNMAP,
    IoType.WRITE_ZEROES,
    IoType.COPY,
    IoType.ZCOPY,
    IoType.COMPARE_AND_WRITE,
  );
  const zones = ioTypeMask(IoType.GET_ZONE_INFO, IoType.ZONE_MANAGEMENT, IoType.ZONE_APPEND);
  return (io_types & ~beside) | zones;
}
