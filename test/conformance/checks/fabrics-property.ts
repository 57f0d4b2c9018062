/** Property Get and Property Set (Base 2.0, 6.5 and 6.6; 3.1.3 for the properties). */
import {
  capCrms,
  capCss,
  decodeCap,
  decodeCc,
  decodeCsts,
  encodeCc,
  FABRICS_OPCODE,
  fabricsType,
  propertySize,
  register,
  shst,
} from '@spdk-ts/nvme-spec';
import { CC_ENABLED } from '../../host/index.ts';
import {
  all,
  tcpAnswers as answers,
  type Check,
  tcpCheck as check,
  hasStatus,
  holds,
  type Row,
  succeeded,
} from '../check.ts';
import { describe, fabrics, generic } from '../codes.ts';

const GET = 'Base 2.0, 6.5';
const SET = 'Base 2.0, 6.6';
const { bytes4, bytes8 } = propertySize;
const hex = (value: number): string => `${(value >>> 0).toString(16)}h`;

const row = (id: string, section: string, title: string, more: Partial<Row> = {}): Row => ({
  id: `property.${id}`,
  section,
  title,
  ...more,
});

/** Properties that every controller over fabrics has. */
const mandatory = [
  { name: 'CAP', offset: register.cap, size: bytes8 },
  { name: 'VS', offset: register.vs, size: bytes4 },
  { name: 'CC', offset: register.cc, size: bytes4 },
  { name: 'CSTS', offset: register.csts, size: bytes4 },
];
const sizeName = (size: number): string =>
  size === bytes8 ? '8 bytes' : size === bytes4 ? '4 bytes' : `size ${size}`;

const gets = mandatory.flatMap(({ name, offset, size }) => [
  answers(row(`get-${name}`, GET, `Property Get of ${name}`), 0, async (bench) =>
    (await bench.both()).host.getProperty(offset, size),
  ),
  answers(
    row(
      `get-${name}-other-size`,
      GET,
      `Property Get of ${name} with ${sizeName(size === bytes8 ? bytes4 : bytes8)}`,
      {
        severity: 'should',
      },
    ),
    generic.invalidField,
    async (bench) => (await bench.both()).host.getProperty(offset, size === bytes8 ? bytes4 : bytes8),
  ),
]);

const sizes = [2, 3, 7].map((size) =>
  answers(
    row(`get-size-${size}`, GET, `Property Get of VS with the reserved size ${size}`),
    generic.invalidField,
    async (bench) => (await bench.both()).host.getProperty(register.vs, size),
  ),
);

/** Properties of PCIe alone, reserved offsets, and what is none. */
const absent = {
  INTMS: register.intms,
  INTMC: register.intmc,
  AQA: register.aqa,
  ASQ: register.asq,
  ACQ: register.acq,
  CMBLOC: register.cmbloc,
  'reserved-18h': 0x18,
  'between-1': 0x01,
  'between-16h': 0x16,
  'reserved-1300h': 0x1300,
  'last-fffffffch': 0xffff_fffc,
};
const absents = Object.entries(absent).flatMap(([name, offset]) => [
  answers(
    row(`get-${name}`, GET, `Property Get at ${hex(offset)} (${name}), which is reserved over fabrics`, {
      severity: 'should',
    }),
    generic.invalidField,
    async (bench) => (await bench.both()).host.getProperty(offset, bytes4),
  ),
  answers(
    row(`set-${name}`, SET, `Property Set at ${hex(offset)} (${name}), which is reserved over fabrics`),
    generic.invalidField,
    async (bench) => (await bench.both()).host.putProperty(offset, bytes4, 0),
  ),
]);

const readOnly = mandatory
  .filter(({ offset }) => offset !== register.cc)
  .map(({ name, offset, size }) =>
    check(
      row(`set-${name}`, SET, `Property Set of ${name}, which is read only`),
      'Invalid Field in Command, and the property is as before',
      async (bench) => {
        const { host } = await bench.both();
        const before = await host.getProperty(offset, size);
        const done = await host.putProperty(offset, size, 0);
        const after = await host.getProperty(offset, size);
        const same = before.dw0 === after.dw0 && before.dw1 === after.dw1;
        return all(hasStatus(done, [generic.invalidField]), holds(same, same ? 'as before' : 'changed'));
      },
    ),
  );

const cap = [
  check(
    row('cap', 'Base 2.0, 3.1.3.1', 'The fields of CAP'),
    'MQES at least 1, TO not 0, CSS not 0, DSTRD 0, MPSMAX not below MPSMIN',
    async (bench) => {
      const { mqes, to, css, dstrd, mpsmin, mpsmax } = bench.facts.cap;
      return all(
        holds(mqes >= 1, `MQES ${mqes}`),
        holds(to > 0, `TO ${to}`),
        holds((css & (capCss.nvm | capCss.ioCommandSets | capCss.adminOnly)) !== 0, `CSS ${css}`),
        holds(dstrd === 0, `DSTRD ${dstrd}`),
        holds(mpsmax >= mpsmin, `MPSMIN ${mpsmin}, MPSMAX ${mpsmax}`),
      );
    },
  ),
  check(
    row('cap-cqr', 'Base 2.0, 3.1.3.1', 'CAP.CQR over fabrics', { severity: 'should' }),
    '1',
    async (bench) => holds(bench.facts.cap.cqr, String(bench.facts.cap.cqr ? 1 : 0)),
  ),
  check(
    row('crto', 'Base 2.0, 3.1.3.24', 'CRTO, where the version is 2.0 or higher', {
      unless: ({ vs }) => (vs < 0x2_0000 ? `the controller is of version ${hex(vs)}` : ''),
    }),
    'readable, and CRWMT not 0 where CAP.CRMS bit 0 is set',
    async (bench) => {
      const done = await (await bench.both()).host.getProperty(register.crto, bytes4);
      const withMedia = (bench.facts.cap.crms & capCrms.withMedia) !== 0;
      return all(succeeded(done), holds(!withMedia || (done.dw0 & 0xffff) > 0, `CRTO ${hex(done.dw0)}`));
    },
  ),
];

