import type { Random } from '@spdk-ts/env';
import fc from 'fast-check';
import type { Area, Harness, Op, OpType } from './harness.ts';
import { randomShape } from './scratch.ts';
import { writeUnit } from './subject.ts';

const writers: readonly OpType[] = ['write', 'zeroes', 'unmap', 'copy'];

/** Longest of the ordinary I/Os, and of those that are now and then mixed in, bytes. */
const ORDINARY_BYTES = 64 * 1024;
const LONG_BYTES = 1536 * 1024;
/** Where most I/Os go, so that they meet: blocks. */
const HOT_BLOCKS = 48;

/** A step of a random run: numbers, from which an I/O is made. */
export interface Step {
  readonly type: number;
  readonly place: number;
  readonly from: number;
  readonly size: number;
  readonly seed: number;
  readonly polls: number;
}

export const steps = (most: number): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.record({
      type: fc.nat(999),
      place: fc.nat(1_000_000),
      from: fc.nat(1_000_000),
      size: fc.nat(999),
      seed: fc.integer({ min: 1, max: 0x7fff_ffff }),
      polls: fc.nat(3),
    }),
    { maxLength: most, size: 'max' },
  );

export const randomStep = (random: Random): Step => ({
  ...{ type: random.below(1000), place: random.below(1_000_001), from: random.below(1_000_001) },
  ...{ size: random.below(1000), seed: 1 + random.below(0x7fff_fffe), polls: random.below(4) },
});

/** Types that the bdev takes, data first: reads and writes twice as often. */
export function types(harness: Harness): OpType[] {
  const all: OpType[] = ['write', 'read', 'read', 'write', 'zeroes', 'unmap', 'copy', 'compare', 'flush'];
  return all.filter((type) => harness.supports(type));
}

function blocksOf(step: Step, harness: Harness, area: Area): number {
  const { block_size } = harness.description;
  const longest = step.size % 20 === 0 ? LONG_BYTES : step.size % 3 === 0 ? 4 * block_size : ORDINARY_BYTES;
  const most = Math.max(1, Math.min(area.count, Math.floor(longest / block_size)));
  return 1 + (step.size % most);
}

/** The I/O of a step. */
export function opOf(step: Step, harness: Harness, random: Random, reactor = 0): Op {
  const { area, description } = harness;
  const { block_size } = description;
  const list = types(harness);
  const type = list[step.type % list.length]!;
  const unit = writers.includes(type) ? writeUnit(description) : 1;
  const blocks = Math.max(unit, Math.floor(blocksOf(step, harness, area) / unit) * unit);
  const hot = Math.min(area.count, HOT_BLOCKS);
  const at = (place: number): number => {
    const range = place % 4 === 0 || blocks > hot ? area.count : hot;
    const offset = place % (range - blocks + 1);
    return area.first + offset - (offset % unit);
  };
  const op = { type, at: at(step.place), blocks, reactor };
  const bytes = blocks * block_size;
  if (type === 'copy') return { ...op, from: at(step.from) };
  if (type === 'read' && step.seed % 3 === 0) return { ...op, shape: 'own' };
  if (type === 'read') return { ...op, shape: randomShape(random, bytes) };
  const fua = step.seed % 4 === 0;
  if (type === 'zeroes' || type === 'unmap') return { ...op, fua: fua && type === 'zeroes' };
  if (type === 'flush') return { ...op, at: 0, blocks: step.seed % 2 === 0 ? 0 : description.num_blocks };
  const shape = randomShape(random, bytes);
  if (type === 'write') return { ...op, fua, shape };
  return step.seed % 2 === 0 ? { ...op, shape } : { ...op, shape, miss: step.seed % bytes };
}
