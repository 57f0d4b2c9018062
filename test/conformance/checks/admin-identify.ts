/** Identify (Base 2.0, 5.17): every CNS, with NSIDs, CNTIDs and command sets that are there and that are not. */
import {
  cns,
  cnsName,
  controllerType,
  csi,
  ctratt,
  decodeIoCommandSets,
  decodeNamespaceDescriptors,
  decodeNamespaceList,
  identifyController,
  identifyNamespace,
  isZeroId,
  NSID_ALL,
  oacs,
  sgls,
} from '@spdk-ts/nvme-spec';
import { dataOf, identify } from '../admin.ts';
import type { Bench } from '../bench.ts';
import {
  all,
  answers,
  type Check,
  check,
  hasStatus,
  holds,
  type Outcome,
  of,
  type Row,
  succeeded,
  tcpCheck,
} from '../check.ts';
import { generic } from '../codes.ts';
import type { Facts } from '../facts.ts';

const IDENTIFY = 'Base 2.0, 5.17';
const row = (id: string, title: string, more: Partial<Row> = {}): Row => ({
  id: `identify.${id}`,
  section: IDENTIFY,
  title,
  ...more,
});
const zeroes = (data: Buffer): boolean => data.every((byte) => byte === 0);
const hex = (value: number): string => `${value.toString(16)}h`;
const needsInactive = ({ inactive }: Facts): string =>
  inactive === 0 ? 'every NSID up to NN is active' : '';
const needsManagement = ({ controller }: Facts): string =>
  controller.oacs & oacs.namespaceManagement ? '' : 'Namespace Management is not supported (OACS bit 3)';
const hasManagement = ({ controller }: Facts): boolean => (controller.oacs & oacs.namespaceManagement) !== 0;

const beyond = (bench: Bench): number => bench.facts.controller.nn + 1;
const needsBeyond = ({ controller }: Facts): string =>
  controller.nn >= 0xffff_fffd ? 'NN leaves no NSID that is not valid' : '';

// --- the controller ---

const printable = (text: string): boolean => /^[\x20-\x7e]*$/.test(text) && text.trim() !== '';

function fields({ controller, vs }: Facts): Outcome[] {
  const c = controller;
  return [
    of('SN', holds(printable(c.sn), JSON.stringify(c.sn))),
    of('MN', holds(printable(c.mn), JSON.stringify(c.mn))),
    of('FR', holds(printable(c.fr), JSON.stringify(c.fr))),
    of('VER', holds(c.ver === vs, `${hex(c.ver)}, VS ${hex(vs)}`)),
    of('CNTRLTYPE', holds(c.cntrltype === controllerType.io, String(c.cntrltype))),
    of('SQES', holds((c.sqes & 0xf) === 6 && c.sqes >>> 4 >= 6, hex(c.sqes))),
    of('CQES', holds((c.cqes & 0xf) === 4 && c.cqes >>> 4 >= 4, hex(c.cqes))),
    of('NN', holds(c.nn > 0, String(c.nn))),
    of('MNAN', holds(c.mnan <= c.nn, `${c.mnan}, NN ${c.nn}`)),
  ];
}

function fabricsFields({ controller: c, cap }: Facts): Outcome[] {
  return [
    of('IOCCSZ', holds(c.ioccsz >= 4, `${c.ioccsz} units of 16 bytes`)),
    of('IORCSZ', holds(c.iorcsz >= 1, `${c.iorcsz} units of 16 bytes`)),
    of('ICDOFF', holds(c.icdoff === 0, String(c.icdoff))),
    of('SGLS', holds((c.sgls & 3) !== 0 && (c.sgls & sgls.transportDataBlock) !== 0, hex(c.sgls))),
    of('SGLS offset', holds(c.ioccsz === 4 || (c.sgls & sgls.offset) !== 0, hex(c.sgls))),
    of('KAS', holds(c.kas > 0, `${c.kas} units of 100 ms`)),
    of('MAXCMD', holds(c.maxcmd > 0 && c.maxcmd <= cap.mqes + 1, `${c.maxcmd}, MQES ${cap.mqes}`)),
    of('CTRATT', holds((c.ctratt & ctratt.hostId128) !== 0, hex(c.ctratt))),
  ];
}

