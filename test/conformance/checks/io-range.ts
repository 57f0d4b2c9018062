/** The commands about one range of blocks: what is wrong with a range, a namespace or a field (NVM 1.0, 3.2). */
import { csi, NSID_ALL, oncs, rwFlag } from '@spdk-ts/nvme-spec';
import type { Completion } from '../../host/index.ts';
import type { Bench } from '../bench.ts';
import { WITNESS_BLOCKS } from '../bench.ts';
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
  type Unless,
} from '../check.ts';
import { generic } from '../codes.ts';
import type { Facts } from '../facts.ts';
import { fill, holdsData, type Range, type Ranged, ranged } from '../io.ts';

interface Command {
  readonly name: Ranged;
  readonly title: string;
  readonly section: string;
  readonly unless?: Unless;
  /** Moves data between host and controller, so that MDTS limits it. */
  readonly moves: boolean;
}
const needs =
  (bit: number, what: string): Unless =>
  ({ controller }) =>
    controller.oncs & bit ? '' : `${what} is not supported (ONCS)`;

const commands: readonly Command[] = [
  { name: 'read', title: 'Read', section: 'NVM 1.0, 3.2.4', moves: true },
  { name: 'write', title: 'Write', section: 'NVM 1.0, 3.2.6', moves: true },
  {
    name: 'compare',
    title: 'Compare',
    section: 'NVM 1.0, 3.2.1',
    unless: needs(oncs.compare, 'Compare'),
    moves: true,
  },
  {
    name: 'writeZeroes',
    title: 'Write Zeroes',
    section: 'NVM 1.0, 3.2.8',
    unless: needs(oncs.writeZeroes, 'Write Zeroes'),
    moves: false,
  },
  {
    name: 'verify',
    title: 'Verify',
    section: 'NVM 1.0, 3.2.5',
    unless: needs(oncs.verify, 'Verify'),
    moves: false,
  },
  {
    name: 'writeUncorrectable',
    title: 'Write Uncorrectable',
    section: 'NVM 1.0, 3.2.7',
    unless: needs(oncs.writeUncorrectable, 'Write Uncorrectable'),
    moves: false,
  },
];

const also =
  (...conditions: (Unless | undefined)[]): Unless =>
  (facts) =>
    conditions.map((unless) => unless?.(facts) ?? '').find((why) => why !== '') ?? '';
const needsInactive: Unless = ({ inactive }: Facts) =>
  inactive === 0 ? 'every NSID up to NN is active' : '';

const send =
  (name: Ranged, range: (bench: Bench) => Range) =>
  async (bench: Bench): Promise<Completion> =>
    ranged[name](await bench.io(), bench, range(bench));

