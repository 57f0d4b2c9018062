import { ZoneAction, ZoneState } from '@spdk-ts/zones';
import { expect, it } from 'vitest';
import { ModuleBed } from '../../test/bed.ts';
import { expectSameAfterLoad } from '../../test/stack.ts';
import { expectWornZones } from '../../test/worn-zones.ts';
import { ZoneUser } from '../../test/zoned.ts';
import control from './index.ts';
import reactorHalf from './reactor.ts';

it('a null bdev has zones, too', async () => {
  const start = (): Promise<ModuleBed> => ModuleBed.start(control, reactorHalf);
  const bed = await start();
  await bed.rpc.call('bdev_null_create', {
    ...{ name: 'N', block_size: 512, num_blocks: 64, zone_size: 32, max_open_zones: 1 },
  });
  await expectSameAfterLoad(bed, start);
  const user = new ZoneUser(bed.host.local[0]!, bed.channel('N'), bed.host.allocateRegionId(), bed.poll);
  expect(await user.append(0, [1, 2])).toEqual([0, 0]);
  expect(await user.append(0, [1, 2])).toEqual([0, 2]);
  expect(await user.write(3, [1])).toBe(0xbc);
  expect(await user.append(32, [1])).toEqual([0, 32]);
  expect(await user.states()).toEqual([ZoneState.CLOSED, ZoneState.IMPLICIT_OPEN]);
  expect(await user.manageAll(ZoneAction.RESET)).toBe(0);
  expect((await user.report()).map(({ write_pointer }) => write_pointer)).toEqual([0, 32]);
  await expect(bed.rpc.call('bdev_null_resize', { name: 'N', new_size: 1 })).rejects.toThrow('zoned');
});

it('whose zones fail when they are told to', async () => {
  const bed = await ModuleBed.start(control, reactorHalf);
  await bed.rpc.call('bdev_null_create', { name: 'N', block_size: 512, num_blocks: 96, zone_size: 32 });
  const user = new ZoneUser(bed.host.local[0]!, bed.channel('N'), bed.host.allocateRegionId(), bed.poll);
  await expectWornZones(bed, user, 'N', false);
});
