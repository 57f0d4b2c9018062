/** I/O commands as checks send them, to the namespace that they may write to. */
import { encodeDsmRange, nvmOpcode, sglId, viewOf } from '@spdk-ts/nvme-spec';
import { type CommandQueue, type Completion, pattern, type RawQueue, read, write } from '../host/index.ts';
import type { Bench } from './bench.ts';
import { all, holds, type Outcome, of, succeeded } from './check.ts';

export interface Range {
  /** First block; a number or, beyond 2^53, two dwords. */
  readonly lba?: number;
  readonly lbaDwords?: readonly [number, number];
  readonly blocks?: number;
  readonly nsid?: number;
  /** Or-ed into cdw12. */
  readonly flags?: number;
  readonly cdw13?: number;
  readonly cdw14?: number;
  readonly cdw15?: number;
  readonly fuse?: number;
  readonly psdt?: number;
}

/** The fields of a command about one range of blocks. */
export function rangeFields(bench: Bench, opcode: number, range: Range = {}) {
  const { lba = 0, blocks = 1, flags = 0, cdw13 = 0, cdw14 = 0, cdw15 = 0, fuse = 0, psdt = 1 } = range;
  const [cdw10, cdw11] = range.lbaDwords ?? [lba >>> 0, Math.floor(lba / 2 ** 32)];
  const nsid = range.nsid ?? bench.facts.ns.nsid;
  return { opcode, nsid, psdt, fuse, cdw10, cdw11, cdw12: (flags | (blocks - 1)) >>> 0, cdw13, cdw14, cdw15 };
}

export const bytesOf = (bench: Bench, blocks: number): number => blocks * bench.facts.ns.block_size;

/** Commands about a range, whatever their status: data in the capsule where they fit, else by R2T. */
export const ranged = {
  read: (queue: CommandQueue, bench: Bench, range: Range = {}): Promise<Completion> =>
    queue.submitRead(rangeFields(bench, nvmOpcode.read, range), bytesOf(bench, range.blocks ?? 1)),
  write: (queue: CommandQueue, bench: Bench, range: Range = {}, seed = 1): Promise<Completion> =>
    withData(queue, bench, nvmOpcode.write, range, pattern(bytesOf(bench, range.blocks ?? 1), seed)),
  compare: (queue: CommandQueue, bench: Bench, range: Range = {}, seed = 1): Promise<Completion> =>
    withData(queue, bench, nvmOpcode.compare, range, pattern(bytesOf(bench, range.blocks ?? 1), seed)),
  writeZeroes: (queue: CommandQueue, bench: Bench, range: Range = {}): Promise<Completion> =>
    queue.submit(rangeFields(bench, nvmOpcode.writeZeroes, range)),
  verify: (queue: CommandQueue, bench: Bench, range: Range = {}): Promise<Completion> =>
    queue.submit(rangeFields(bench, nvmOpcode.verify, range)),
  writeUncorrectable: (queue: CommandQueue, bench: Bench, range: Range = {}): Promise<Completion> =>
    queue.submit(rangeFields(bench, nvmOpcode.writeUncorrectable, range)),
} as const;

export type Ranged = keyof typeof ranged;

export function withData(
  queue: CommandQueue,
  bench: Bench,
  opcode: number,
  range: Range,
  data: Uint8Array,
): Promise<Completion> {
  const fields = rangeFields(bench, opcode, range);
  const inCapsule = data.length <= bench.facts.capsule_bytes;
  return inCapsule ? queue.submit(fields, data) : queue.submitR2t(fields, data);
}

/** A command with an SGL descriptor of the check's own; its data, if any, are in the capsule. */
export function withSgl(
  queue: RawQueue,
  bench: Bench,
  opcode: number,
  sgl1: { identifier: number; address: number; length: number },
  data: Uint8Array = new Uint8Array(0),
  range: Range = {},
): Promise<Completion> {
  const cid = queue.newCid();
  const room = opcode === nvmOpcode.read ? sgl1.length : 0;
  const done = queue.expect(cid, Math.min(room, 1 << 20));
  queue.stream.send(queue.capsule({ ...rangeFields(bench, opcode, range), cid, sgl1 }, data));
  return done;
}

export const inCapsule = (length: number, address = 0) => ({ identifier: sglId.inCapsule, address, length });
export const transport = (length: number) => ({ identifier: sglId.transportDataBlock, address: 0, length });

/** Dataset Management. `ranges`: first block, blocks, context attributes. */
export function dsm(
  queue: CommandQueue,
  bench: Bench,
  attributes: number,
  ranges: readonly (readonly [number, number, number?])[],
  more: { nsid?: number; nr?: number } = {},
): Promise<Completion> {
  const data = new Uint8Array(16 * ranges.length);
  for (const [i, [slba, blocks, context = 0]] of ranges.entries())
    encodeDsmRange(viewOf(data), 16 * i, slba, blocks, context);
  const { nsid = bench.facts.ns.nsid, nr = ranges.length } = more;
  const fields = { opcode: nvmOpcode.datasetManagement, nsid, psdt: 1, cdw10: nr - 1, cdw11: attributes };
  return data.length <= bench.facts.capsule_bytes
    ? queue.submit(fields, data)
    : queue.submitR2t(fields, data);
}

/** What `blocks` blocks from `lba` on hold is this. */
export async function holdsData(
  queue: CommandQueue,
  bench: Bench,
  lba: number,
  data: Uint8Array,
  what: string,
): Promise<Outcome> {
  const { nsid, block_size } = bench.facts.ns;
  const back = await read(queue, lba, data.length, { nsid, block_size });
  const same = back.data.equals(data);
  return of(
    what,
    all(
      succeeded(back),
      holds(same, same ? 'as expected' : `differs at byte ${firstDifference(back.data, data)}`),
    ),
  );
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  const at = a.findIndex((byte, i) => byte !== b[i]);
  return at < 0 ? a.length : at;
}

/** Writes a pattern, and returns it. Throws if that does not succeed. */
export async function fill(
  queue: CommandQueue,
  bench: Bench,
  lba: number,
  blocks: number,
  seed: number,
): Promise<Buffer> {
  const { nsid, block_size } = bench.facts.ns;
  const data = pattern(blocks * block_size, seed);
  const done = await write(queue, lba, data, { nsid, block_size });
  if (done.status !== 0) throw new Error(`the write before it ends with status ${done.status.toString(16)}h`);
  return data;
}
