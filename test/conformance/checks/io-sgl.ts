/** SGL descriptors of I/O commands (Base 2.0, 4.1.2; TCP Transport 1.0, 3.3) and their lengths. */
import { nvmOpcode, sglId, sgls } from '@spdk-ts/nvme-spec';
import { pattern } from '../../host/index.ts';
import {
  all,
  tcpAnswers as answers,
  type Check,
  tcpCheck as check,
  hasStatus,
  holds,
  of,
  type Row,
  succeeded,
} from '../check.ts';
import { generic } from '../codes.ts';
import { bytesOf, fill, holdsData, inCapsule, ranged, rangeFields, transport, withSgl } from '../io.ts';

const SGL = 'Base 2.0, 4.1.2';
const row = (id: string, title: string, more: Partial<Row> = {}): Row => ({
  id: `sgl.${id}`,
  section: SGL,
  title,
  ...more,
});
const needsCapsule: Row['unless'] = ({ capsule_bytes, ns }) =>
  capsule_bytes < ns.block_size ? 'I/O commands bring no data in their capsules (IOCCSZ)' : '';

const names: Record<number, string> = {
  [sglId.dataBlock]: 'a data block at an address',
  [sglId.bitBucket]: 'a bit bucket',
  [sglId.segment]: 'a segment at an address',
  [sglId.segmentInCapsule]: 'a segment in the capsule',
  [sglId.lastSegment]: 'a last segment at an address',
  [sglId.lastSegmentInCapsule]: 'a last segment in the capsule',
  [sglId.keyedDataBlock]: 'a keyed data block',
  79: 'a keyed data block that invalidates its key',
  80: 'a transport data block of subtype 0',
  91: 'a transport data block of the reserved subtype Bh',
  96: 'the reserved type 6',
  224: 'the reserved type Eh',
  240: 'a vendor’s type',
};

const types = (['read', 'write'] as const).flatMap((name) =>
  Object.entries(names).map(([identifier, what]) =>
    answers(
      row(
        `${name}-${Number(identifier).toString(16)}`,
        `${name === 'read' ? 'Read' : 'Write'} with ${what}`,
        {
          apart: true,
        },
      ),
      [
        generic.sglDescriptorTypeInvalid,
        generic.invalidField,
        generic.invalidSglSegmentDescriptor,
        generic.invalidNumberOfSglDescriptors,
      ],
      async (bench) => {
        const queue = await bench.io();
        const sgl1 = { identifier: Number(identifier), address: 4096, length: bytesOf(bench, 1) };
        return withSgl(queue, bench, nvmOpcode[name], sgl1);
      },
    ),
  ),
);

/** What is in the capsule, and what its descriptor says of it. */
const capsules = [
  answers(
    row('read-in-capsule', 'Read whose data are to go into its capsule'),
    [
      generic.sglDescriptorTypeInvalid,
      generic.invalidField,
      generic.sglOffsetInvalid,
      generic.dataSglLengthInvalid,
    ],
    async (bench) => {
      const { queue } = await bench.pair();
      return withSgl(queue, bench, nvmOpcode.read, inCapsule(bytesOf(bench, 1)));
    },
  ),
  answers(
    row('offset', 'Write with data in the capsule, at an offset behind them', { unless: needsCapsule }),
    [generic.sglOffsetInvalid, generic.dataSglLengthInvalid, generic.invalidField],
    async (bench) => {
      const { queue } = await bench.pair();
      const data = pattern(bytesOf(bench, 1), 1);
      return withSgl(queue, bench, nvmOpcode.write, inCapsule(data.length, 1 << 20), data);
    },
  ),
  check(
    row(
      'offset-inside',
      'Write of one block with two in the capsule, of which the descriptor names the second',
      {
        unless: ({ capsule_bytes, ns }) =>
          capsule_bytes < 2 * ns.block_size ? 'capsules do not hold two blocks' : '',
        severity: 'may',
      },
    ),
    'the second block is written; or SGL Offset Invalid, Data SGL Length Invalid or Invalid Field in Command',
    async (bench) => {
      const { queue } = await bench.pair();
      const { block_size } = bench.facts.ns;
      const before = await fill(queue, bench, 0, 1, 9);
      const data = pattern(2 * block_size, 10);
      const done = await withSgl(queue, bench, nvmOpcode.write, inCapsule(block_size, block_size), data);
      const after = done.status === 0 ? data.subarray(block_size) : before;
      return all(
        hasStatus(done, [0, generic.sglOffsetInvalid, generic.dataSglLengthInvalid, generic.invalidField]),
        await holdsData(queue, bench, 0, after, 'block 0'),
      );
    },
  ),
  answers(
    row('capsule-missing', 'Write whose descriptor says that data are in the capsule, which has none', {
      ...{ unless: needsCapsule, apart: true },
    }),
    [generic.dataSglLengthInvalid, generic.sglOffsetInvalid, generic.invalidField],
    async (bench) => {
      const { queue } = await bench.pair();
      return withSgl(queue, bench, nvmOpcode.write, inCapsule(bytesOf(bench, 1)));
    },
  ),
  answers(
    row(
      'capsule-half',
      'Write with half a block in the capsule, of which the descriptor says that it is one',
      { unless: needsCapsule, apart: true },
    ),
    [generic.dataSglLengthInvalid, generic.sglOffsetInvalid, generic.invalidField],
    async (bench) => {
      const { queue } = await bench.pair();
      return withSgl(
        queue,
        bench,
        nvmOpcode.write,
        inCapsule(bytesOf(bench, 1)),
        pattern(bytesOf(bench, 1) / 2, 1),
      );
    },
  ),
  check(
    row('capsule-most', 'Write of as many bytes as IOCCSZ allows in the capsule', {
      unless: needsCapsule,
      section: 'Base 2.0, 5.17.2.1',
    }),
    'success, and these data are read',
    async (bench) => {
      const { queue } = await bench.pair();
      const blocks = Math.floor(bench.facts.capsule_bytes / bench.facts.ns.block_size);
      const data = pattern(bytesOf(bench, blocks), 12);
      const done = await withSgl(queue, bench, nvmOpcode.write, inCapsule(data.length), data, { blocks });
      return all(succeeded(done), await holdsData(queue, bench, 0, data, `${data.length} bytes`));
    },
  ),
  check(
    row('capsule-beyond', 'Write with one block more in its capsule than IOCCSZ allows', {
      section: 'Base 2.0, 5.17.2.1',
    }),
    'an error, or the end of the connection; the blocks are as before',
    async (bench) => {
      const { queue } = await bench.pair();
      queue.lenient = true;
      const blocks = Math.floor(bench.facts.capsule_bytes / bench.facts.ns.block_size) + 1;
      const before = await fill(await bench.io(), bench, 0, blocks, 13);
      const data = pattern(bytesOf(bench, blocks), 14);
      const done = await withSgl(queue, bench, nvmOpcode.write, inCapsule(data.length), data, {
        blocks,
      }).catch((error: Error) => error);
      const refusedIt =
        done instanceof Error
          ? holds(true, done.message)
          : holds(done.status !== 0, `status ${done.status.toString(16)}h`);
      return all(refusedIt, await holdsData(await bench.io(), bench, 0, before, 'the blocks'));
    },
  ),
];

