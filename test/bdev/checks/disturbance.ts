import { type BdevIo, Errno, IoStatus, IoType } from '@spdk-ts/bdev';
import type { Random } from '@spdk-ts/env';
import { type Harness, Job } from '../harness.ts';
import { opOf, randomStep } from '../ops.ts';
import type { Trial } from '../trial.ts';
import { type Check, same } from './check.ts';

const DEPTH = 24;

/** Keeps so many random I/Os under way on both reactors, while it is polled. */
function feed(harness: Harness, random: Random): (Job | number)[] {
  const started: (Job | number)[] = [];
  for (let tries = 0; harness.jobs.length < DEPTH && tries < DEPTH; tries++) {
    const result = harness.start(opOf(randomStep(random), harness, random, random.below(2)));
    if (result !== null) started.push(result);
  }
  return started;
}

/** Load while a promise has not settled, and a little longer. */
async function loaded<T>(trial: Trial, harness: Harness, what: string, work: Promise<T>): Promise<T> {
  let over = false;
  const mark = (): void => {
    over = true;
  };
  work.then(mark, mark);
  await trial.bench.until(what, () => {
    feed(harness, trial.random);
    return over;
  });
  return await work;
}

const reset: Check = {
  title: 'is reset under load: every I/O ends, done or aborted, and it goes on as before',
  async run(trial) {
    const harness = trial.harness();
    for (let i = 0; i < Math.max(4, trial.effort.runs); i++) {
      // Each time from what is known: doubts about what was aborted would add up, copies of them above all.
      await harness.writeAll();
      harness.tolerated = [IoStatus.ABORTED];
      const channel = harness.channels[i % 2]!;
      feed(harness, trial.random);
      for (let polls = trial.random.below(4); polls > 0; polls--) trial.bench.step();
      const ends = new Promise<number>((resolve, reject) => {
        const owner = {
          bdevIoDone(io: BdevIo): void {
            const { status } = io;
            io.free();
            resolve(status);
          },
        };
        const result = channel.reset(owner);
        if (result !== 0) reject(new Error(`reset was refused with errno ${result}`));
      });
      // Two at once are one.
      const other = i % 3 === 0 ? trial.bench.bdevs.reset(trial.name) : Promise.resolve();
      same('status of the reset', await loaded(trial, harness, 'the reset', ends), IoStatus.SUCCESS);
      await loaded(trial, harness, 'the other reset', other);
      await harness.drain();
      harness.tolerated = [];
      await harness.check();
    }
    for (let i = 0; i < 50; i++) await harness.run(opOf(randomStep(trial.random), harness, trial.random));
    await harness.check();
  },
};

const abort: Check = {
  title: 'aborts under load: what is said to be aborted ends so, and everything else as if nothing were',
  unneeded: (trial) =>
    trial.bench.bdevs.info(trial.description).supported_io_types.abort ? '' : 'it does not claim abort',
  async run(trial) {
    const harness = trial.harness();
    await harness.writeAll();
    // What is aborted is told afterwards.
    harness.tolerated = [IoStatus.ABORTED];
    for (let i = 0; i < trial.effort.runs; i++) {
      const jobs = feed(harness, trial.random).filter((job) => job instanceof Job);
      for (let polls = trial.random.below(3); polls > 0; polls--) trial.bench.step();
      const aborts: { job: Job; status: number; cdw0: number }[] = [];
      const targets = jobs.filter((job) => !job.done && trial.random.below(3) === 0);
      for (const job of targets) {
        const owner = {
          bdevIoDone(io: BdevIo): void {
            aborts.push({ job, status: io.status, cdw0: io.cdw0 });
            io.free();
          },
        };
        same('errno of an abort', harness.channelOf(job.op).abort(job.io, owner), 0);
      }
      await trial.bench.until('aborts to end', () => aborts.length === targets.length);
      await harness.drain();
      for (const { job, status, cdw0 } of aborts) {
        const said = status === IoStatus.SUCCESS;
        same('cdw0 of an abort', cdw0, said ? 0 : 1);
        if (!said) same('status of an abort without effect', status, IoStatus.FAILED);
        if (said) same('status of an I/O that was aborted', job.status, IoStatus.ABORTED);
      }
      const aborted = new Set(aborts.filter((a) => a.status === IoStatus.SUCCESS).map((a) => a.job));
      for (const job of jobs)
        if (job.status === IoStatus.ABORTED && !aborted.has(job))
          throw new Error(`a ${job.op.type} ended aborted, and no abort had said so`);
      await harness.check();
    }
    // The channel of another thread: not to be found there.
    const job = await harness.submit({ type: 'read', at: harness.area.first, blocks: 1, reactor: 0 });
    let status: number = IoStatus.PENDING;
    const owner = {
      bdevIoDone(io: BdevIo): void {
        status = io.status;
        io.free();
      },
    };
    same('errno of an abort on another channel', harness.channels[1]!.abort(job!.io, owner), 0);
    await harness.drain();
    await trial.bench.until('the abort to end', () => status !== IoStatus.PENDING);
    same('status of an abort on another channel', status, IoStatus.FAILED);
    same('status of the I/O it was to abort', job!.status, IoStatus.SUCCESS);
  },
};

