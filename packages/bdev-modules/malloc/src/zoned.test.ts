import { BdevRegistry, bdevReactorEntry, IoStatus, IoType } from '@spdk-ts/bdev';
import builtMalloc from '@spdk-ts/bdev-malloc';
import { WorkerHost } from '@spdk-ts/reactor';
import { RpcServer } from '@spdk-ts/rpc';
import { ZoneAction, ZoneState } from '@spdk-ts/zones';
import { describe, expect, it } from 'vitest';
import { ModuleBed } from '../../test/bed.ts';
import { Ends, expectSameAfterLoad } from '../../test/stack.ts';
import { expectWornZones } from '../../test/worn-zones.ts';
import { expectFilledByTwo, ZoneUser, zonesAgainstModel } from '../../test/zoned.ts';
import control from './index.ts';
import reactorHalf from './reactor.ts';

const start = (count = 1): Promise<ModuleBed> => ModuleBed.startAll([[control, reactorHalf]], { count });
const shape = { name: 'Z', block_size: 512, num_blocks: 128, zone_size: 32, zone_capacity: 24 };
const create = (bed: ModuleBed, more: object = {}): Promise<string> =>
  bed.rpc.call('bdev_malloc_create', { ...shape, ...more });
const userOf = (bed: ModuleBed, reactor = 0, blocks_max?: number): ZoneUser =>
  new ZoneUser(
    bed.host.local[reactor]!,
    bed.channel('Z', reactor),
    bed.host.allocateRegionId(),
    bed.poll,
    blocks_max,
  );
const { EMPTY, FULL, IMPLICIT_OPEN, EXPLICIT_OPEN, CLOSED } = ZoneState;

/** Blocks of a zone that is cleared in several iterations. */
const LARGE = 1 << 17;
const zoneReset = {
  ...{ type: IoType.ZONE_MANAGEMENT, offset_blocks: 0, num_blocks: LARGE },
  ...{ zone_action: ZoneAction.RESET, zone_all: false },
};

