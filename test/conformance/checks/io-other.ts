/** Flush, Dataset Management, and fields that all I/O commands have (Base 2.0, 7.1; NVM 1.0, 3.2.3). */
import { dsmAttribute, fuse, fuses, NSID_ALL, nvmOpcode, oncs, vwc } from '@spdk-ts/nvme-spec';
import type { Bench } from '../bench.ts';
import {
  all,
  answers,
  type Check,
  check,
  hasStatus,
  holds,
  of,
  type Row,
  succeeded,
  tcpAnswers,
  type Unless,
} from '../check.ts';
import { command, generic } from '../codes.ts';
import { dsm, fill, holdsData, ranged } from '../io.ts';

const FLUSH = 'Base 2.0, 7.1';
const DSM = 'NVM 1.0, 3.2.3';
const flush = async (bench: Bench, nsid: number) =>
  (await bench.io()).submit({ opcode: nvmOpcode.flush, nsid, psdt: 1 });
const needsDsm: Unless = ({ controller }) =>
  controller.oncs & oncs.datasetManagement ? '' : 'Dataset Management is not supported (ONCS bit 2)';

const flushes = [
  answers({ id: 'io.flush.nsid', section: FLUSH, title: 'Flush of a namespace' }, 0, (bench) =>
    flush(bench, bench.facts.ns.nsid),
  ),
  answers(
    { id: 'io.flush.nsid-0', section: FLUSH, title: 'Flush with NSID 0' },
    [generic.invalidNamespaceOrFormat, generic.invalidField],
    (bench) => flush(bench, 0),
  ),
  check(
    { id: 'io.flush.nsid-ffffffff', section: FLUSH, title: 'Flush with NSID FFFFFFFFh' },
    'success where VWC says that it is supported, Invalid Namespace or Format where it says that it is not',
    async (bench) => {
      const done = await flush(bench, NSID_ALL);
      const says = bench.facts.controller.vwc & 6;
      if (says === vwc.flushAllSupported) return succeeded(done);
      if (says === vwc.flushAllUnsupported)
        return hasStatus(done, [generic.invalidNamespaceOrFormat, generic.invalidField]);
      return hasStatus(done, [0, generic.invalidNamespaceOrFormat, generic.invalidField]);
    },
  ),
  answers(
    {
      id: 'io.flush.inactive',
      section: FLUSH,
      title: 'Flush with an NSID that has no active namespace',
      unless: ({ inactive }) => (inactive === 0 ? 'every NSID up to NN is active' : ''),
    },
    [generic.invalidNamespaceOrFormat, generic.invalidField],
    (bench) => flush(bench, bench.facts.inactive),
  ),
];

const row = (id: string, title: string, more: Partial<Row> = {}): Row => ({
  id: `io.dsm.${id}`,
  section: DSM,
  title: `Dataset Management ${title}`,
  unless: needsDsm,
  ...more,
});
const { deallocate, integralRead, integralWrite } = dsmAttribute;

