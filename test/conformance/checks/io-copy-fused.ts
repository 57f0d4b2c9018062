/** Copy and fused Compare and Write, where the controller has them (NVM 1.0, 3.2.2 and 2.1.1; Base 2.0, 3.4.2). */
import {
  copyRangeSize,
  encodeCopyRange,
  fuse,
  fuses,
  nvmOpcode,
  oncs,
  setCopyDestination,
  viewOf,
} from '@spdk-ts/nvme-spec';
import { type CommandQueue, type Completion, pattern } from '../../host/index.ts';
import type { Bench } from '../bench.ts';
import {
  all,
  answers,
  type Check,
  check,
  hasStatus,
  of,
  type Row,
  succeeded,
  tcpAnswers,
  type Unless,
} from '../check.ts';
import { command, generic } from '../codes.ts';
import { fill, holdsData, ranged, rangeFields } from '../io.ts';

const COPY = 'NVM 1.0, 3.2.2';
const FUSED = 'NVM 1.0, 2.1.1';

interface CopyWay {
  readonly to: number;
  /** First block and blocks of each source range. */
  readonly ranges: readonly (readonly [number, number])[];
  readonly format?: number;
  readonly nsid?: number;
  /** Ranges that the command says it has. */
  readonly nr?: number;
}

function copy(queue: CommandQueue, bench: Bench, way: CopyWay): Promise<Completion> {
  const { to, ranges, format = 0, nsid = bench.facts.ns.nsid, nr = ranges.length } = way;
  const size = copyRangeSize(format) || 32;
  const data = new Uint8Array(size * ranges.length);
  const known = copyRangeSize(format) === 0 ? 0 : format;
  for (const [i, [slba, blocks]] of ranges.entries())
    encodeCopyRange(viewOf(data), i * size, known, slba, blocks);
  const sqe = new Uint8Array(64);
  setCopyDestination(viewOf(sqe), 0, to, nr, format, 0);
  const dword = (n: number): number => viewOf(sqe).getUint32(4 * n, true);
  const fields = {
    opcode: nvmOpcode.copy,
    nsid,
    psdt: 1,
    cdw10: dword(10),
    cdw11: dword(11),
    cdw12: dword(12),
  };
  return data.length <= bench.facts.capsule_bytes
    ? queue.submit(fields, data)
    : queue.submitR2t(fields, data);
}

const needsCopy: Unless = ({ controller }) =>
  controller.oncs & oncs.copy ? '' : 'Copy is not supported (ONCS bit 8)';
const row = (id: string, title: string, more: Partial<Row> = {}): Row => ({
  id: `io.copy.${id}`,
  section: COPY,
  title: `Copy ${title}`,
  unless: needsCopy,
  ...more,
});

const copies: Check[] = [
  ...[0, 1].map((format) =>
    check(
      row(`format-${format}`, `of three ranges, descriptor format ${format}`, {
        unless: (facts) =>
          needsCopy(facts) ||
          ((facts.controller.ocfs >>> format) & 1 ? '' : `format ${format} is not supported (OCFS)`),
      }),
      format === 1
        ? 'the data, one range behind the other; or Invalid Field in Command, as it has 16-bit guards'
        : 'the data, one range behind the other',
      async (bench) => {
        const queue = await bench.io();
        const { block_size } = bench.facts.ns;
        const source = await fill(queue, bench, 0, 32, 91);
        await fill(queue, bench, 128, 16, 92);
        const done = await copy(queue, bench, {
          to: 128,
          ranges: [
            [0, 2],
            [8, 4],
            [30, 1],
          ],
          format,
        });
        if (format === 1 && done.status !== 0) return hasStatus(done, [generic.invalidField]);
        const part = (lba: number, blocks: number) =>
          source.subarray(lba * block_size, (lba + blocks) * block_size);
        const wanted = Buffer.concat([part(0, 2), part(8, 4), part(30, 1)]);
        return all(succeeded(done), await holdsData(queue, bench, 128, wanted, 'the copy'));
      },
    ),
  ),
  answers(
    row('format-unknown', 'with the descriptor format 15, which is reserved'),
    generic.invalidField,
    async (bench) => copy(await bench.io(), bench, { to: 128, ranges: [[0, 1]], format: 15 }),
  ),
  answers(row('source-outside', 'from behind the last block'), generic.lbaOutOfRange, async (bench) =>
    copy(await bench.io(), bench, { to: 0, ranges: [[bench.facts.ns.blocks, 1]] }),
  ),
  answers(row('destination-outside', 'to behind the last block'), generic.lbaOutOfRange, async (bench) =>
    copy(await bench.io(), bench, { to: bench.facts.ns.blocks, ranges: [[0, 1]] }),
  ),
  answers(
    row('msrc', 'of one range more than MSRC', {
      unless: (facts) => needsCopy(facts) || (facts.ns.data.msrc >= 255 ? 'MSRC allows every number' : ''),
    }),
    command.commandSizeLimitExceeded,
    async (bench) => {
      const count = bench.facts.ns.data.msrc + 2;
      return copy((await bench.pair()).queue, bench, {
        to: 512,
        ranges: Array.from({ length: count }, () => [0, 1] as const),
      });
    },
  ),
  answers(
    row('mssrl', 'of a range of one block more than MSSRL', {
      unless: (facts) =>
        needsCopy(facts) ||
        (facts.ns.data.mssrl >= 65_535 || facts.ns.data.mssrl + 1 > facts.ns.blocks
          ? 'MSSRL allows every range'
          : ''),
    }),
    command.commandSizeLimitExceeded,
    async (bench) => copy(await bench.io(), bench, { to: 0, ranges: [[0, bench.facts.ns.data.mssrl + 1]] }),
  ),
  answers(
    row('mcl', 'of more blocks than MCL, in ranges that are each allowed', {
      unless: (facts) => {
        const { mcl, mssrl, msrc } = facts.ns.data;
        return (
          needsCopy(facts) ||
          ((msrc + 1) * mssrl <= mcl || mcl >= facts.ns.blocks ? 'MCL allows what MSRC and MSSRL do' : '')
        );
      },
    }),
    command.commandSizeLimitExceeded,
    async (bench) => {
      const { mcl, mssrl } = bench.facts.ns.data;
      const ranges = Array.from({ length: Math.floor(mcl / mssrl) + 1 }, () => [0, mssrl] as const);
      return copy((await bench.pair()).queue, bench, { to: 0, ranges });
    },
  ),
  tcpAnswers(
    row('sgl-short', 'with NR 2 and data for one range'),
    [generic.dataSglLengthInvalid, generic.invalidField],
    async (bench) => copy((await bench.pair()).queue, bench, { to: 128, ranges: [[0, 1]], nr: 2 }),
  ),
  answers(
    row('nsid-0', 'with NSID 0'),
    [generic.invalidNamespaceOrFormat, generic.invalidField],
    async (bench) => copy(await bench.io(), bench, { to: 128, ranges: [[0, 1]], nsid: 0 }),
  ),
];