describe('a zoned malloc bdev', () => {
  it('shows its zones, and is saved with them', async () => {
    const bed = await start();
    await create(bed, { max_open_zones: 2, max_active_zones: 3 });
    const [info] = await bed.rpc.call('bdev_get_bdevs', { name: 'Z' });
    expect(info).toMatchObject({
      ...{ zoned: true, zone_size: 32, max_open_zones: 2, optimal_open_zones: 0 },
      supported_io_types: {
        ...{ get_zone_info: true, zone_management: true, zone_append: true },
        ...{ read: true, write: true, unmap: false, copy: false },
      },
    });
    expect(bed.bdevs.config()[1]!.params).toMatchObject({
      ...{ zone_size: 32, zone_capacity: 24, max_open_zones: 2, max_active_zones: 3 },
    });
    await expectSameAfterLoad(bed, start);
    const user = userOf(bed);
    expect(await user.report(32, 2)).toEqual([
      { zone_id: 32, write_pointer: 32, capacity: 24, state: EMPTY, type: 2 },
      { zone_id: 64, write_pointer: 64, capacity: 24, state: EMPTY, type: 2 },
    ]);
    await expect(bed.rpc.call('bdev_malloc_resize', { name: 'Z', new_size: 1 })).rejects.toMatchObject({
      code: -95,
    });
  });

  it('has zones that fail when they are told to', async () => {
    const bed = await start();
    await create(bed, { max_open_zones: 1, max_active_zones: 2 });
    const user = userOf(bed);
    await expectWornZones(bed, user, 'Z', true);
    // They are neither open nor active any more.
    for (const zone of [0, 3]) expect(await user.append(zone * 32, [1])).toEqual([0, zone * 32]);
    await bed.rpc.call('bdev_malloc_create', { name: 'Plain', block_size: 512, num_blocks: 64 });
    const params = { name: 'Plain', zone_id: 0, state: 'offline' } as const;
    await expect(bed.rpc.call('bdev_set_zone_state', params)).rejects.toMatchObject({ code: -95 });
  });

  it('does as the model does, and reads zeroes beyond the write pointer', async () => {
    const bed = await start();
    await create(bed);
    await zonesAgainstModel(userOf(bed), 24);
  });

  it('ends what may not be with the status of the command set', async () => {
    const bed = await start();
    await create(bed, { max_open_zones: 1, max_active_zones: 2 });
    const user = userOf(bed);
    expect(await user.write(1, [1])).toBe(0xbc);
    expect(await user.write(0, Array(25).fill(1))).toBe(0xb8);
    expect(await user.write(0, [1])).toBe(0);
    expect(await user.manage(32, ZoneAction.OPEN)).toBe(0);
    expect(await user.states()).toEqual([CLOSED, EXPLICIT_OPEN, EMPTY, EMPTY]);
    expect(await user.append(0, [1])).toEqual([0xbe, expect.anything()]);
    expect((await user.append(64, [1]))[0]).toBe(0xbd);
    expect(await user.manage(64, ZoneAction.CLOSE)).toBe(0xbf);
    expect(await user.manage(32, ZoneAction.FINISH)).toBe(0);
    expect((await user.append(32, [1]))[0]).toBe(0xb9);
    expect(await user.append(0, [2, 3])).toEqual([0, 1]);
    expect(await user.states()).toEqual([IMPLICIT_OPEN, FULL, EMPTY, EMPTY]);
    expect(await user.read(0, 5)).toEqual([1, 2, 3, 0, 0]);
    expect(await user.manageAll(ZoneAction.RESET)).toBe(0);
    expect(await user.states()).toEqual(Array(4).fill(EMPTY));
    // Not the start of a zone, or longer than an append may be.
    expect((await user.append(1, [1]))[0]).toBe(-22);
    expect(await user.manage(33, ZoneAction.OPEN)).toBe(-22);
    expect((await user.append(0, Array(25).fill(1)))[0]).toBe(-22);
  });

  it('refuses parameters that cannot be, by name', async () => {
    const bed = await start();
    const wrong: [object, RegExp][] = [
      [{ zone_size: 33 }, /zone_size is 33, and num_blocks 128 is no multiple/],
      [{ zone_capacity: 33 }, /zone_capacity is 33/],
      [{ max_open_zones: 5 }, /max_open_zones is 5/],
      [{ max_open_zones: 3, max_active_zones: 2 }, /max_open_zones is 3; .*from 0 to 2/],
      [{ zone_size: 0 }, /zone_capacity is 24, but there is no zone_size/],
    ];
    for (const [more, message] of wrong)
      await expect(create(bed, more)).rejects.toMatchObject({
        code: -22,
        message: expect.stringMatching(message),
      });
  });

  it('clears a large zone over several iterations; writes to it wait, a reset of the bdev lets it end', async () => {
    const bed = await start();
    await create(bed, { num_blocks: 2 * LARGE, zone_size: LARGE, zone_capacity: LARGE });
    const user = userOf(bed, 0, LARGE);
    expect(await user.write(0, Array(LARGE).fill(9))).toBe(0);
    const { channel } = user;
    const resets = new Ends();
    const writes = new Ends();
    expect(channel.submit(Object.assign(channel.getIo()!, { ...zoneReset, owner: resets }))).toBe(0);
    bed.host.poll();
    const { region } = bed.host.local[0]!.buffers;
    expect(channel.writeBlocks(region, 0, 0, 1, writes)).toBe(0);
    bed.host.poll();
    expect([resets.statuses, writes.statuses]).toEqual([[], []]);
    for (let i = 0; i < 50 && writes.statuses.length === 0; i++) await bed.poll();
    expect([resets.statuses, writes.statuses]).toEqual([[IoStatus.SUCCESS], [IoStatus.SUCCESS]]);
    expect(await user.read(1, 4096)).toEqual(Array(4096).fill(0));
    expect(await user.read(LARGE - 4096, 4096)).toEqual(Array(4096).fill(0));
    expect((await user.report())[0]!.write_pointer).toBe(1);

    expect(await user.write(1, Array(LARGE - 1).fill(9))).toBe(0);
    expect(channel.submit(Object.assign(channel.getIo()!, { ...zoneReset, owner: resets }))).toBe(0);
    const ends = new Ends();
    expect(channel.writeBlocks(region, 0, 0, 1, writes)).toBe(0);
    expect(channel.reset(ends)).toBe(0);
    for (let i = 0; i < 100 && ends.statuses.length === 0; i++) await bed.poll();
    expect(ends.statuses).toEqual([IoStatus.SUCCESS]);
    expect(resets.statuses).toEqual([IoStatus.SUCCESS, IoStatus.SUCCESS]);
    expect(writes.statuses).toEqual([IoStatus.SUCCESS, IoStatus.ABORTED]);
    expect((await user.states())[0]).toBe(EMPTY);
  });
});

it('is filled exactly by appends from two workers, while they reset it', async () => {
  const host = await WorkerHost.start({
    cores: [0, 1],
    pool: { small_count: 256, small_bytes: 8192, large_count: 8, large_bytes: 132 * 1024 },
    plugins: [
      bdevReactorEntry,
      builtMalloc.reactorEntry,
      new URL('../../test/driver.mjs', import.meta.url).href,
    ],
  });
  try {
    const bdevs = new BdevRegistry(host);
    const rpc = new RpcServer();
    await builtMalloc.setup({ host, bdevs, rpc });
    await rpc.call('bdev_malloc_create', {
      ...{ name: 'Z', block_size: 512, num_blocks: 16_384, zone_size: 8192, zone_capacity: 8000 },
    });
    const { id } = bdevs.get('Z')!;
    await host.broadcast('driver', 'open', { id });
    for (let round = 0; round < 3; round++) {
      await expectFilledByTwo(host, id, 8192, 8000);
      expect(await host.call(round % 2, 'driver', 'resetZone', { id, zone_id: 8192 })).toBe(IoStatus.SUCCESS);
      expect(await host.call(0, 'driver', 'read', { id, at: 8192 })).toEqual({
        status: IoStatus.SUCCESS,
        values: [0],
      });
    }
    await host.broadcast('driver', 'close', { id });
    await bdevs.stop();
  } finally {
    await host.stop();
  }
});
