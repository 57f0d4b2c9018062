import {
  type BdevIo,
  Errno,
  getZoneInfo,
  IoStatus,
  IoType,
  ZoneReport,
  zoneAppend,
  zoneManagement,
} from '@spdk-ts/bdev';
import { ZoneAction, ZoneState } from '@spdk-ts/zones';
import { ZoneUser, zonesAgainstModel } from '../../../packages/bdev-modules/test/zoned.ts';
import { IO_OBJECTS } from '../bench.ts';
import type { Trial } from '../trial.ts';
import { type Check, same } from './check.ts';

const BLOCKS_MAX = 64;
const APPENDS = 12;

/** Runs `fn` with a user of the bdev on each reactor, and gives back what they hold. */
async function withUsers(trial: Trial, fn: (users: readonly ZoneUser[]) => Promise<void>): Promise<void> {
  const { bench, description } = trial;
  const users = [0, 1].map((index) => {
    const region = bench.host.allocateRegionId();
    const poll = (): Promise<void> => bench.poll();
    const channel = bench.channel(description, index);
    return new ZoneUser(bench.reactor(index), channel, region, poll, BLOCKS_MAX);
  });
  try {
    await fn(users);
    same('free bdev I/O objects', countObjects(users), IO_OBJECTS);
  } finally {
    users.forEach(({ channel, region }, index) => {
      channel.put();
      bench.reactor(index).regions.remove(region);
    });
  }
}

function countObjects(users: readonly ZoneUser[]): number {
  const objects: BdevIo[] = [];
  for (const { channel } of users)
    for (let io = channel.getIo(); io !== null; io = channel.getIo()) objects.push(io);
  for (const io of objects) io.free();
  return objects.length;
}

/** An I/O under way, and how it ends. */
interface Pending {
  readonly zone: number;
  readonly value: number;
  readonly blocks: number;
  status: number;
  sc: number;
  location: number;
}

/** Appends to random zones from both reactors, until `count` are under way. Each has a value of its own. */
function append(trial: Trial, users: readonly ZoneUser[], zones: number, value: number): Pending {
  const { random } = trial;
  const user = users[random.below(2)]!;
  const { zone_size } = trial.description;
  const pending: Pending = {
    ...{ zone: random.below(zones), value, blocks: 1 },
    ...{ status: IoStatus.PENDING, sc: 0, location: -1 },
  };
  const slot = value % BLOCKS_MAX;
  user.fillSlot(slot, value);
  const { block_size } = user.channel;
  const owner = {
    bdevIoDone(io: BdevIo): void {
      pending.status = io.status;
      pending.sc = io.sc;
      pending.location = io.append_location;
      io.free();
    },
  };
  const at = slot * block_size;
  same(
    'errno of an append',
    zoneAppend(user.channel, user.region, at, pending.zone * zone_size, 1, owner),
    0,
  );
  return pending;
}

const model: Check = {
  title: 'does zone I/O one at a time as a model of zones does, on either reactor',
  run: (trial) =>
    withUsers(trial, async (users) => {
      const capacity = (await users[0]!.report(0, 1))[0]!.capacity;
      const options = { numRuns: trial.effort.runs, seed: trial.effort.seed };
      for (const user of users) await zonesAgainstModel(user, capacity, options, trial.subject.promises.data);
    }),
};

const together: Check = {
  title: 'gives every append of two reactors a place of its own, with its data, up to the capacity',
  run: (trial) =>
    withUsers(trial, async (users) => {
      const user = users[0]!;
      const { zone_size, num_blocks } = trial.description;
      const zones = Math.min(3, num_blocks / zone_size);
      for (let run = 0; run < trial.effort.runs; run++) {
        same('status of a reset of all', await user.manageAll(ZoneAction.RESET), 0);
        const capacity = (await user.report(0, 1))[0]!.capacity;
        const all: Pending[] = [];
        const most = Math.min(zones * capacity + APPENDS, 200);
        while (all.length < most || all.some(({ status }) => status === IoStatus.PENDING)) {
          const under_way = all.filter(({ status }) => status === IoStatus.PENDING).length;
          if (under_way < APPENDS && all.length < most)
            all.push(append(trial, users, zones, 1 + (all.length % 192)));
          else await trial.bench.poll();
        }
        const placed = all.filter(({ status }) => status === IoStatus.SUCCESS);
        const places = placed.map(({ location }) => location);
        same('that no place is given twice', new Set(places).size, places.length);
        for (const { zone, status, sc } of all)
          if (status !== IoStatus.SUCCESS)
            same(`how an append to full zone ${zone} ends`, [status, sc], [IoStatus.NVME_ERROR, 0xb9]);
        const report = await user.report(0, zones);
        for (const [zone, { write_pointer, zone_id }] of report.entries())
          same(
            `the write pointer of zone ${zone}`,
            write_pointer - zone_id,
            placed.filter((one) => one.zone === zone).length,
          );
        if (trial.subject.promises.data)
          for (const { location, value } of placed)
            same(`block ${location}`, await users[location % 2]!.read(location, 1), [value]);
      }
    }),
};

