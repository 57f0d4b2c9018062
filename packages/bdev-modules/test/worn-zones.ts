import { ZoneAction, ZoneState } from '@spdk-ts/zones';
import { expect } from 'vitest';
import type { ModuleBed } from './bed.ts';
import type { ZoneUser } from './zoned.ts';

/**
 * Lets zones 1 and 2 of a bdev with three zones at least fail, after block 1 of each was written, and holds them to what the command
 * set says of such zones.
 */
export async function expectWornZones(
  bed: ModuleBed,
  user: ZoneUser,
  name: string,
  keeps: boolean,
): Promise<void> {
  const { zone_size } = bed.bdevs.get(name)!;
  const wear = (zone_id: number, state: string): Promise<unknown> =>
    bed.until(bed.rpc.call('bdev_set_zone_state', { name, zone_id, state } as never));
  const told: unknown[] = [];
  const owner = { name: 'test', onEvent: () => {}, onMedia: (events: unknown) => told.push(events) };
  const descriptor = bed.bdevs.open(name, { write: false, owner });
  for (const zone of [1, 2]) expect((await user.append(zone * zone_size, [7]))[0]).toBe(0);
  expect(await wear(zone_size, 'read_only')).toBe(true);
  expect(await wear(2 * zone_size, 'offline')).toBe(true);
  expect(told).toEqual([1, 2].map((zone) => [{ offset_blocks: zone * zone_size, num_blocks: zone_size }]));
  expect((await user.states()).slice(0, 3)).toEqual([
    ZoneState.EMPTY,
    ZoneState.READ_ONLY,
    ZoneState.OFFLINE,
  ]);
  expect(await user.read(2 * zone_size, 1)).toEqual([0xbb]);
  if (keeps) expect(await user.read(zone_size, 2)).toEqual([7, 0]);
  expect((await user.append(zone_size, [8]))[0]).toBe(0xba);
  expect((await user.append(2 * zone_size, [8]))[0]).toBe(0xbb);
  expect(await user.manage(zone_size, ZoneAction.RESET)).toBe(0xbf);
  expect(await user.manageAll(ZoneAction.RESET)).toBe(0);
  expect((await user.states()).slice(1, 3)).toEqual([ZoneState.READ_ONLY, ZoneState.OFFLINE]);
  await expect(wear(2 * zone_size, 'read_only')).rejects.toMatchObject({ code: -1 });
  await expect(wear(1, 'offline')).rejects.toMatchObject({ code: -22 });
  await expect(wear(bed.bdevs.get(name)!.num_blocks, 'offline')).rejects.toMatchObject({ code: -22 });
  await descriptor.close();
}
