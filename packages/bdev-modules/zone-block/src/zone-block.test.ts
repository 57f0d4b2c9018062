import { copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { IoStatus } from '@spdk-ts/bdev';
import { ZoneAction, ZoneState } from '@spdk-ts/zones';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import file from '../../file/src/index.ts';
import fileReactor from '../../file/src/reactor.ts';
import malloc from '../../malloc/src/index.ts';
import mallocReactor from '../../malloc/src/reactor.ts';
import passthru from '../../passthru/src/index.ts';
import passthruReactor from '../../passthru/src/reactor.ts';
import split from '../../split/src/index.ts';
import splitReactor from '../../split/src/reactor.ts';
import { ModuleBed } from '../../test/bed.ts';
import { Ends, expectSameAfterLoad } from '../../test/stack.ts';
import { expectWornZones } from '../../test/worn-zones.ts';
import { ZoneUser, zonesAgainstModel } from '../../test/zoned.ts';
import control from './index.ts';
import reactorHalf from './reactor.ts';

const start = (count = 1): Promise<ModuleBed> =>
  ModuleBed.startAll(
    [
      [malloc, mallocReactor],
      [file, fileReactor],
      [passthru, passthruReactor],
      [split, splitReactor],
      [control, reactorHalf],
    ],
    { count },
  );
const CAPACITY = 24;
const SIZE = 32;
/** Blocks of 512 bytes before the first zone. */
const FIRST = 128;
const base = (bed: ModuleBed, num_blocks = FIRST + 4 * SIZE): Promise<string> =>
  bed.rpc.call('bdev_malloc_create', { name: 'M', block_size: 512, num_blocks });
const create = (bed: ModuleBed, more: object = {}): Promise<string> =>
  bed.rpc.call('bdev_zone_block_create', {
    ...{ name: 'Z', base_bdev: 'M', zone_capacity: CAPACITY, optimal_open_zones: 1 },
    ...more,
  });
const remove = (bed: ModuleBed): Promise<boolean> =>
  bed.until(bed.rpc.call('bdev_zone_block_delete', { name: 'Z' }));
const userOf = (bed: ModuleBed, name = 'Z', reactor = 0): ZoneUser =>
  new ZoneUser(bed.host.local[reactor]!, bed.channel(name, reactor), bed.host.allocateRegionId(), bed.poll);
const { EMPTY, FULL, IMPLICIT_OPEN, EXPLICIT_OPEN, CLOSED, READ_ONLY, OFFLINE } = ZoneState;

describe('a zone_block bdev', () => {
  it('has the shape that SPDK gives it, and empty zones at first', async () => {
    const bed = await start();
    await base(bed);
    expect(await bed.until(create(bed))).toBe('Z');
    const [info] = await bed.rpc.call('bdev_get_bdevs', { name: 'Z' });
    expect(info).toMatchObject({
      ...{ product_name: 'zone_block', block_size: 512, num_blocks: 4 * SIZE },
      ...{ zoned: true, zone_size: SIZE, max_open_zones: 0, optimal_open_zones: 1 },
      driver_specific: {
        zoned_block: { name: 'Z', base_bdev: 'M', zone_capacity: CAPACITY, optimal_open_zones: 1 },
      },
    });
    expect((await bed.rpc.call('bdev_get_bdevs', { name: 'M' }))[0]).toMatchObject({
      claim_type: 'exclusive_write',
    });
    expect(await userOf(bed).states()).toEqual(Array(4).fill(EMPTY));
  });

  it('does as the model does, whatever the base held before', async () => {
    const bed = await start();
    await base(bed);
    const before = userOf(bed, 'M');
    for (let at = 0; at < FIRST + 4 * SIZE; at += 64)
      expect(await before.write(at, Array(64).fill(0xab))).toBe(0);
    before.channel.put();
    await bed.until(create(bed));
    await zonesAgainstModel(userOf(bed), CAPACITY);
  });

  it('has zones that fail when they are told to, for good; who stands on them hears of it', async () => {
    const bed = await start();
    await base(bed);
    await bed.until(create(bed));
    const user = userOf(bed);
    await expectWornZones(bed, user, 'Z', true);
    user.channel.put();
    await remove(bed);
    await bed.until(create(bed));
    const again = userOf(bed);
    expect(await again.states()).toEqual([EMPTY, READ_ONLY, OFFLINE, EMPTY]);
    expect(await again.read(SIZE, 2)).toEqual([7, 0]);
    again.channel.put();
    await bed.rpc.call('bdev_passthru_create', { name: 'P', base_bdev_name: 'Z' });
    await bed.rpc.call('bdev_split_create', { base_bdev: 'P', split_count: 2 });
    const told: unknown[] = [];
    for (const name of ['Pp0', 'Pp1']) {
      const owner = { name, onEvent: () => {}, onMedia: (events: unknown) => told.push([name, events]) };
      bed.bdevs.open(name, { write: true, owner });
    }
    const worn = { name: 'Z', zone_id: 3 * SIZE, state: 'read_only' } as const;
    await bed.until(bed.rpc.call('bdev_set_zone_state', worn));
    expect(told).toEqual([['Pp1', [{ offset_blocks: SIZE, num_blocks: SIZE }]]]);
    const upper = { ...worn, name: 'P' };
    await expect(bed.until(bed.rpc.call('bdev_set_zone_state', upper))).rejects.toMatchObject({ code: -95 });
  });

  it('is passed on by stacked bdevs, also in parts', async () => {
    const bed = await start();
    await base(bed);
    await bed.until(create(bed));
    await bed.rpc.call('bdev_passthru_create', { name: 'P', base_bdev_name: 'Z' });
    await bed.rpc.call('bdev_split_create', { base_bdev: 'P', split_count: 2 });
    const user = userOf(bed, 'Pp1');
    expect(await user.append(SIZE, [7, 8])).toEqual([0, SIZE]);
    expect(await user.append(SIZE, [9])).toEqual([0, SIZE + 2]);
    expect((await user.report()).map(({ zone_id, write_pointer }) => [zone_id, write_pointer])).toEqual([
      [0, 0],
      [SIZE, SIZE + 3],
    ]);
    expect(await user.read(SIZE, 4)).toEqual([7, 8, 9, 0]);
    const other = userOf(bed, 'Pp0');
    expect(await other.append(0, [1])).toEqual([0, 0]);
    expect(await user.manageAll(ZoneAction.RESET)).toBe(0);
    expect(await user.states()).toEqual([EMPTY, EMPTY]);
    expect(await other.states()).toEqual([IMPLICIT_OPEN, EMPTY]);
  });

  it('keeps write pointers and states over a restart, and is saved as it was made', async () => {
    const bed = await start();
    await base(bed);
    await bed.until(create(bed));
    let user = userOf(bed);
    expect(await user.append(0, [1, 2, 3])).toEqual([0, 0]);
    expect(await user.append(SIZE, [4])).toEqual([0, SIZE]);
    expect(await user.manage(SIZE, ZoneAction.FINISH)).toBe(0);
    expect(await user.manage(2 * SIZE, ZoneAction.OPEN)).toBe(0);
    expect(await user.append(3 * SIZE, Array(CAPACITY).fill(5))).toEqual([0, 3 * SIZE]);
    expect(await user.states()).toEqual([IMPLICIT_OPEN, FULL, EXPLICIT_OPEN, FULL]);
    user.channel.put();
    await remove(bed);
    await bed.until(create(bed));
    user = userOf(bed);
    // What was open is closed, or empty if nothing was written.
    expect(await user.states()).toEqual([CLOSED, FULL, EMPTY, FULL]);
    expect((await user.report())[0]!.write_pointer).toBe(3);
    expect(await user.read(0, 6)).toEqual([1, 2, 3, 0, 0, 0]);
    expect(await user.read(SIZE, 3)).toEqual([4, 0, 0]);
    expect(await user.manageAll(ZoneAction.RESET)).toBe(0);
    user.channel.put();
    await remove(bed);
    await bed.until(create(bed));
    expect(await userOf(bed).states()).toEqual(Array(4).fill(EMPTY));
    await expectSameAfterLoad(bed, start);
  });

  it('waits for its base, goes with it and comes back with it', async () => {
    const bed = await start();
    await create(bed);
    await bed.until(base(bed));
    const user = userOf(bed);
    expect(await user.append(0, [1])).toEqual([0, 0]);
    const removal = bed.rpc.call('bdev_malloc_delete', { name: 'M' });
    await bed.poll();
    await bed.poll();
    expect((await user.append(0, [1]))[0]).toBe(-19);
    user.channel.put();
    expect(await bed.until(removal)).toBe(true);
    expect(bed.bdevs.list()).toEqual([]);
    await bed.until(base(bed));
    const again = userOf(bed);
    expect(await again.states()).toEqual(Array(4).fill(EMPTY));
    again.channel.put();
    await bed.until(bed.bdevs.stop());
  });

  it('refuses what cannot be, and says what can', async () => {
    const bed = await start();
    await base(bed);
    await bed.rpc.call('bdev_malloc_create', {
      ...{ name: 'Zoned', block_size: 512, num_blocks: 256, zone_size: 32 },
    });
    const wrong: [object, number, RegExp][] = [
      [{ zone_capacity: 0 }, -22, /zone_capacity is 0; give at least 1/],
      [{ optimal_open_zones: 0 }, -22, /optimal_open_zones is 0/],
      [{ zone_capacity: 200 }, -22, /zone_capacity is 200 .* makes 0 zones of 256 blocks/],
      [{ optimal_open_zones: 5 }, -22, /makes 0 zones of 32 blocks/],
      [{ base_bdev: 'Zoned' }, -22, /bdev Zoned is zoned already/],
    ];
    for (const [more, code, message] of wrong)
      await expect(bed.until(create(bed, more))).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message),
      });
    await bed.until(create(bed));
    await expect(create(bed)).rejects.toMatchObject({ code: -17 });
    await expect(create(bed, { name: 'Y' })).rejects.toMatchObject({ code: -1 });
    expect(await remove(bed)).toBe(true);
    await expect(bed.until(create(bed, { zone_capacity: 16 }))).rejects.toMatchObject({
      code: -22,
      message: expect.stringMatching(/bdev M holds zones, but zone_capacity is 16, and theirs is 24/),
    });
    expect(await bed.until(create(bed, { zone_capacity: 16, format: true }))).toBe('Z');
    expect(bed.bdevs.get('Z')!.zone_size).toBe(16);
    await expect(bed.rpc.call('bdev_zone_block_delete', { name: 'Y' })).rejects.toMatchObject({ code: -19 });
  });

  it('lets writes and appends from two reactors go on while one of them resets zones', async () => {
    const bed = await start(2);
    await base(bed);
    await bed.until(create(bed));
    const users = [userOf(bed), userOf(bed, 'Z', 1)];
    const { channel } = users[1]!;
    const { region } = bed.host.local[1]!.buffers;
    for (let round = 0; round < 5; round++) {
      const ends = new Ends();
      expect((await users[0]!.append(0, [1, 2]))[0]).toBe(0);
      const reset = users[0]!.manageAll(ZoneAction.RESET);
      expect(channel.writeBlocks(region, 0, 0, 1, ends)).toBe(0);
      expect(channel.flushBlocks(0, 1, ends)).toBe(0);
      expect(await reset).toBe(0);
      for (let i = 0; i < 50 && ends.statuses.length < 2; i++) await bed.poll();
      expect(ends.statuses).toEqual([IoStatus.SUCCESS, IoStatus.SUCCESS]);
      expect(await users[0]!.manage(0, ZoneAction.RESET)).toBe(0);
    }
    const resets = new Ends();
    expect((await users[0]!.append(0, [1, 2]))[0]).toBe(0);
    const reset = users[0]!.manageAll(ZoneAction.RESET);
    expect(channel.reset(resets)).toBe(0);
    expect([0, IoStatus.ABORTED]).toContain(await reset);
    for (let i = 0; i < 50 && resets.statuses.length === 0; i++) await bed.poll();
    expect(resets.statuses).toEqual([IoStatus.SUCCESS]);
    expect(await users[1]!.manageAll(ZoneAction.RESET)).toBe(0);
    expect(await users[1]!.append(0, [1])).toEqual([0, 0]);
  });
});