const controller = [
  check(
    row('controller', 'CNS 01h'),
    'SN, MN and FR of printable ASCII, VER as VS, CNTRLTYPE of an I/O controller, entry sizes of 64 and 16 bytes, NN not 0',
    (bench) => all(...fields(bench.facts)),
  ),
  tcpCheck(
    row('controller-fabrics', 'CNS 01h, what every controller over TCP says', {
      section: 'Base 2.0, 5.17.2.1; TCP 1.0, 3.3',
    }),
    'IOCCSZ at least 4, IORCSZ at least 1, ICDOFF 0, SGLs with transport data blocks (and offsets, where capsules bring data), keep alive, MAXCMD up to MQES + 1, 128-bit host identifiers',
    (bench) => all(...fabricsFields(bench.facts)),
  ),
  tcpCheck(
    row('controller-subnqn', 'SUBNQN of CNS 01h'),
    'the NQN that was connected to, zeroes behind it',
    async (bench) => {
      const data = await dataOf('Identify', identify(await bench.admin(), cns.controller));
      const { subnqn } = identifyController.decode(data);
      const rest = zeroes(data.subarray(768 + Buffer.byteLength(subnqn), 1024));
      return holds(
        subnqn === bench.address.subnqn && rest,
        `${subnqn}${rest ? '' : ', no zeroes behind it'}`,
      );
    },
  ),
  check(
    row('controller-firmware', 'FRMW of CNS 01h', { section: 'Base 2.0, 5.17.2.1' }),
    '1 to 7 firmware slots',
    (bench) => {
      const slots = (bench.facts.controller.frmw >>> 1) & 7;
      return holds(slots >= 1, `${slots} slots`);
    },
  ),
  check(
    row('controller-nsid', 'CNS 01h with an NSID, which it does not use', { severity: 'may' }),
    'the data, or Invalid Field in Command',
    async (bench) =>
      hasStatus(await identify(await bench.admin(), cns.controller, { nsid: 1 }), [
        0,
        generic.invalidField,
        generic.invalidNamespaceOrFormat,
      ]),
  ),
  check(row('controller-same', 'CNS 01h, twice'), 'the same data', async (bench) => {
    const admin = await bench.admin();
    const one = await dataOf('Identify', identify(admin, cns.controller));
    const two = await dataOf('Identify', identify(admin, cns.controller));
    return holds(one.equals(two), one.equals(two) ? 'the same' : 'other data');
  }),
];

// --- namespaces ---

const namespaceWays = [cns.namespace, cns.csiNamespace, cns.independentNamespace];
const optional =
  (which: number) =>
  (facts: Facts): string =>
    which !== cns.namespace && facts.vs < 0x2_0000 ? `the controller is of version ${hex(facts.vs)}` : '';

const byNsid = namespaceWays.flatMap((which) => {
  const name = cnsName(which);
  const also = (more: (facts: Facts) => string) => (facts: Facts) => optional(which)(facts) || more(facts);
  return [
    answers(
      row(`${hex(which)}-active`, `${name} of an active namespace`, { unless: optional(which) }),
      0,
      async (bench) => identify(await bench.admin(), which, { nsid: bench.facts.ns.nsid }),
    ),
    answers(
      row(`${hex(which)}-0`, `${name} with NSID 0`, { unless: optional(which) }),
      [generic.invalidNamespaceOrFormat, generic.invalidField],
      async (bench) => identify(await bench.admin(), which, { nsid: 0 }),
    ),
    answers(
      row(`${hex(which)}-invalid`, `${name} with an NSID above NN`, { unless: also(needsBeyond) }),
      generic.invalidNamespaceOrFormat,
      async (bench) => identify(await bench.admin(), which, { nsid: beyond(bench) }),
    ),
    check(
      row(`${hex(which)}-inactive`, `${name} with an NSID that has no active namespace`, {
        unless: also(needsInactive),
      }),
      'data of zeroes',
      async (bench) => {
        const done = await identify(await bench.admin(), which, { nsid: bench.facts.inactive });
        return all(succeeded(done), holds(zeroes(done.data), zeroes(done.data) ? 'zeroes' : 'not zeroes'));
      },
    ),
  ];
});

