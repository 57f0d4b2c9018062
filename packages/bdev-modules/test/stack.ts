/** For tests of stacked modules: I/O whose ends are kept, and configurations that are loaded again. */
import type { BdevChannel, BdevIo, BdevIoOwner } from '@spdk-ts/bdev';
import fc from 'fast-check';
import { expect } from 'vitest';
import type { ModuleBed } from './bed.ts';
import { Modelled, type Step, steps } from './model.ts';

export const ALL_STEPS: Step['type'][] = [
  ...(['write', 'read', 'readPlace', 'zeroes', 'unmap', 'copy', 'compare', 'flush'] as const),
];

/** Holds a channel against a byte model with random I/O. fast-check prints the seed of what fails. */
export async function againstModel(
  bed: ModuleBed,
  channel: BdevChannel,
  { numRuns = 30, max_blocks = channel.num_blocks, types = ALL_STEPS, reactor = 0 } = {},
): Promise<void> {
  const region = bed.host.allocateRegionId();
  const modelled = new Modelled(bed.host.local[reactor]!, channel, region, bed.poll);
  await fc.assert(
    fc.asyncProperty(steps(channel.num_blocks, max_blocks, types), async (list) => {
      for (const step of list) await modelled.run(step);
      await modelled.check();
    }),
    { numRuns },
  );
}

/** Remembers how I/O ended; frees it, unless `keep` is set. */
export class Ends implements BdevIoOwner {
  readonly statuses: number[] = [];
  readonly kept: BdevIo[] = [];
  keep = false;
  bdevIoDone(io: BdevIo): void {
    this.statuses.push(io.status);
    if (this.keep) this.kept.push(io);
    else io.free();
  }
}

/** What was saved makes the same again, in every word. Returns the bed that it was loaded into. */
export async function expectSameAfterLoad(
  bed: ModuleBed,
  start: () => Promise<ModuleBed>,
): Promise<ModuleBed> {
  const saved = JSON.stringify(bed.bdevs.config(), null, 2);
  const again = await start();
  for (const { method, params } of JSON.parse(saved) as { method: string; params: object }[])
    if (method !== 'bdev_set_options')
      await again.until(again.rpc.call(method as 'bdev_get_bdevs', params as never));
  expect(JSON.stringify(again.bdevs.config(), null, 2)).toBe(saved);
  return again;
}