describe('over a file', () => {
  let folder = '';
  const path = (name: string): string => join(folder, name);
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'zone-block-'));
    writeFileSync(path('disk'), '');
    truncateSync(path('disk'), (FIRST + 4 * SIZE) * 512);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** Real files take real time: no number of iterations is too many. */
  async function ended<T>(bed: ModuleBed, promise: Promise<T>): Promise<T> {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    promise.then(mark, mark);
    while (!settled) await bed.poll();
    return await promise;
  }

  async function open(name: string): Promise<ModuleBed> {
    const bed = await start();
    await bed.rpc.call('bdev_file_create', { name: 'M', filename: path(name), block_size: 512 });
    await ended(bed, create(bed));
    return bed;
  }
  const stop = (bed: ModuleBed): Promise<void> => ended(bed, bed.bdevs.stop());

  it('keeps everything over an orderly end, without a flush', async () => {
    const bed = await open('disk');
    const user = userOf(bed);
    expect(await user.append(0, [1, 2])).toEqual([0, 0]);
    user.channel.put();
    await stop(bed);
    const again = await open('disk');
    expect(await userOf(again).read(0, 3)).toEqual([1, 2, 0]);
    expect(await userOf(again).append(0, [3])).toEqual([0, 2]);
  });

  it('has on the base what was flushed, written with force unit access, reset or finished', async () => {
    const bed = await open('disk');
    const user = userOf(bed);
    const pointers = async (): Promise<number[]> => {
      copyFileSync(path('disk'), path('copy'));
      const copy = await open('copy');
      const other = userOf(copy);
      const found = (await other.report()).map(({ zone_id, write_pointer }) => write_pointer - zone_id);
      other.channel.put();
      await stop(copy);
      return found;
    };
    expect(await user.append(0, [1, 2])).toEqual([0, 0]);
    expect(await pointers()).toEqual([0, 0, 0, 0]);
    expect(await user.flush()).toBe(0);
    expect(await pointers()).toEqual([2, 0, 0, 0]);
    expect(await user.write(2, [3], true)).toBe(0);
    expect(await pointers()).toEqual([3, 0, 0, 0]);
    expect(await user.append(SIZE, [4])).toEqual([0, SIZE]);
    expect(await user.manage(SIZE, ZoneAction.FINISH)).toBe(0);
    expect(await pointers()).toEqual([3, CAPACITY, 0, 0]);
    expect(await user.manage(0, ZoneAction.RESET)).toBe(0);
    expect(await pointers()).toEqual([0, CAPACITY, 0, 0]);
    user.channel.put();
    await stop(bed);
  });

  it('finds the older copy where the newer one is damaged, and says so where both are', async () => {
    const bed = await open('disk');
    const user = userOf(bed);
    expect(await user.append(0, [1])).toEqual([0, 0]);
    expect(await user.flush()).toBe(0);
    expect(await user.append(0, [1])).toEqual([0, 1]);
    expect(await user.flush()).toBe(0);
    user.channel.put();
    await stop(bed);
    // Format, then two flushes: generations 1 to 3, in blocks 2 and 3.
    const bytes = readFileSync(path('disk'));
    expect([bytes.readUInt32LE(2 * 512 + 8), bytes.readUInt32LE(3 * 512 + 8)]).toEqual([2, 3]);
    bytes[3 * 512 + 100]! ^= 1;
    bytes[100]! ^= 1;
    writeFileSync(path('disk'), bytes);
    const again = await open('disk');
    expect((await userOf(again).report())[0]!.write_pointer).toBe(1);
    bytes[2 * 512]! ^= 1;
    writeFileSync(path('bad'), bytes);
    await expect(open('bad')).rejects.toMatchObject({
      code: -5,
      message: expect.stringMatching(
        /both copies of the state of zones 0 and following on bdev M are damaged/,
      ),
    });
  });

  it('takes zones that are worn out for what the base says they are', async () => {
    const bed = await open('disk');
    const before = userOf(bed);
    for (const zone of [0, 1]) expect(await before.append(zone * SIZE, [1, 2])).toEqual([0, zone * SIZE]);
    expect(await before.flush()).toBe(0);
    before.channel.put();
    await stop(bed);
    // Generation 2 of the page is in block 2: zone 0 becomes read only, zone 1 offline.
    const bytes = readFileSync(path('disk'));
    const page = bytes.subarray(2 * 512, 3 * 512);
    expect(page.readUInt32LE(8)).toBe(2);
    page[40 + 7] = 4;
    page[48 + 7] = 5;
    page.writeUInt32LE(0, 4);
    page.writeUInt32LE(crc32(page), 4);
    writeFileSync(path('disk'), bytes);

    const worn = await open('disk');
    const user = userOf(worn);
    expect(await user.states()).toEqual([READ_ONLY, OFFLINE, EMPTY, EMPTY]);
    expect(await user.read(0, 3)).toEqual([1, 2, 0]);
    expect(await user.read(SIZE, 1)).toEqual([0xbb]);
    expect(await user.read(SIZE - 1, 2)).toEqual([0xbb]);
    expect(await user.write(2, [3])).toBe(0xba);
    expect((await user.append(0, [3]))[0]).toBe(0xba);
    expect((await user.append(SIZE, [3]))[0]).toBe(0xbb);
    const { RESET, FINISH, OPEN, CLOSE } = ZoneAction;
    for (const action of [RESET, FINISH, OPEN, CLOSE])
      for (const zone of [0, SIZE]) expect(await user.manage(zone, action)).toBe(0xbf);
    for (const action of [RESET, FINISH, OPEN, CLOSE]) expect(await user.manageAll(action)).toBe(0);
    expect(await user.states()).toEqual([READ_ONLY, OFFLINE, EMPTY, EMPTY]);
    // Only what is read only can be taken offline, and stays so.
    expect(await user.manage(2 * SIZE, ZoneAction.OFFLINE)).toBe(0xbf);
    expect(await user.manage(0, ZoneAction.OFFLINE)).toBe(0);
    expect(await user.read(0, 1)).toEqual([0xbb]);
    copyFileSync(path('disk'), path('copy'));
    const after = userOf(await open('copy'));
    expect(await after.states()).toEqual([OFFLINE, OFFLINE, EMPTY, EMPTY]);
    expect(await after.append(2 * SIZE, [9])).toEqual([0, 2 * SIZE]);
  });
});