// --- fused ---

const needsFused: Unless = ({ controller }) =>
  controller.fuses & fuses.compareAndWrite ? '' : 'fused operations are not supported (FUSES bit 0)';
const fusedRow = (id: string, title: string): Row => ({
  id: `io.fused.${id}`,
  section: FUSED,
  title,
  unless: needsFused,
});

/** Compare and Write as one: both told of at once, the first in front. */
function compareAndWrite(
  queue: CommandQueue,
  bench: Bench,
  [compareLba, compareSeed]: readonly [number, number],
  [writeLba, writeSeed]: readonly [number, number],
): Promise<[Completion, Completion]> {
  const { block_size } = bench.facts.ns;
  const one = (opcode: number, fused: number, lba: number, seed: number) =>
    [rangeFields(bench, opcode, { lba, fuse: fused }), pattern(block_size, seed)] as const;
  const [compared, written] = queue.together(
    one(nvmOpcode.compare, fuse.first, compareLba, compareSeed),
    one(nvmOpcode.write, fuse.second, writeLba, writeSeed),
  );
  return Promise.all([compared!, written!]);
}

const fused: Check[] = [
  check(
    fusedRow('equal', 'Compare and Write, with what is there'),
    'both succeed, and the new data are read',
    async (bench) => {
      const { queue } = await bench.pair();
      await fill(queue, bench, 40, 1, 5);
      const [compared, written] = await compareAndWrite(queue, bench, [40, 5], [40, 6]);
      const data = pattern(bench.facts.ns.block_size, 6);
      return all(
        of('Compare', succeeded(compared)),
        of('Write', succeeded(written)),
        await holdsData(queue, bench, 40, data, 'the block'),
      );
    },
  ),
  check(
    fusedRow('differs', 'Compare and Write, with other data'),
    'Compare Failure, Command Aborted due to Failed Fused Command; the block is as before',
    async (bench) => {
      const { queue } = await bench.pair();
      const before = await fill(queue, bench, 40, 1, 5);
      const [compared, written] = await compareAndWrite(queue, bench, [40, 7], [40, 6]);
      return all(
        of('Compare', hasStatus(compared, [0x285])),
        of('Write', hasStatus(written, [generic.abortedFailedFused])),
        await holdsData(queue, bench, 40, before, 'the block'),
      );
    },
  ),
  check(
    fusedRow('ranges-differ', 'Compare and Write of different blocks'),
    'both are aborted, Invalid Field in Command among their statuses; nothing is written',
    async (bench) => {
      const { queue } = await bench.pair();
      await fill(queue, bench, 40, 1, 5);
      const before = await fill(queue, bench, 41, 1, 8);
      const [compared, written] = await compareAndWrite(queue, bench, [40, 5], [41, 6]);
      const codes = [generic.invalidField, generic.abortedFailedFused, generic.abortedMissingFused];
      return all(
        of('Compare', hasStatus(compared, codes)),
        of('Write', hasStatus(written, codes)),
        await holdsData(queue, bench, 41, before, 'the block'),
      );
    },
  ),
  check(
    fusedRow('first-alone', 'The first command of a pair, then a Read that is not fused'),
    'Command Aborted due to Missing Fused Command; the Read succeeds',
    async (bench) => {
      const { queue } = await bench.pair();
      await fill(queue, bench, 40, 1, 5);
      const first = ranged.compare(queue, bench, { lba: 40, fuse: fuse.first }, 5);
      const second = ranged.read(queue, bench, { lba: 40 });
      return all(
        of('Compare', hasStatus(await first, [generic.abortedMissingFused])),
        of('Read', succeeded(await second)),
      );
    },
  ),
  check(
    fusedRow('second-alone', 'The second command of a pair without the first'),
    'Command Aborted due to Missing Fused Command; nothing is written',
    async (bench) => {
      const { queue } = await bench.pair();
      const before = await fill(queue, bench, 40, 1, 5);
      const done = await ranged.write(queue, bench, { lba: 40, fuse: fuse.second }, 6);
      return all(
        hasStatus(done, [generic.abortedMissingFused]),
        await holdsData(queue, bench, 40, before, 'the block'),
      );
    },
  ),
];

export const copyFusedChecks: readonly Check[] = [...copies, ...fused];
