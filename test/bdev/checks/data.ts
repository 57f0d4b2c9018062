import { IoStatus } from '@spdk-ts/bdev';
import { Random } from '@spdk-ts/env';
import fc from 'fast-check';
import type { Harness, Op } from '../harness.ts';
import { opOf, type Step, steps } from '../ops.ts';
import { plain, randomShape } from '../scratch.ts';
import { lengths, writeUnit } from '../subject.ts';
import type { Trial } from '../trial.ts';
import { type Check, same } from './check.ts';

/** I/Os under way at once, in runs of overlapping ones. */
const DEPTH = 24;

async function together(harness: Harness, ops: readonly Op[]): Promise<void> {
  for (const op of ops) await harness.submit(op);
  await harness.drain();
}

/** Every type that the bdev takes, with this many blocks at this place. */
async function everyType(harness: Harness, at: number, blocks: number, random: Random): Promise<void> {
  const { area, description } = harness;
  const bytes = blocks * description.block_size;
  const range = { at, blocks };
  const shape = () => randomShape(random, bytes);
  const reads: readonly Op[] = [{ type: 'read', ...range, shape: plain }];
  await together(harness, [{ type: 'write', ...range, shape: shape() }]);
  await together(harness, [
    { type: 'read', ...range, shape: shape() },
    { type: 'read', ...range, shape: 'own' },
  ]);
  await together(harness, [{ type: 'write', ...range, shape: plain, fua: true }]);
  if (harness.supports('compare'))
    await together(harness, [
      { type: 'compare', ...range, shape: plain },
      { type: 'compare', ...range, shape: shape() },
      ...[0, bytes - 1, random.below(bytes)].map(
        (miss): Op => ({ type: 'compare', ...range, shape: shape(), miss }),
      ),
      ...reads,
    ]);
  if (harness.supports('copy')) {
    const unit = writeUnit(description);
    // Over itself by a little in both directions, and from as far away as can be.
    const last = area.first + area.count - blocks;
    for (const from of [at + unit, at - unit, at === area.first ? last : area.first, at])
      if (from >= area.first && from <= last) await harness.run({ type: 'copy', ...range, from });
    await together(harness, reads);
  }
  for (const type of ['zeroes', 'unmap'] as const) {
    if (!harness.supports(type)) continue;
    await together(harness, [{ type: 'write', ...range }]);
    await together(harness, [{ type, ...range }]);
    await together(harness, reads);
  }
  if (harness.supports('flush')) await harness.run({ type: 'flush', ...range });
}

const edges: Check = {
  title: 'does every type of I/O with lengths around every limit, at both ends and between',
  async run(trial) {
    for (const area of trial.areas) {
      const harness = trial.harness(area);
      await harness.writeAll();
      const unit = writeUnit(trial.description);
      const sizes = lengths(trial.bench, trial.description, area.count);
      for (const [index, blocks] of sizes.entries()) {
        const last = area.first + area.count - blocks;
        const middle = area.first + trial.random.below(area.count - blocks + 1);
        const places = [area.first, middle - (middle % unit), last];
        // All types at one of the places; each place has its turn.
        await everyType(harness, places[index % 3]!, blocks, trial.random);
        await together(
          harness,
          places.map((at): Op => ({ type: 'write', at, blocks, shape: plain })),
        );
        await together(
          harness,
          places.map((at): Op => ({ type: 'read', at, blocks, shape: plain })),
        );
      }
      await harness.check();
      trial.finish(harness);
    }
  },
};

/** Submits the I/O of steps, so many at once, and polls between them as they say. */
async function overlapping(
  trial: Trial,
  harness: Harness,
  script: readonly Step[],
  depth: number,
): Promise<void> {
  const random = new Random(script.length * 7919 + (script[0]?.seed ?? 0));
  for (const step of script) {
    await harness.bench.until('room for another I/O', () => harness.jobs.length < depth);
    const op = opOf(step, harness, random, depth > 1 ? step.seed % 2 : 0);
    if (depth === 1) await harness.run(op);
    else if (harness.start(op) === null) await trial.bench.poll();
    for (let i = 0; depth > 1 && i < step.polls; i++) trial.bench.step();
    harness.throwProblems();
  }
  await harness.drain();
  await harness.check();
}

/** Random runs of a check's seed: fast-check prints seed and steps of one that fails. */
async function randomRuns(
  trial: Trial,
  most: number,
  runs: number,
  run: (harness: Harness, script: readonly Step[]) => Promise<void>,
): Promise<void> {
  const area = trial.areas.at(-1)!;
  const harness = trial.harness({ ...area, count: Math.min(area.count, 4096) });
  await harness.writeAll();
  await fc.assert(
    fc.asyncProperty(steps(most), async (script) => {
      try {
        await run(harness, script);
      } catch (error) {
        // The next run begins with nothing under way, and data that are known.
        await harness.drain().catch(() => {});
        await harness.writeAll();
        throw error;
      }
    }),
    { seed: trial.effort.seed, numRuns: runs, interruptAfterTimeLimit: 60_000 },
  );
  trial.finish(harness);
}

const shapes: Check = {
  title: 'does random I/O one at a time: lengths, places, gather lists of odd pieces in unaligned memory',
  run: (trial) =>
    randomRuns(trial, 40, trial.effort.runs, (harness, script) => overlapping(trial, harness, script, 1)),
};

const concurrent: Check = {
  title:
    'does random I/O that overlaps, on two reactors: what is read is what some order of it would have left',
  run: (trial) =>
    randomRuns(trial, 200, trial.effort.runs, (harness, script) =>
      overlapping(trial, harness, script, DEPTH),
    ),
};

const nothing: Check = {
  title: 'does I/O of no blocks, up to the end and not beyond',
  async run(trial) {
    const harness = trial.harness();
    await harness.writeAll();
    const { num_blocks } = trial.description;
    for (const type of ['read', 'write', 'zeroes', 'unmap', 'copy', 'compare'] as const) {
      if (!harness.supports(type)) continue;
      for (const at of [0, 1, num_blocks]) {
        const op: Op = { type, at, blocks: 0, ...(type === 'copy' && { from: num_blocks }) };
        same(`status of a ${type} of no blocks at ${at}`, await harness.run(op), IoStatus.SUCCESS);
      }
      const beyond = harness.start({ type, at: num_blocks + 1, blocks: 0, from: 0 });
      same(`a ${type} of no blocks beyond the end`, beyond, -22);
    }
    await harness.check();
  },
};

const stable: Check = {
  title: 'has the data of a flush, or with force unit access, where another channel reads them',
  async run(trial) {
    const harness = trial.harness();
    const { first } = harness.area;
    const unit = writeUnit(trial.description);
    for (const fua of [true, false]) {
      await harness.run({ type: 'write', at: first, blocks: unit, fua, reactor: 0 });
      if (harness.supports('flush')) await harness.run({ type: 'flush', at: first, blocks: unit });
      await harness.run({ type: 'read', at: first, blocks: unit, reactor: 1 });
      await harness.run({ type: 'zeroes', at: first, blocks: unit, fua, reactor: 1 });
      await harness.run({ type: 'read', at: first, blocks: unit, reactor: 0 });
    }
  },
};

export const dataChecks: readonly Check[] = [edges, shapes, concurrent, nothing, stable];