const nssr = answers(
  row('set-NSSR', SET, 'Property Set of NSSR, where no NVM subsystem reset is supported (CAP.NSSRS 0)', {
    severity: 'should',
    unless: ({ cap: { nssrs } }) =>
      nssrs ? 'the controller supports it: all hosts would lose their connections' : '',
  }),
  [generic.invalidField, 0],
  async (bench) => (await bench.both()).host.putProperty(register.nssr, bytes4, 0x4e56_4d65),
);

const life = [
  check(
    row('before-enable', 'Base 2.0, 3.1.3.6', 'CC and CSTS behind Connect'),
    'CC.EN 0, CSTS.RDY 0, CSTS.CFS 0, CSTS.SHST 0',
    async (bench) => {
      const host = await bench.attach();
      const cc = decodeCc(await host.property(register.cc));
      const csts = decodeCsts(await host.property(register.csts));
      return holds(
        !cc.en && !csts.rdy && !csts.cfs && csts.shst === shst.normal,
        JSON.stringify({ en: cc.en, ...csts }),
      );
    },
  ),
  check(
    row('enabled', 'Base 2.0, 3.1.3.5', 'CC.EN is set'),
    'CSTS.RDY 1, and CC reads as it was written',
    async (bench) => {
      const host = await bench.attach();
      await host.enable(CC_ENABLED);
      const cc = await host.property(register.cc);
      const csts = decodeCsts(await host.property(register.csts));
      return all(holds(cc >>> 0 === CC_ENABLED, `CC ${hex(cc)}`), holds(csts.rdy, `RDY ${csts.rdy}`));
    },
  ),
];

/** Values of CC that no controller here can be enabled with. */
const wrong: Record<string, Parameters<typeof encodeCc>[0]> = {
  'mps-15': { en: true, mps: 15, iosqes: 6, iocqes: 4 },
  'ams-6': { en: true, ams: 6, iosqes: 6, iocqes: 4 },
  'css-3': { en: true, css: 3, iosqes: 6, iocqes: 4 },
};
const wrongs = Object.entries(wrong).map(([id, cc]) =>
  check(
    row(
      `cc-${id}`,
      'Base 2.0, 3.1.3.5',
      `CC.EN is set with a reserved or unsupported ${id.slice(0, 3).toUpperCase()}`,
      {
        severity: 'should',
      },
    ),
    'Invalid Field in Command, CSTS.CFS, or the controller does not become ready',
    async (bench) => {
      const host = await bench.attach();
      const done = await host.putProperty(register.cc, bytes4, encodeCc(cc!));
      if (done.status !== 0) return hasStatus(done, [generic.invalidField]);
      const csts = decodeCsts(await host.property(register.csts));
      return holds(csts.cfs || !csts.rdy, `success, RDY ${csts.rdy}, CFS ${csts.cfs}`);
    },
  ),
);

const elsewhere = [fabricsType.propertyGet, fabricsType.propertySet].map((type) =>
  check(
    row(
      `io-queue-${type === fabricsType.propertyGet ? 'get' : 'set'}`,
      type === fabricsType.propertyGet ? GET : SET,
      'The command on an I/O queue',
    ),
    'refused: Invalid Command Opcode, Invalid Field in Command, or Invalid Queue Type',
    async (bench) => {
      const queue = await bench.io();
      const done = await queue.submit({ opcode: FABRICS_OPCODE, nsid: type, psdt: 1, cdw11: register.vs });
      return hasStatus(done, [generic.invalidOpcode, generic.invalidField, fabrics.invalidQueueType], true);
    },
  ),
);

const types = [0x02, 0x07, 0x09, 0x7c, 0xc0].map((type) =>
  answers(
    {
      id: `fabrics.fctype-${type}`,
      section: 'Base 2.0, 6.1',
      title: `Fabrics command of the reserved type ${hex(type)}`,
    },
    [generic.invalidOpcode, generic.invalidField],
    async (bench) => {
      const admin = await bench.admin();
      const fields = { opcode: FABRICS_OPCODE, nsid: type, psdt: 1 };
      return type & 2 ? admin.submitRead(fields, 0) : admin.submit(fields);
    },
  ),
);

const values = check(row('cap-again', GET, 'CAP, read twice and by two hosts'), 'the same', async (bench) => {
  const one = await (await bench.both()).host.getProperty(register.cap, bytes8);
  const two = await (await bench.connect()).getProperty(register.cap, bytes8);
  const same = one.dw0 === two.dw0 && one.dw1 === two.dw1;
  return holds(
    same && decodeCap(one.dw0, one.dw1).mqes === bench.facts.cap.mqes,
    `${hex(one.dw0)} ${describe(two)}`,
  );
});

export const propertyChecks: readonly Check[] = [
  ...gets,
  ...sizes,
  ...absents,
  ...readOnly,
  ...cap,
  nssr,
  ...life,
  ...wrongs,
  ...elsewhere,
  ...types,
  values,
];
