import {
  type BdevChannel,
  type BdevIo,
  Errno,
  IO_TYPE_COUNT,
  IoType,
  IoVec,
  ioTypeNames,
  MODIFYING_TYPES,
} from '@spdk-ts/bdev';
import type { Harness } from '../harness.ts';
import { writeUnit } from '../subject.ts';
import type { Trial } from '../trial.ts';
import { type Check, same } from './check.ts';

/** Submits an I/O that must be refused; its owner must never hear of it. */
function refused(what: string, channel: BdevChannel, set: (io: BdevIo) => void, errno: number): void {
  const io = channel.getIo();
  if (io === null) throw new Error('no I/O object');
  io.owner = {
    bdevIoDone: () => {
      throw new Error(`${what} was refused, and completed nevertheless`);
    },
  };
  set(io);
  const result = channel.submit(io);
  // One that was taken completes later: its owner says so.
  if (result === 0) throw new Error(`${what} was not refused; it should be, with errno ${errno}`);
  io.free();
  same(`errno of ${what}`, result, errno);
}

const unsupported: Check = {
  title: 'claims what it can do, and refuses the rest as not supported',
  async run(trial) {
    const harness = trial.harness();
    const channel = harness.channels[0]!;
    const { description, bench } = trial;
    const claimed = bench.bdevs.info(description).supported_io_types;
    for (let type = 0; type < IO_TYPE_COUNT; type++) {
      const name = ioTypeNames[type]!;
      if (claimed[name] && !channel.supports(type))
        throw new Error(`${name} is among the supported_io_types, but its channel does not support it`);
      if (channel.supports(type)) continue;
      const read_only = !channel.supports(IoType.WRITE) && (MODIFYING_TYPES & (1 << type)) !== 0;
      refused(
        `an I/O of type ${name}`,
        channel,
        (io) => {
          io.type = type;
          io.num_blocks = 1;
          io.offset_blocks = 0;
          io.region = harness.scratch[0]!.region;
          io.length = description.block_size;
        },
        read_only ? Errno.EPERM : Errno.ENOTSUP,
      );
    }
  },
};

/** Ranges that do not lie within a bdev of so many blocks, or are none: what, offset, length. */
function wrongRanges(blocks: number, unit: number): [string, number, number][] {
  const ranges: [string, number, number][] = [
    ['beyond the end', blocks, unit],
    ['far beyond the end', blocks + 1000, unit],
    ['over the end', blocks - unit, 2 * unit],
    ['of more blocks than there are', 0, blocks + 1],
    ['before the beginning', -1, 1],
    ['of fewer than no blocks', 4, -1],
    ['of half a block', 0, 0.5],
    ['of one block and a half', 0, 1.5],
    ['in the middle of a block', 0.5, 1],
    ['at no number', Number.NaN, 1],
    ['of no number of blocks', 0, Number.NaN],
    ['at infinity', Number.POSITIVE_INFINITY, 1],
    ['of infinitely many blocks', 0, Number.POSITIVE_INFINITY],
    ['at 2^53', 2 ** 53, 1],
  ];
  // Where 32 bits do not hold the sum.
  if (blocks < 2 ** 32) ranges.push(['that ends at 2^32 + 1', 2 ** 32 - 1, 2]);
  return ranges;
}

function refuseRanges(trial: Trial, harness: Harness): void {
  const { num_blocks, block_size } = trial.description;
  const unit = writeUnit(trial.description);
  const channel = harness.channels[0]!;
  const place = harness.scratch[0]!.region;
  const { READ, WRITE, COMPARE, WRITE_ZEROES, UNMAP, COPY, FLUSH } = IoType;
  for (const type of [READ, WRITE, COMPARE, WRITE_ZEROES, UNMAP, COPY, FLUSH]) {
    if (!channel.supports(type)) continue;
    for (const [what, at, blocks] of wrongRanges(num_blocks, unit)) {
      const set = (io: BdevIo): void => {
        io.type = type;
        io.offset_blocks = at;
        io.num_blocks = blocks;
        io.src_offset_blocks = 0;
        io.region = type === READ || type === WRITE || type === COMPARE ? place : -1;
        io.length = blocks * block_size;
      };
      refused(`a ${ioTypeNames[type]} ${what}`, channel, set, Errno.EINVAL);
      const wrong_source = (io: BdevIo): void => {
        set(io);
        io.offset_blocks = 0;
        io.src_offset_blocks = at;
      };
      if (type === COPY && blocks === Math.floor(blocks))
        refused(`a copy with a source ${what}`, channel, wrong_source, Errno.EINVAL);
    }
  }
}