const datasets = [
  check(
    row('deallocate', 'that deallocates three ranges'),
    'success; the blocks read as DLFEAT says, others as before',
    async (bench) => {
      const queue = await bench.io();
      const { block_size, data: id } = bench.facts.ns;
      const data = await fill(queue, bench, 0, 32, 81);
      const done = await dsm(queue, bench, deallocate, [
        [2, 4],
        [10, 1],
        [16, 8],
      ]);
      const outcomes = [succeeded(done)];
      for (const [from, to] of [
        [0, 2],
        [6, 10],
        [11, 16],
        [24, 32],
      ] as const)
        outcomes.push(
          await holdsData(
            queue,
            bench,
            from,
            data.subarray(from * block_size, to * block_size),
            `blocks ${from} to ${to - 1}`,
          ),
        );
      const { data: back, status } = await ranged.read(queue, bench, { lba: 16, blocks: 8 });
      const reads = id.dlfeat & 7;
      const all8 = (byte: number): boolean => back.every((one) => one === byte);
      const same = back.equals(data.subarray(16 * block_size, 24 * block_size));
      const right = reads === 1 ? all8(0) : reads === 2 ? all8(0xff) : all8(0) || all8(0xff) || same;
      outcomes.push(
        of(
          'deallocated blocks',
          holds(status === 0 && right, `DLFEAT ${reads}${right ? '' : ', other data'}`),
        ),
      );
      return all(...outcomes);
    },
  ),
  answers(row('hints', 'with the integral read and write attributes alone'), 0, async (bench) =>
    dsm(await bench.io(), bench, integralRead | integralWrite, [[0, 8]]),
  ),
  answers(row('empty-range', 'with a range of no blocks'), [0, generic.invalidField], async (bench) =>
    dsm(await bench.io(), bench, deallocate, [[0, 0]]),
  ),
  answers(
    row('ranges-256', 'with 256 ranges', {
      unless: (facts) =>
        needsDsm(facts) ||
        (facts.limits !== null && facts.limits.dmrl > 0 && facts.limits.dmrl < 256 ? 'DMRL is less' : ''),
    }),
    0,
    async (bench) =>
      dsm(
        (await bench.pair()).queue,
        bench,
        deallocate,
        Array.from({ length: 256 }, (_, i) => [i * 2, 1] as const),
      ),
  ),
  answers(
    row('lba-end', 'of a range that begins behind the last block'),
    generic.lbaOutOfRange,
    async (bench) => dsm(await bench.io(), bench, deallocate, [[bench.facts.ns.blocks, 1]]),
  ),
  answers(
    row('lba-across', 'of a range that ends behind the last block'),
    generic.lbaOutOfRange,
    async (bench) => dsm(await bench.io(), bench, deallocate, [[bench.facts.ns.blocks - 1, 2]]),
  ),
  answers(
    row('lba-second', 'of two ranges, the second of which is outside'),
    generic.lbaOutOfRange,
    async (bench) =>
      dsm(await bench.io(), bench, deallocate, [
        [0, 1],
        [bench.facts.ns.blocks, 1],
      ]),
  ),
  tcpAnswers(
    row('sgl-short', 'with NR 2 and data for one range'),
    [generic.dataSglLengthInvalid, generic.invalidField],
    async (bench) => dsm((await bench.pair()).queue, bench, deallocate, [[0, 1]], { nr: 2 }),
  ),
  answers(
    row('nsid-0', 'with NSID 0'),
    [generic.invalidNamespaceOrFormat, generic.invalidField],
    async (bench) => dsm(await bench.io(), bench, deallocate, [[0, 1]], { nsid: 0 }),
  ),
  answers(
    row('nsid-ffffffff', 'with NSID FFFFFFFFh'),
    [generic.invalidNamespaceOrFormat, generic.invalidField],
    async (bench) => dsm(await bench.io(), bench, deallocate, [[0, 1]], { nsid: NSID_ALL }),
  ),
  answers(
    row('dmrsl', 'of one block more than DMRSL', {
      section: 'NVM 1.0, 4.1.5.4',
      unless: (facts) =>
        needsDsm(facts) ||
        (facts.limits === null || facts.limits.dmrsl === 0 || facts.limits.dmrsl >= facts.ns.blocks
          ? 'there is no such limit'
          : ''),
    }),
    command.commandSizeLimitExceeded,
    async (bench) => dsm(await bench.io(), bench, deallocate, [[0, bench.facts.limits!.dmrsl + 1]]),
  ),
];

const fusedUnless: Unless = ({ controller }) =>
  controller.fuses & fuses.compareAndWrite ? 'fused operations are supported (FUSES bit 0)' : '';
const fused = [fuse.first, fuse.second, 3].map((value) =>
  answers(
    {
      id: `io.fuse-${value}`,
      section: 'Base 2.0, 3.3.3.1',
      title: `Read with FUSE ${value}, where fused operations are not supported`,
      unless: value === 3 ? undefined : fusedUnless,
    },
    generic.invalidField,
    async (bench) => ranged.read((await bench.pair()).queue, bench, { fuse: value }),
  ),
);

export const otherChecks: readonly Check[] = [...flushes, ...datasets, ...fused];