function ofCommand({ name, title, section, unless, moves }: Command): Check[] {
  const row = (id: string, what: string, more: Unless[] = []): Row => ({
    ...{ id: `io.${name}.${id}`, section, title: `${title} ${what}` },
    unless: also(unless, ...more),
  });
  const namespaces = [
    answers(
      row('nsid-0', 'with NSID 0'),
      generic.invalidNamespaceOrFormat,
      send(name, () => ({ nsid: 0 })),
    ),
    answers(
      row('nsid-ffffffff', 'with NSID FFFFFFFFh'),
      [generic.invalidNamespaceOrFormat, generic.invalidField],
      send(name, () => ({ nsid: NSID_ALL })),
    ),
    answers(
      row('nsid-inactive', 'with an NSID that has no active namespace', [needsInactive]),
      [generic.invalidNamespaceOrFormat, generic.invalidField],
      send(name, ({ facts }) => ({ nsid: facts.inactive })),
    ),
    answers(
      row('nsid-above', 'with an NSID above NN', [
        ({ controller }) => (controller.nn >= 0xffff_fffe ? 'there is none' : ''),
      ]),
      generic.invalidNamespaceOrFormat,
      send(name, ({ facts }) => ({ nsid: facts.controller.nn + 1 })),
    ),
  ];
  const ranges: [string, string, (bench: Bench) => Range][] = [
    ['lba-end', 'of the block behind the last', ({ facts: { ns } }) => ({ lba: ns.blocks })],
    [
      'lba-across',
      'of two blocks, of which the second is behind the last',
      ({ facts: { ns } }) => ({ lba: ns.blocks - 1, blocks: 2 }),
    ],
    ['lba-2-32', 'of a block 2^32 behind one that is there', () => ({ lbaDwords: [0, 1] })],
    ['lba-2-63', 'of block 2^63', () => ({ lbaDwords: [0, 0x8000_0000] })],
    [
      'lba-wraps',
      'of eight blocks from block 2^64 - 4 on',
      () => ({ lbaDwords: [0xffff_fffc, 0xffff_ffff], blocks: 8 }),
    ],
  ];
  const outside = ranges.map(([id, what, range]) =>
    answers(
      row(id, what, [
        ({ ns }) => (id === 'lba-2-32' && ns.blocks > 2 ** 32 ? 'the namespace is that large' : ''),
      ]),
      generic.lbaOutOfRange,
      send(name, range),
    ),
  );
  const more = [
    answers(
      row('psdt-3', 'with the reserved PSDT 3'),
      generic.invalidField,
      send(name, () => ({ psdt: 3 })),
    ),
    answers(
      row('last-block', 'of the last block that the suite uses'),
      name === 'compare' ? [0, 0x285] : 0,
      send(name, ({ facts: { ns } }) => ({ lba: ns.blocks - WITNESS_BLOCKS - 1 })),
    ),
  ];
  return [
    ...namespaces,
    ...outside,
    ...more,
    ...(moves ? [tooLarge({ name, title, section, moves, ...(unless && { unless }) })] : []),
  ];
}

/** One block more than MDTS allows. */
function tooLarge({ name, title, section, unless }: Command): Check {
  return answers(
    {
      ...{
        id: `io.${name}.mdts`,
        section: `${section}; Base 2.0, 5.17.2.1`,
        title: `${title} of one block more than MDTS allows`,
      },
      unless: also(unless, ({ transfer_max, ns }) =>
        transfer_max / ns.block_size >= Math.min(65_536, ns.blocks) ? 'MDTS allows every command' : '',
      ),
    },
    generic.invalidField,
    async (bench) => {
      const { queue } = await bench.pair();
      return ranged[name](queue, bench, { blocks: bench.facts.transfer_max / bench.facts.ns.block_size + 1 });
    },
  );
}

const most = check(
  {
    id: 'io.mdts',
    section: 'Base 2.0, 5.17.2.1',
    title: 'Write and Read of as many bytes as MDTS allows (or 1 MiB)',
  },
  'success, and the same data',
  async (bench) => {
    const { ns, transfer_max } = bench.facts;
    const blocks =
      Math.min(transfer_max, 1 << 20, (ns.blocks - WITNESS_BLOCKS) * ns.block_size) / ns.block_size;
    const { queue } = await bench.pair();
    const data = await fill(queue, bench, 0, blocks, 41);
    return holdsData(queue, bench, 0, data, `${data.length} bytes`);
  },
);

const flags: readonly [string, string, number][] = [
  ['fua', 'Force Unit Access', rwFlag.fua],
  ['lr', 'Limited Retry', rwFlag.lr],
];
const flagged = (['read', 'write'] as const).flatMap((name) =>
  flags.map(([id, title, flag]) =>
    answers(
      {
        id: `io.${name}.${id}`,
        section: name === 'read' ? 'NVM 1.0, 3.2.4' : 'NVM 1.0, 3.2.6',
        title: `${name === 'read' ? 'Read' : 'Write'} with ${title}`,
      },
      0,
      send(name, () => ({ flags: flag })),
    ),
  ),
);

const directive = answers(
  {
    id: 'io.write.dtype',
    section: 'NVM 1.0, 3.2.6',
    title: 'Write with Directive Type 1 (streams), where directives are not supported (OACS bit 5)',
    severity: 'should',
    unless: ({ controller }) => (controller.oacs & 0x20 ? 'directives are supported' : ''),
  },
  [generic.invalidField, 0],
  send('write', () => ({ flags: 1 << 20 })),
);

