import { setTimeout as sleep } from 'node:timers/promises';
import { BUSY, ZoneState, ZoneTable } from '@spdk-ts/zones';
import type { BdevDescription } from './description.ts';
import { BdevError } from './errors.ts';
import { Errno } from './io-status.ts';
import type { SharedZones } from './zone-geometry.ts';

/** What a zone whose medium has failed becomes. */
export type WornZoneState = 'read_only' | 'offline';

/** How long to wait for a reset that is under way, ms. */
const PATIENCE_MS = 2;

/** Why a bdev's zones cannot be made to fail: they are not its module's, or there are none. */
export function noZonesToWear({ name, product_name, zoned }: BdevDescription): BdevError {
  return new BdevError(
    Errno.ENOTSUP,
    zoned
      ? `the zones of bdev ${name} are not those of a ${product_name}: give the malloc, null or zone_block bdev that has them; those of devices fail by themselves`
      : `bdev ${name} has no zones; give a zoned one`,
  );
}

/** Throws BdevError unless a zone starts at that block: ENOTSUP where there are no zones, EINVAL. */
export function checkZoneId(description: BdevDescription, zone_id: number): void {
  const { name, zoned, zone_size, num_blocks } = description;
  if (!zoned) throw noZonesToWear(description);
  if (Number.isSafeInteger(zone_id) && zone_id >= 0 && zone_id < num_blocks && zone_id % zone_size === 0)
    return;
  throw new BdevError(
    Errno.EINVAL,
    `zone_id is ${zone_id}: give the first block of a zone of bdev ${name}, a multiple of ${zone_size} below ${num_blocks}`,
  );
}

/**
 * For modules: makes a zone of a {@link SharedZones} read only or offline. `zone_id`: its first block. Rejects with BdevError
 * EPERM if it is offline and should become read only.
 */
export async function wearZone(
  { geometry, memory }: SharedZones,
  zone_id: number,
  state: WornZoneState,
): Promise<void> {
  const table = new ZoneTable(geometry, memory);
  const wanted = state === 'offline' ? ZoneState.OFFLINE : ZoneState.READ_ONLY;
  for (;;) {
    const status = table.wear(table.zoneOf(zone_id), wanted);
    if (status === 0) return;
    if (status !== BUSY)
      throw new BdevError(
        Errno.EPERM,
        `the zone at block ${zone_id} is offline, and nothing makes it readable again; give another zone_id`,
      );
    await sleep(PATIENCE_MS);
  }
}