const broadcast = check(
  row('0h-ffffffff', 'IDENTIFY namespace with NSID FFFFFFFFh'),
  'what all namespaces have in common where there is Namespace Management; else Invalid Namespace or Format',
  async (bench) =>
    hasStatus(
      await identify(await bench.admin(), cns.namespace, { nsid: NSID_ALL }),
      hasManagement(bench.facts) ? [0] : [generic.invalidNamespaceOrFormat],
    ),
);

const sizes = check(
  row('namespace', 'CNS 00h of the namespace in use', { section: 'NVM 1.0, 4.1.5.1' }),
  'NSZE not 0, NCAP up to NSZE, NUSE up to NCAP, FLBAS of a format that is there, LBADS 9 to 16',
  (bench) => {
    const { data, block_size } = bench.facts.ns;
    const lbads = Math.log2(block_size);
    return all(
      of(
        'NSZE, NCAP, NUSE',
        holds(
          data.nsze > 0 && data.ncap <= data.nsze && data.nuse <= data.ncap,
          `${data.nsze}, ${data.ncap}, ${data.nuse}`,
        ),
      ),
      of('FLBAS', holds((data.flbas & 0xf) <= data.nlbaf, `${data.flbas}, NLBAF ${data.nlbaf}`)),
      of('LBADS', holds(lbads >= 9 && lbads <= 16, String(lbads))),
    );
  },
);

// --- lists ---

const lists = [
  check(
    row('2h', 'The active namespace list from NSID 0'),
    'NSIDs in increasing order, up to NN',
    (bench) => {
      const nsids = bench.facts.namespaces.map(({ nsid }) => nsid);
      const ordered = nsids.every((nsid, i) => i === 0 || nsid > nsids[i - 1]!);
      return holds(ordered && nsids.every((nsid) => nsid <= bench.facts.controller.nn), nsids.join(', '));
    },
  ),
  check(
    row('2h-after', 'The active namespace list from the first NSID on'),
    'the NSIDs above it',
    async (bench) => {
      const [first, ...rest] = bench.facts.namespaces.map(({ nsid }) => nsid);
      const data = await dataOf(
        'Identify',
        identify(await bench.admin(), cns.activeNamespaceList, { nsid: first! }),
      );
      const seen = decodeNamespaceList(data).slice(0, 31);
      return holds(seen.join() === rest.join(), `${seen.join(', ') || 'none'} above ${first}`);
    },
  ),
  check(
    row('2h-last', 'The active namespace list from NSID FFFFFFFDh on'),
    'an empty list',
    async (bench) => {
      const done = await identify(await bench.admin(), cns.activeNamespaceList, { nsid: 0xffff_fffd });
      return all(succeeded(done), holds(zeroes(done.data), 'empty'));
    },
  ),
  ...[0xffff_fffe, NSID_ALL].map((nsid) =>
    answers(
      row(`2h-${hex(nsid)}`, `The active namespace list from NSID ${hex(nsid)} on`),
      generic.invalidNamespaceOrFormat,
      async (bench) => identify(await bench.admin(), cns.activeNamespaceList, { nsid }),
    ),
  ),
];