const removal: Check = {
  title: 'is removed under load: who has it open is told, I/O ends or is refused, and it can be made again',
  async run(trial) {
    const { bdevs } = trial.bench;
    for (let round = 0; round < 3; round++) {
      const harness = trial.harness();
      await harness.writeAll();
      harness.tolerated = [IoStatus.ABORTED];
      const events: string[] = [];
      const descriptor = trial.open(true, (event) => void events.push(event));
      feed(harness, trial.random);
      for (let polls = trial.random.below(4); polls > 0; polls--) trial.bench.step();
      const removed = bdevs.unregister(trial.name);
      let gone = false;
      removed.then(
        () => {
          gone = true;
        },
        () => {},
      );
      await trial.bench.until('I/O to be refused on both reactors', () => {
        const refusals = [0, 1].map((reactor) =>
          harness.start({ type: 'read', at: harness.area.first, blocks: 1, reactor }),
        );
        for (const refusal of refusals)
          if (typeof refusal === 'number') same('errno while it is removed', refusal, Errno.ENODEV);
        return refusals.every((refusal) => typeof refusal === 'number');
      });
      await harness.drain();
      await trial.bench.until('the news of its removal', () => events.length > 0);
      same('events', events, ['remove']);
      for (let i = 0; i < 4; i++) await trial.bench.poll();
      same('that it is gone while it is open', gone, false);
      const again = await bdevs.unregister(trial.name).catch((error: { code: number }) => error.code);
      same('code of another removal', again, Errno.EBUSY);
      trial.finish(harness);
      await descriptor.close();
      await trial.bench.settled('the end of the removal', removed);
      same('the bdev that was removed', bdevs.get(trial.name) ?? null, null);
      await trial.delete();
      await trial.create();
    }
  },
};

const exhaustion: Check = {
  title: 'goes on when I/O objects, buffers and what the module has run out',
  async run(trial) {
    const harness = trial.harness();
    await harness.writeAll();
    const channel = harness.channels[0]!;
    const { block_size } = trial.description;
    const blocks = Math.max(1, Math.floor(16_384 / block_size));
    const most = harness.area.count - blocks;
    let waited = 0;
    let started = 0;
    for (let i = 0; i < 3000; i++) {
      const at = harness.area.first + (i % (most + 1));
      const job = harness.start({ type: 'read', at, blocks, shape: 'own' });
      if (job !== null) {
        started++;
        continue;
      }
      // None is left: who asks is called when there is one again.
      same('an I/O object where there is none', channel.getIo(), null);
      let called = false;
      channel.queueWait({
        bdevIoAvailable: () => {
          called = true;
        },
      });
      same('a call from within queueWait', called, false);
      await trial.bench.until('an I/O object', () => called);
      waited++;
    }
    await harness.drain();
    same('that it has been waited', waited > 0, true);
    same('I/Os that ended', harness.ends.get(IoStatus.SUCCESS)! >= started, true);
    await harness.check();
  },
};

const again: Check = {
  title: 'takes a completed I/O again without its being freed',
  async run(trial) {
    const harness = trial.harness();
    await harness.writeAll();
    const channel = harness.channels[0]!;
    const io = channel.getIo()!;
    let done = 0;
    io.owner = {
      bdevIoDone: () => {
        same('status', io.status, IoStatus.SUCCESS);
        done++;
      },
    };
    for (let i = 0; i < 20; i++) {
      const own = i % 2 === 0;
      io.type = IoType.READ;
      io.offset_blocks = harness.area.first + (i % Math.min(8, harness.area.count));
      io.num_blocks = 1;
      io.iovs = null;
      io.region = own ? -1 : harness.scratch[0]!.region;
      io.offset = 0;
      io.length = trial.description.block_size;
      same('errno', channel.submit(io), 0);
      await trial.bench.until('the I/O to end', () => done > i);
    }
    io.free();
  },
};

export const disturbanceChecks: readonly Check[] = [reset, abort, removal, exhaustion, again];