const prinfo = check(
  {
    id: 'io.prinfo-unformatted',
    section: 'NVM 1.0, 5.2',
    title: 'Read and Write with PRCHK bits, of a namespace without protection information',
  },
  'success: they are ignored',
  async (bench) => {
    const queue = await bench.io();
    const checks = rwFlag.prchkGuard | rwFlag.prchkReferenceTag | rwFlag.prchkApplicationTag;
    return all(
      of('Write', succeeded(await ranged.write(queue, bench, { flags: checks }))),
      of('Read', succeeded(await ranged.read(queue, bench, { flags: checks }))),
    );
  },
);

/** Write Zeroes and its like, by what is read afterwards. */
const effects = [
  check(
    {
      id: 'io.writeZeroes.data',
      section: 'NVM 1.0, 3.2.8',
      title: 'Write Zeroes of the middle of what was written',
      unless: needs(oncs.writeZeroes, 'Write Zeroes'),
    },
    'zeroes there, and what was there before around it',
    async (bench) => {
      const queue = await bench.io();
      const data = await fill(queue, bench, 0, 8, 51);
      const done = await ranged.writeZeroes(queue, bench, { lba: 2, blocks: 4 });
      const { block_size } = bench.facts.ns;
      data.fill(0, 2 * block_size, 6 * block_size);
      return all(succeeded(done), await holdsData(queue, bench, 0, data, 'blocks 0 to 7'));
    },
  ),
  check(
    {
      id: 'io.writeZeroes.deac',
      section: 'NVM 1.0, 3.2.8',
      title: 'Write Zeroes with DEAC',
      unless: needs(oncs.writeZeroes, 'Write Zeroes'),
    },
    'success, and zeroes; or Invalid Field in Command where DLFEAT bit 3 is clear',
    async (bench) => {
      const queue = await bench.io();
      const data = await fill(queue, bench, 0, 8, 52);
      const done = await ranged.writeZeroes(queue, bench, { blocks: 8, flags: rwFlag.deac });
      if (!(bench.facts.ns.data.dlfeat & 8) && done.status !== 0)
        return hasStatus(done, [generic.invalidField]);
      return all(succeeded(done), await holdsData(queue, bench, 0, data.fill(0), 'blocks 0 to 7'));
    },
  ),
  check(
    {
      id: 'io.writeZeroes.wzsl',
      section: 'NVM 1.0, 4.1.5.4',
      title: 'Write Zeroes of one block more than WZSL',
      unless: also(needs(oncs.writeZeroes, 'Write Zeroes'), ({ limits, ns, cap }) =>
        limits === null ||
        limits.wzsl === 0 ||
        2 ** (12 + cap.mpsmin + limits.wzsl) >= ns.block_size * Math.min(65_536, ns.blocks)
          ? 'there is no such limit'
          : '',
      ),
    },
    'Invalid Field in Command',
    async (bench) => {
      const { limits, ns, cap } = bench.facts;
      const blocks = 2 ** (12 + cap.mpsmin + limits!.wzsl) / ns.block_size + 1;
      return hasStatus(await ranged.writeZeroes(await bench.io(), bench, { blocks }), [generic.invalidField]);
    },
  ),
  check(
    {
      id: 'io.compare.equal',
      section: 'NVM 1.0, 3.2.1',
      title: 'Compare with what was written',
      unless: needs(oncs.compare, 'Compare'),
    },
    'Successful Completion',
    async (bench) => {
      const queue = await bench.io();
      await fill(queue, bench, 16, 4, 61);
      return succeeded(await ranged.compare(queue, bench, { lba: 16, blocks: 4 }, 61));
    },
  ),
  check(
    {
      id: 'io.compare.differs',
      section: 'NVM 1.0, 3.2.1',
      title: 'Compare with other data',
      unless: needs(oncs.compare, 'Compare'),
    },
    'Compare Failure (2/85h), and the blocks are as before',
    async (bench) => {
      const queue = await bench.io();
      const data = await fill(queue, bench, 16, 4, 61);
      const done = await ranged.compare(queue, bench, { lba: 16, blocks: 4 }, 62);
      return all(hasStatus(done, [0x285]), await holdsData(queue, bench, 16, data, 'the blocks'));
    },
  ),
  check(
    {
      id: 'io.verify.data',
      section: 'NVM 1.0, 3.2.5',
      title: 'Verify of blocks that were written',
      unless: needs(oncs.verify, 'Verify'),
    },
    'Successful Completion',
    async (bench) => {
      const queue = await bench.io();
      await fill(queue, bench, 0, 8, 71);
      return succeeded(await ranged.verify(queue, bench, { blocks: 8 }));
    },
  ),
  check(
    {
      id: 'io.writeUncorrectable.data',
      section: 'NVM 1.0, 3.2.7',
      title: 'Write Uncorrectable, Read, then Write and Read',
      unless: needs(oncs.writeUncorrectable, 'Write Uncorrectable'),
    },
    'Unrecovered Read Error (2/81h) until the block is written again',
    async (bench) => {
      const queue = await bench.io();
      const done = await ranged.writeUncorrectable(queue, bench, { lba: 24 });
      const bad = await ranged.read(queue, bench, { lba: 24 });
      const data = await fill(queue, bench, 24, 1, 72);
      return all(
        succeeded(done),
        of('Read', hasStatus(bad, [0x281])),
        await holdsData(queue, bench, 24, data, 'written again'),
      );
    },
  ),
];