const descriptors = [
  check(
    row('3h', 'The identification descriptors of every namespace', { section: 'Base 2.0, 5.17.2.3' }),
    'at least one of EUI64, NGUID and UUID, which is not 0 and of no other namespace; those of Identify Namespace are the same',
    async (bench) => {
      const admin = await bench.admin();
      const seen = new Set<string>();
      const outcomes: Outcome[] = [];
      for (const { nsid, data } of bench.facts.namespaces) {
        const ids = decodeNamespaceDescriptors(
          await dataOf('Identify', identify(admin, cns.namespaceDescriptors, { nsid })),
        );
        const list = [ids.eui64, ids.nguid, ids.uuid].filter((id) => id !== undefined && !isZeroId(id));
        const texts = list.map((id) => Buffer.from(id!).toString('hex'));
        outcomes.push(holds(texts.length > 0, `NSID ${nsid}: ${texts.join(', ') || 'none'}`));
        outcomes.push(holds(!texts.some((text) => seen.has(text)), `NSID ${nsid}: of its own`));
        const same = (id: Uint8Array | undefined, other: Uint8Array): boolean =>
          id === undefined || isZeroId(other) || Buffer.compare(id, other) === 0;
        outcomes.push(
          holds(same(ids.nguid, data.nguid) && same(ids.eui64, data.eui64), `NSID ${nsid}: as in CNS 00h`),
        );
        for (const text of texts) seen.add(text);
      }
      return all(...outcomes);
    },
  ),
  check(
    row('3h-csi', 'The command set among the identification descriptors', {
      unless: ({ vs }) => (vs < 0x2_0000 ? `the controller is of version ${hex(vs)}` : ''),
    }),
    'one descriptor of type 4h',
    async (bench) => {
      const { nsid } = bench.facts.ns;
      const data = await dataOf(
        'Identify',
        identify(await bench.admin(), cns.namespaceDescriptors, { nsid }),
      );
      const { csi: set } = decodeNamespaceDescriptors(data);
      return holds(set === csi.nvm, set === undefined ? 'none' : `CSI ${set}`);
    },
  ),
  answers(
    row('3h-inactive', 'The identification descriptors of an NSID that has no active namespace', {
      unless: needsInactive,
    }),
    [generic.invalidNamespaceOrFormat, generic.invalidField],
    async (bench) => identify(await bench.admin(), cns.namespaceDescriptors, { nsid: bench.facts.inactive }),
  ),
  answers(
    row('3h-0', 'The identification descriptors of NSID 0'),
    [generic.invalidNamespaceOrFormat, generic.invalidField],
    async (bench) => identify(await bench.admin(), cns.namespaceDescriptors, { nsid: 0 }),
  ),
  answers(
    row('3h-ffffffff', 'The identification descriptors of NSID FFFFFFFFh'),
    [generic.invalidNamespaceOrFormat, generic.invalidField],
    async (bench) => identify(await bench.admin(), cns.namespaceDescriptors, { nsid: NSID_ALL }),
  ),
];

// --- command sets ---

const version2 = ({ vs }: Facts): string => (vs < 0x2_0000 ? `the controller is of version ${hex(vs)}` : '');
const sets = [
  answers(row('6h-nvm', 'CNS 06h of the NVM Command Set', { unless: version2 }), 0, async (bench) =>
    identify(await bench.admin(), cns.csiController, { csi: csi.nvm }),
  ),
  ...[cns.csiNamespace, cns.csiController, cns.csiActiveNamespaceList].map((which) =>
    answers(
      row(`${hex(which)}-csi-30h`, `${cnsName(which)} of the reserved command set 30h`, { unless: version2 }),
      [generic.invalidField, generic.invalidNamespaceOrFormat],
      async (bench) =>
        identify(await bench.admin(), which, {
          csi: 0x30,
          nsid: which === cns.csiNamespace ? bench.facts.ns.nsid : 0,
        }),
    ),
  ),
  check(
    row('7h-nvm', 'The active namespaces of the NVM Command Set', { unless: version2 }),
    'those that say so in CNS 03h',
    async (bench) => {
      const done = await identify(await bench.admin(), cns.csiActiveNamespaceList, { csi: csi.nvm });
      const wanted = bench.facts.namespaces.filter(({ set }) => set === csi.nvm).map(({ nsid }) => nsid);
      const seen = decodeNamespaceList(done.data).slice(0, 32);
      return all(
        succeeded(done),
        holds(seen.join() === wanted.join(), `${seen.join(', ')} of ${wanted.join(', ')}`),
      );
    },
  ),
  check(
    row('1ch', 'CNS 1Ch, the command sets that can be enabled together', {
      unless: ({ cap }) =>
        cap.css & 0x40 ? '' : 'the controller has the NVM Command Set alone (CAP.CSS bit 6)',
    }),
    'at least one combination, with the command sets of the namespaces',
    async (bench) => {
      const done = await identify(await bench.admin(), cns.ioCommandSets, { cntid: 0xffff });
      const vectors = decodeIoCommandSets(done.data);
      const wanted = bench.facts.namespaces.reduce((bits, { set }) => bits | (1 << set), 0);
      return all(
        succeeded(done),
        holds(
          vectors.some((vector) => (vector & wanted) === wanted),
          vectors.map(hex).join(', '),
        ),
      );
    },
  ),
];