function refuseMemory(trial: Trial, harness: Harness): void {
  const { block_size, num_blocks } = trial.description;
  const channel = harness.channels[0]!;
  const { region } = harness.scratch[0]!;
  const bytes = trial.bench.reactor(0).regions.bytes(region).length;
  const unit = Math.min(writeUnit(trial.description), num_blocks);
  const length = unit * block_size;
  const list = (...pieces: [number, number, number][]): IoVec => {
    const iovs = new IoVec(4);
    for (const piece of pieces) iovs.push(...piece);
    return iovs;
  };
  const places: [string, Partial<BdevIo>][] = [
    ['memory that is one byte short', { region, length: length - 1 }],
    ['memory that is one byte too long', { region, length: length + 1 }],
    ['no memory', { region, length: 0 }],
    ['memory of a region that is not there', { region: 60_000, length }],
    ['memory that begins before its region', { region, offset: -1, length }],
    ['memory that ends behind its region', { region, offset: bytes - length + 1, length }],
    ['memory that lies behind its region', { region, offset: 2 ** 40, length }],
    ['memory at no number', { region, offset: Number.NaN, length }],
    ['an empty gather list', { iovs: list() }],
    ['a gather list that is short', { iovs: list([region, 0, length - 4], [region, 8192, 3]) }],
    ['a gather list that is long', { iovs: list([region, 0, length - 4], [region, 8192, 5]) }],
    [
      'a gather list with a piece of fewer than no bytes',
      { iovs: list([region, 0, length + 4], [region, 0, -4]) },
    ],
    ['a gather list that leaves its region', { iovs: list([region, 0, 4], [region, bytes - 4, length - 4]) }],
    [
      'a gather list with a region that is not there',
      { iovs: list([region, 0, 4], [60_000, 0, length - 4]) },
    ],
    ['a gather list without a region', { iovs: list([region, 0, 4], [-1, 0, length - 4]) }],
  ];
  if (length === 4) return;
  for (const type of [IoType.READ, IoType.WRITE, IoType.COMPARE]) {
    if (!channel.supports(type)) continue;
    const wrong = type === IoType.READ ? places : [...places, ['no place', { region: -1, length }] as const];
    for (const [what, fields] of wrong)
      refused(
        `a ${ioTypeNames[type]} with ${what}`,
        channel,
        (io) => void Object.assign(io, { type, offset_blocks: 0, num_blocks: unit, offset: 0, ...fields }),
        Errno.EINVAL,
      );
  }
}

const wrong: Check = {
  title: 'refuses ranges and memory that cannot be, without effect',
  async run(trial) {
    const harness = trial.harness();
    if (harness.supports('write')) await harness.writeAll();
    const { bdevs } = trial.bench;
    const before = await trial.bench.settled('statistics', bdevs.iostat(trial.name));
    refuseRanges(trial, harness);
    refuseMemory(trial, harness);
    const channel = harness.channels[0]!;
    if (channel.supports(IoType.ABORT))
      refused(
        'an abort of nothing',
        channel,
        (io) => void Object.assign(io, { type: IoType.ABORT }),
        Errno.EINVAL,
      );
    for (let i = 0; i < 4; i++) await trial.bench.poll();
    const after = await trial.bench.settled('statistics', bdevs.iostat(trial.name));
    same('counters after I/O that was refused', after, before);
    await harness.check();
  },
};

export const refusalChecks: readonly Check[] = [unsupported, wrong];
