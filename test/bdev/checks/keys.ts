import { type BdevIo, Errno, IoStatus, KvStatus } from '@spdk-ts/bdev';
import fc from 'fast-check';
import { expect } from 'vitest';
import { KvUser, keyName, kvSteps, valueBytes } from '../../../packages/bdev-modules/test/kv-model.ts';
import { IO_OBJECTS } from '../bench.ts';
import type { Trial } from '../trial.ts';
import { type Check, same } from './check.ts';

const KEYS = 24;
const ROUNDS = 12;

/** Runs `fn` with a user of the bdev on each reactor, and gives back what they hold. */
async function withUsers(trial: Trial, fn: (users: readonly KvUser[]) => Promise<void>): Promise<void> {
  const { bench, description } = trial;
  const users = [0, 1].map((index) => {
    const region = bench.host.allocateRegionId();
    const channel = bench.channel(description, index);
    const user = new KvUser(bench.reactor(index), channel, region, () => bench.poll());
    user.fills = trial.subject.promises.fills_buffers === true;
    return user;
  });
  try {
    await fn(users);
    const objects: BdevIo[] = [];
    for (const { channel } of users)
      for (let io = channel.getIo(); io !== null; io = channel.getIo()) objects.push(io);
    for (const io of objects) io.free();
    same('free bdev I/O objects', objects.length, IO_OBJECTS);
  } finally {
    users.forEach(({ channel, region }, index) => {
      channel.put();
      bench.reactor(index).regions.remove(region);
    });
  }
}

/** Removes every key. */
async function empty(user: KvUser): Promise<void> {
  for (const key of await user.listAll())
    same(`status of a delete of ${JSON.stringify(key)}`, (await user.delete(key)).status, IoStatus.SUCCESS);
}

const longest = (trial: Trial): number => Math.min(trial.description.kv!.max_value_len, 8192);

const model: Check = {
  title: 'holds what a map does, whichever reactor stored it',
  run: (trial) =>
    withUsers(trial, async (users) => {
      await fc.assert(
        fc.asyncProperty(kvSteps(KEYS, longest(trial)), async (list) => {
          await empty(users[0]!);
          const map = new Map<string, Buffer>();
          for (const [index, step] of list.entries()) await users[index % 2]!.run(map, step);
          await users[0]!.check(map);
          await users[1]!.check(map);
        }),
        { seed: trial.effort.seed, numRuns: trial.effort.runs, interruptAfterTimeLimit: 60_000 },
      );
      await empty(users[0]!);
      same('keys of an empty bdev', await users[1]!.listAll(), []);
    }),
};

const rivals: Check = {
  title: 'ends stores and deletes of one key by two reactors at once in some order, as a whole',
  run: (trial) =>
    withUsers(trial, async (users) => {
      const key = keyName(3);
      const bytes = longest(trial);
      for (let round = 0; round < ROUNDS; round++) {
        const values = users.map((_, index) =>
          valueBytes(1 + trial.random.below(bytes), 2 * round + index + 1),
        );
        const ends = await Promise.all(
          users.map((user, index) =>
            round % 3 === 2 && index === 1 ? user.delete(key) : user.store(key, values[index]!),
          ),
        );
        const deletes = round % 3 === 2;
        same('status of a store', ends[0]!.status, IoStatus.SUCCESS);
        if (!deletes) same('status of the other', ends[1]!.status, IoStatus.SUCCESS);
        const seen = await users[round % 2]!.retrieve(key, bytes);
        if (seen.status === IoStatus.SUCCESS) {
          const found = values.some((value) => value.length === seen.cdw0 && value.equals(seen.data));
          same('that a value is one that was stored, whole', found, true);
        } else {
          same('what else there may be', [deletes, seen.sc], [true, KvStatus.KEY_DOES_NOT_EXIST]);
        }
      }
      await empty(users[0]!);
    }),
};

const refusals: Check = {
  title: 'refuses keys and values that cannot be, and I/O about blocks',
  run: (trial) =>
    withUsers(trial, async ([user]) => {
      const { max_key_len, max_value_len } = trial.description.kv!;
      user!.expectNoBlocks();
      const refused = (sc: number) => ({ status: IoStatus.NVME_ERROR, sc });
      if (max_key_len < 16)
        expect(await user!.store('x'.repeat(max_key_len + 1), Buffer.of(1))).toMatchObject(
          refused(KvStatus.INVALID_KEY_SIZE),
        );
      expect(await user!.store('', Buffer.of(1))).toMatchObject(refused(KvStatus.INVALID_KEY_SIZE));
      expect(await user!.exist('')).toMatchObject(refused(KvStatus.INVALID_KEY_SIZE));
      if (max_value_len < 200_000)
        expect(await user!.store('k', Buffer.alloc(max_value_len + 1))).toMatchObject(
          refused(KvStatus.INVALID_VALUE_SIZE),
        );
      same('keys after that', await user!.listAll(), []);
    }),
};

const disturbed: Check = {
  title: 'is reset between and while it stores: what was acknowledged is there, and it goes on',
  run: (trial) =>
    withUsers(trial, async (users) => {
      const map = new Map<string, Buffer>();
      for (let round = 0; round < ROUNDS; round++) {
        const key = keyName(round);
        const value = valueBytes(1 + trial.random.below(longest(trial)), round + 1);
        const stored = users[round % 2]!.store(key, value);
        for (let polls = trial.random.below(4); polls > 0; polls--) trial.bench.step();
        await trial.bench.settled('the reset', trial.bench.bdevs.reset(trial.name));
        const { status } = await stored;
        if (status === IoStatus.SUCCESS) map.set(key, value);
        else {
          same('status of a store during a reset', status, IoStatus.ABORTED);
          // It may be there or not: now it is.
          same('status of a store', (await users[0]!.store(key, value)).status, IoStatus.SUCCESS);
          map.set(key, value);
        }
      }
      await users[0]!.check(map);
      await empty(users[1]!);
    }),
};

const removal: Check = {
  title: 'is removed while it stores, and can be made again',
  async run(trial) {
    await withUsers(trial, async (users) => {
      const descriptor = trial.open(true);
      const stores = users.map((user, index) => user.store(keyName(index), valueBytes(100, index + 1)));
      const removed = trial.bench.bdevs.unregister(trial.name);
      removed.catch(() => {});
      const ends = await Promise.all(stores);
      const ended: readonly number[] = [IoStatus.SUCCESS, IoStatus.ABORTED, Errno.ENODEV];
      for (const { status } of ends) same('that a store ends', ended.includes(status), true);
      for (let i = 0; i < 8; i++) await trial.bench.poll();
      same('errno of a store', (await users[0]!.store('k', Buffer.of(1))).status, Errno.ENODEV);
      void descriptor.close();
    });
    await trial.bench.until('the end of the bdev', () => trial.bench.bdevs.get(trial.name) === undefined);
    await trial.delete();
    await trial.create();
  },
};

export const keyChecks: readonly Check[] = [model, rivals, refusals, disturbed, removal];