// --- what needs Namespace Management, and what is none ---

const managed = [
  answers(row('10h', 'The allocated namespace list', { unless: needsManagement }), 0, async (bench) =>
    identify(await bench.admin(), cns.allocatedNamespaceList),
  ),
  answers(
    row('11h', 'Identify Namespace of an allocated NSID', { unless: needsManagement }),
    0,
    async (bench) => identify(await bench.admin(), cns.allocatedNamespace, { nsid: bench.facts.ns.nsid }),
  ),
  check(
    row('13h', 'The controller list', { unless: needsManagement }),
    'our controller is on it',
    async (bench) => {
      const admin = await bench.admin();
      const done = await identify(admin, cns.controllerList, { cntid: admin.cntlid });
      return all(
        succeeded(done),
        holds(done.data.readUInt16LE(2) === admin.cntlid, `first: ${done.data.readUInt16LE(2)}`),
      );
    },
  ),
];

const unknown = [0x1d, 0x20, 0x5f, 0x80, 0xbf, 0xff].map((which) =>
  answers(
    row(`unknown-${hex(which)}`, `The reserved CNS ${hex(which)}`),
    generic.invalidField,
    async (bench) => identify(await bench.admin(), which),
  ),
);

const optionals = [
  { which: cns.nvmSetList, bit: ctratt.nvmSets, name: 'NVM sets (CTRATT bit 2)' },
  {
    which: cns.namespaceGranularityList,
    bit: ctratt.namespaceGranularity,
    name: 'namespace granularity (CTRATT bit 7)',
  },
  { which: cns.uuidList, bit: ctratt.uuidList, name: 'a UUID list (CTRATT bit 9)' },
  { which: cns.domainList, bit: ctratt.multiDomain, name: 'domains (CTRATT bit 10)' },
  { which: cns.enduranceGroupList, bit: ctratt.enduranceGroups, name: 'endurance groups (CTRATT bit 4)' },
].map(({ which, bit, name }) =>
  check(
    row(`${hex(which)}`, `${cnsName(which)}`),
    `data where there are ${name}, else Invalid Field in Command`,
    async (bench) =>
      hasStatus(
        await identify(await bench.admin(), which),
        bench.facts.controller.ctratt & bit ? [0] : [generic.invalidField],
      ),
  ),
);

const virtualization = [cns.primaryControllerCapabilities, cns.secondaryControllerList].map((which) =>
  check(
    row(hex(which), cnsName(which)),
    'data where there is virtualization (OACS bit 7), else Invalid Field in Command',
    async (bench) =>
      hasStatus(
        await identify(await bench.admin(), which),
        bench.facts.controller.oacs & oacs.virtualization ? [0] : [generic.invalidField],
      ),
  ),
);

const lengths = [
  tcpCheck(
    row('short', 'Identify with an SGL of 2048 bytes', { severity: 'should' }),
    'Data SGL Length Invalid, or Invalid Field in Command; no more than 2048 bytes are sent',
    async (bench) => {
      const host = await bench.connect();
      const done = await identify(host.admin, cns.controller, { bytes: 2048 });
      return hasStatus(done, [generic.dataSglLengthInvalid, generic.invalidField]);
    },
  ),
  check(
    row('long', 'Identify with an SGL of 8192 bytes', { severity: 'may' }),
    'the data, or Data SGL Length Invalid',
    async (bench) => {
      const host = await bench.connect();
      const done = await identify(host.admin, cns.controller, { bytes: 8192 });
      const same = done.status !== 0 || identifyNamespace.size <= done.data.length;
      return all(
        hasStatus(done, [0, generic.dataSglLengthInvalid]),
        holds(same, `${done.data.length} bytes`),
      );
    },
  ),
];

export const identifyChecks: readonly Check[] = [
  ...controller,
  ...byNsid,
  broadcast,
  sizes,
  ...lists,
  ...descriptors,
  ...sets,
  ...managed,
  ...unknown,
  ...optionals,
  ...virtualization,
  ...lengths,
];