const limitsOf = [
  { field: 'vsl', bit: oncs.verify, name: 'verify' },
  { field: 'wusl', bit: oncs.writeUncorrectable, name: 'writeUncorrectable' },
] as const;
const limits = limitsOf.map(({ field, bit, name }) =>
  answers(
    {
      id: `io.${name}.${field}`,
      section: 'NVM 1.0, 4.1.5.4',
      title: `${name} of one block more than ${field.toUpperCase()}`,
      unless: also(needs(bit, name), ({ limits: given, ns, cap }) =>
        given === null ||
        given[field] === 0 ||
        2 ** (12 + cap.mpsmin + given[field]) >= ns.block_size * Math.min(65_536, ns.blocks)
          ? 'there is no such limit'
          : '',
      ),
    },
    generic.invalidField,
    send(name, ({ facts: { limits: given, ns, cap } }) => ({
      blocks: 2 ** (12 + cap.mpsmin + given![field]) / ns.block_size + 1,
    })),
  ),
);

const ordinary = check(
  {
    id: 'io.trip',
    section: 'NVM 1.0, 3.2.4',
    title: 'Writes and reads of 1 to 64 blocks, overlapping each other',
  },
  'the last data that were written',
  async (bench) => {
    const queue = await bench.io();
    const { block_size } = bench.facts.ns;
    const image = await fill(queue, bench, 0, 64, 1);
    for (const [lba, blocks] of [
      [0, 1],
      [1, 2],
      [3, 5],
      [7, 9],
      [15, 17],
      [31, 33],
      [63, 1],
    ] as const)
      image.set(await fill(queue, bench, lba, blocks, lba + 100), lba * block_size);
    return holdsData(queue, bench, 0, image, 'blocks 0 to 63');
  },
);

const others = check(
  {
    id: 'io.namespaces',
    section: 'Base 2.0, 3.2.1',
    title: 'Read of the first block of every namespace of the NVM Command Set',
  },
  'success',
  async (bench) => {
    const queue = await bench.io();
    const outcomes = [];
    for (const { nsid, set, metadata, block_size } of bench.facts.namespaces) {
      if (set !== csi.nvm || metadata > 0) continue;
      const done = await queue.submitRead({ opcode: 2, nsid, psdt: 1 }, block_size);
      outcomes.push(of(`NSID ${nsid}`, succeeded(done)));
    }
    return all(...outcomes, holds(outcomes.length > 0, `${outcomes.length} namespaces`));
  },
);

export const rangeChecks: readonly Check[] = [
  ...commands.flatMap(ofCommand),
  most,
  ...flagged,
  directive,
  prinfo,
  ...effects,
  ...limits,
  ordinary,
  others,
];