const refusals: Check = {
  title: 'refuses what is no zone, or not at the write pointer, without effect',
  run: (trial) =>
    withUsers(trial, async ([user]) => {
      const { zone_size, num_blocks, max_zone_append_size } = trial.description;
      const { channel, region } = user!;
      const nobody = { bdevIoDone: () => same('whether a refused I/O completes', true, false) };
      const errno = (what: string, result: number): void => same(`errno of ${what}`, result, Errno.EINVAL);
      same('status of a reset of all', await user!.manageAll(ZoneAction.RESET), 0);
      if (zone_size > 1) {
        errno('an append within a zone', zoneAppend(channel, region, 0, 1, 1, nobody));
        errno('management within a zone', zoneManagement(channel, 1, ZoneAction.OPEN, nobody));
      }
      errno('an append behind the end', zoneAppend(channel, region, 0, num_blocks, 1, nobody));
      errno('management behind the end', zoneManagement(channel, num_blocks, ZoneAction.RESET, nobody));
      if (max_zone_append_size > 0 && max_zone_append_size < BLOCKS_MAX)
        errno(
          'an append that is too long',
          zoneAppend(channel, region, 0, 0, max_zone_append_size + 1, nobody),
        );
      errno('a report behind the end', getZoneInfo(channel, num_blocks, 1, new ZoneReport(1), nobody));
      if (zone_size > 1) same('status of a write behind the write pointer', await user!.write(1, [7]), 0xbc);
      same('status of a write', await user!.write(0, [7]), 0);
      same('status of a write before the write pointer', await user!.write(0, [8]), 0xbc);
      if (trial.subject.promises.data) same('the first block', await user!.read(0, 1), [7]);
      const [first] = await user!.report(0, 1);
      same('the first zone', [first!.write_pointer, first!.state], [1, ZoneState.IMPLICIT_OPEN]);
      same(
        'that it takes unmap, which would pass the write pointer by',
        channel.supports(IoType.UNMAP),
        false,
      );
      same('status of zeroes behind the write pointer', await user!.zeroes(2, 1), 0xbc);
      same('status of a copy behind the write pointer', await user!.copy(2, 0, 1), 0xbc);
      if (!channel.supports(IoType.WRITE_ZEROES)) return;
      same('status of zeroes at the write pointer', await user!.zeroes(1, 2), 0);
      same('status of a copy to the write pointer', await user!.copy(3, 0, 2), 0);
      if (trial.subject.promises.data) same('the first blocks', await user!.read(0, 6), [7, 0, 0, 7, 0, 0]);
      same('the write pointer', (await user!.report(0, 1))[0]!.write_pointer, 5);
    }),
};

const disturbed: Check = {
  title: 'is reset while it is appended to: what was acknowledged is there, and it goes on',
  run: (trial) =>
    withUsers(trial, async (users) => {
      const user = users[0]!;
      const { zone_size, num_blocks } = trial.description;
      const zones = Math.min(3, num_blocks / zone_size);
      for (let run = 0; run < trial.effort.runs; run++) {
        same('status of a reset of all zones', await user.manageAll(ZoneAction.RESET), 0);
        const all = Array.from({ length: APPENDS }, (_, i) => append(trial, users, zones, 1 + i));
        for (let polls = trial.random.below(4); polls > 0; polls--) trial.bench.step();
        await trial.bench.settled('the reset of the bdev', trial.bench.bdevs.reset(trial.name));
        await trial.bench.until('appends to end', () =>
          all.every(({ status }) => status !== IoStatus.PENDING),
        );
        for (const { status, sc, location, value } of all) {
          if (status === IoStatus.SUCCESS) {
            if (trial.subject.promises.data) same(`block ${location}`, await user.read(location, 1), [value]);
          } else if (status !== IoStatus.NVME_ERROR || sc !== 0xb9)
            same('status of an append during a reset', status, IoStatus.ABORTED);
        }
        const report = await user.report(0, zones);
        const free = report.find(({ state }) => state !== ZoneState.FULL);
        if (free !== undefined) same('status of an append', (await user.append(free.zone_id, [9]))[0], 0);
      }
    }),
};

const removal: Check = {
  title: 'is removed while it is appended to: what is under way ends, and it can be made again',
  async run(trial) {
    await withUsers(trial, async (users) => {
      const { zone_size, num_blocks } = trial.description;
      const zones = Math.min(3, num_blocks / zone_size);
      same('status of a reset of all zones', await users[0]!.manageAll(ZoneAction.RESET), 0);
      const descriptor = trial.open(true);
      const all = Array.from({ length: APPENDS }, (_, i) => append(trial, users, zones, 1 + i));
      const removed = trial.bench.bdevs.unregister(trial.name);
      removed.catch(() => {});
      await trial.bench.until('appends to end', () => all.every(({ status }) => status !== IoStatus.PENDING));
      const { channel, region } = users[1]!;
      await trial.bench.until('I/O to be refused', () => {
        const owner = { bdevIoDone: (io: BdevIo) => io.free() };
        return zoneAppend(channel, region, 0, 0, 1, owner) === Errno.ENODEV;
      });
      for (let i = 0; i < 4; i++) await trial.bench.poll();
      void descriptor.close();
    });
    await trial.bench.until('the end of the bdev', () => trial.bench.bdevs.get(trial.name) === undefined);
    await trial.delete();
    await trial.create();
  },
};

export const zoneChecks: readonly Check[] = [model, together, refusals, disturbed, removal];