/** SGL lengths that are not those of the blocks. */
const lengths = [
  answers(
    row('read-short', 'Read of two blocks into an SGL of one'),
    [generic.dataSglLengthInvalid, generic.invalidField],
    async (bench) => {
      const { queue } = await bench.pair();
      return withSgl(queue, bench, nvmOpcode.read, transport(bytesOf(bench, 1)), new Uint8Array(0), {
        blocks: 2,
      });
    },
  ),
  answers(
    row('write-short', 'Write of two blocks with an SGL of one', { apart: true }),
    [generic.dataSglLengthInvalid, generic.invalidField],
    async (bench) => {
      const { queue } = await bench.pair();
      const data = pattern(bytesOf(bench, 1), 1);
      return queue.submitR2t(rangeFields(bench, nvmOpcode.write, { blocks: 2 }), data);
    },
  ),
  answers(
    row('read-zero', 'Read of one block into an SGL of 0 bytes'),
    [generic.dataSglLengthInvalid, generic.invalidField],
    async (bench) => {
      const { queue } = await bench.pair();
      return withSgl(queue, bench, nvmOpcode.read, transport(0));
    },
  ),
  check(
    row('read-long', 'Read of one block into an SGL of two'),
    'success with one block where SGLS bit 18 allows it, else Data SGL Length Invalid or Invalid Field in Command',
    async (bench) => {
      const { queue } = await bench.pair();
      const done = await withSgl(queue, bench, nvmOpcode.read, transport(bytesOf(bench, 2)));
      if (bench.facts.controller.sgls & sgls.oversized)
        return all(
          succeeded(done),
          holds(done.data.length === bytesOf(bench, 1), `${done.data.length} bytes`),
        );
      return hasStatus(done, [generic.dataSglLengthInvalid, generic.invalidField]);
    },
  ),
  check(
    row('read-odd', 'Read of one block into an SGL of one block and two bytes'),
    'success where SGLS bit 18 allows it, else Data SGL Length Invalid, SGL Data Block Granularity Invalid or Invalid Field in Command',
    async (bench) => {
      const { queue } = await bench.pair();
      const done = await withSgl(queue, bench, nvmOpcode.read, transport(bytesOf(bench, 1) + 2));
      const allowed = bench.facts.controller.sgls & sgls.oversized ? [0] : [];
      return hasStatus(done, [
        ...allowed,
        generic.dataSglLengthInvalid,
        generic.sglDataBlockGranularityInvalid,
        generic.invalidField,
      ]);
    },
  ),
  answers(
    row('read-huge', 'Read of one block into an SGL of 4 GiB', {
      unless: ({ controller }) =>
        controller.sgls & sgls.oversized ? 'SGLs may be larger than the data (SGLS bit 18)' : '',
    }),
    [generic.dataSglLengthInvalid, generic.invalidField],
    async (bench) => {
      const { queue } = await bench.pair();
      return withSgl(queue, bench, nvmOpcode.read, transport(0xffff_fffc));
    },
  ),
];

const capsuleOfFlush = check(
  row('flush-data', 'Flush with data in its capsule, which it does not have', { severity: 'may' }),
  'success or an error of the command; the queue goes on',
  async (bench) => {
    const { queue } = await bench.pair();
    const done = await queue.submit(
      { opcode: nvmOpcode.flush, nsid: bench.facts.ns.nsid, psdt: 1 },
      pattern(512, 1),
    );
    return all(
      hasStatus(done, [
        0,
        generic.invalidField,
        generic.dataSglLengthInvalid,
        generic.sglDescriptorTypeInvalid,
      ]),
      of('afterwards', succeeded(await ranged.read(queue, bench))),
    );
  },
);

export const sglChecks: readonly Check[] = [...types, ...capsules, ...lengths, capsuleOfFlush];
