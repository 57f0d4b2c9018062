/** Get and Set Features (Base 2.0, 5.15 and 5.27; NVM Command Set 1.0, 4.1.3). */
import {
  aec,
  featureCapability,
  featureSelect,
  fid,
  fidName,
  HOST_ID_EXHID,
  hostBehavior,
  NSID_ALL,
  oncs,
  vwc,
} from '@spdk-ts/nvme-spec';
import { dataOf, getFeature, setFeature } from '../admin.ts';
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
  tcpCheck,
} from '../check.ts';
import { command, describe, generic } from '../codes.ts';
import type { Facts } from '../facts.ts';

const GET = 'Base 2.0, 5.15';
const SET = 'Base 2.0, 5.27';
const row = (id: string, section: string, title: string, more: Partial<Row> = {}): Row => ({
  id: `feature.${id}`,
  section,
  title,
  ...more,
});
const hex = (value: number): string => `${(value >>> 0).toString(16)}h`;
const selects = ({ controller }: Facts): boolean => (controller.oncs & oncs.saveAndSelect) !== 0;

/** Features that every I/O controller has, over fabrics as well. */
const mandatory: readonly { id: number; cdw11?: number; unless?: (facts: Facts) => string }[] = [
  { id: fid.arbitration },
  { id: fid.powerManagement },
  { id: fid.temperatureThreshold },
  { id: fid.errorRecovery },
  {
    id: fid.volatileWriteCache,
    unless: ({ controller }) =>
      controller.vwc & vwc.present ? '' : 'there is no volatile write cache (VWC bit 0)',
  },
  { id: fid.numberOfQueues },
  { id: fid.writeAtomicity },
  { id: fid.asyncEventConfiguration },
  { id: fid.keepAliveTimer },
];

const gets = mandatory.flatMap(({ id, unless }) => [
  answers(row(`${hex(id)}-get`, GET, `Get Features of ${fidName(id)}`, { unless }), 0, async (bench) =>
    getFeature(await bench.admin(), id),
  ),
  check(
    row(`${hex(id)}-default`, GET, `Get Features of ${fidName(id)}, default value`, {
      unless,
      severity: 'should',
    }),
    'the value where Select is supported (ONCS bit 4), else it or Invalid Field in Command',
    async (bench) => {
      const done = await getFeature(await bench.admin(), id, { select: featureSelect.default });
      return hasStatus(done, selects(bench.facts) ? [0] : [0, generic.invalidField]);
    },
  ),
  check(
    row(`${hex(id)}-capabilities`, GET, `Get Features of ${fidName(id)}, supported capabilities`, {
      unless,
      severity: 'should',
    }),
    'bits 2:0 alone where Select is supported, else anything or Invalid Field in Command',
    async (bench) => {
      const done = await getFeature(await bench.admin(), id, { select: featureSelect.supportedCapabilities });
      const { saveable, namespaceSpecific, changeable } = featureCapability;
      const known = saveable | namespaceSpecific | changeable;
      return selects(bench.facts)
        ? all(succeeded(done), holds((done.dw0 & ~known) === 0, hex(done.dw0)))
        : hasStatus(done, [0, generic.invalidField]);
    },
  ),
]);

const unknown = [0x00, 0x1f, 0x30, 0x70, 0x7c, 0xbf].flatMap((id) => [
  answers(
    row(`unknown-${hex(id)}-get`, GET, `Get Features of the reserved feature ${hex(id)}`),
    generic.invalidField,
    async (bench) => getFeature(await bench.admin(), id),
  ),
  answers(
    row(`unknown-${hex(id)}-set`, SET, `Set Features of the reserved feature ${hex(id)}`),
    generic.invalidField,
    async (bench) => setFeature(await bench.admin(), id),
  ),
]);

const select = [4, 5, 7].map((value) =>
  answers(
    row(`select-${value}`, GET, `Get Features with the reserved Select ${value}`, {
      unless: (facts) =>
        selects(facts) ? '' : 'Select is not supported (ONCS bit 4): it is reserved as a whole',
    }),
    generic.invalidField,
    async (bench) => getFeature(await bench.admin(), fid.arbitration, { select: value }),
  ),
);

const save = [fid.keepAliveTimer, fid.asyncEventConfiguration, fid.arbitration].map((id) =>
  check(
    row(`${hex(id)}-save`, SET, `Set Features of ${fidName(id)} with the save bit`),
    'Feature Identifier Not Saveable, unless the feature says that it is saveable',
    async (bench) => {
      const host = await bench.connect();
      const caps = await getFeature(host.admin, id, { select: featureSelect.supportedCapabilities });
      const value = await getFeature(host.admin, id);
      const saveable =
        selects(bench.facts) && caps.status === 0 && (caps.dw0 & featureCapability.saveable) !== 0;
      const done = await setFeature(host.admin, id, { cdw11: value.dw0, save: true });
      return hasStatus(done, saveable ? [0] : [command.featureNotSaveable]);
    },
  ),
);

const nsidWrong = answers(
  row('nsid', SET, 'Set Features of ARBITRATION for one namespace'),
  command.featureNotNamespaceSpecific,
  async (bench) => setFeature(await bench.admin(), fid.arbitration, { nsid: bench.facts.ns.nsid }),
);

const queues = [
  answers(
    row('7h-ffff', SET, 'Number of Queues: FFFFh submission queues'),
    generic.invalidField,
    async (bench) => setFeature((await bench.connect()).admin, fid.numberOfQueues, { cdw11: 0x0000_ffff }),
  ),
  answers(
    row('7h-ffff-completion', SET, 'Number of Queues: FFFFh completion queues'),
    generic.invalidField,
    async (bench) => setFeature((await bench.connect()).admin, fid.numberOfQueues, { cdw11: 0xffff_0000 }),
  ),
  answers(
    row('7h-late', SET, 'Number of Queues when there are I/O queues'),
    generic.commandSequenceError,
    async (bench) => setFeature((await bench.pair()).host.admin, fid.numberOfQueues, { cdw11: 0 }),
  ),
  check(
    row('7h', SET, 'Number of Queues: one of each'),
    'at least one of each; Get Features says the same',
    async (bench) => {
      const host = await bench.connect();
      const set = await setFeature(host.admin, fid.numberOfQueues, { cdw11: 0 });
      const got = await getFeature(host.admin, fid.numberOfQueues);
      return all(
        succeeded(set),
        succeeded(got),
        holds((got.dw0 & 0xffff) === (set.dw0 & 0xffff), `set ${hex(set.dw0)}, got ${hex(got.dw0)}`),
      );
    },
  ),
];

/** What is set is got, by this host, and not by another. */
const kept: readonly { id: number; cdw11: number }[] = [
  { id: fid.asyncEventConfiguration, cdw11: 0 },
  { id: fid.asyncEventConfiguration, cdw11: aec.namespaceAttribute },
];
const keeps = kept.map(({ id, cdw11 }) =>
  check(
    row(`${hex(id)}-set-${hex(cdw11)}`, SET, `Set Features of ${fidName(id)} to ${hex(cdw11)}`),
    'Get Features says so to this host; another host has its own value',
    async (bench) => {
      const host = await bench.connect();
      const other = await bench.connect();
      const before = (await getFeature(other.admin, id)).dw0;
      const set = await setFeature(host.admin, id, { cdw11 });
      const got = await getFeature(host.admin, id);
      const still = (await getFeature(other.admin, id)).dw0;
      return all(
        succeeded(set),
        holds(got.dw0 === cdw11, `got ${hex(got.dw0)}`),
        of('another host', holds(still === before, hex(still))),
      );
    },
  ),
);

const threshold = [
  check(
    row('4h', SET, 'Temperature Threshold of the composite temperature, 350 K'),
    'Get Features says 350 K',
    async (bench) => {
      const host = await bench.connect();
      const set = await setFeature(host.admin, fid.temperatureThreshold, { cdw11: 350 });
      const got = await getFeature(host.admin, fid.temperatureThreshold);
      return all(succeeded(set), holds((got.dw0 & 0xffff) === 350, `${got.dw0 & 0xffff} K`));
    },
  ),
  answers(
    row('4h-type', SET, 'Temperature Threshold of the reserved type 2'),
    generic.invalidField,
    async (bench) => setFeature(await bench.admin(), fid.temperatureThreshold, { cdw11: 2 << 20 }),
  ),
  answers(
    row('4h-sensor', SET, 'Temperature Threshold of the reserved sensor 9'),
    generic.invalidField,
    async (bench) => setFeature(await bench.admin(), fid.temperatureThreshold, { cdw11: 9 << 16 }),
  ),
];

const cache = check(
  row('6h', SET, 'Volatile Write Cache: off, then on', {
    unless: ({ controller }) =>
      controller.vwc & vwc.present ? '' : 'there is no volatile write cache (VWC bit 0)',
  }),
  'Get Features says so each time',
  async (bench) => {
    const host = await bench.connect();
    const seen: number[] = [];
    for (const wanted of [0, 1]) {
      const set = await setFeature(host.admin, fid.volatileWriteCache, { cdw11: wanted });
      if (set.status !== 0) return of(`WCE ${wanted}`, holds(false, describe(set)));
      seen.push((await getFeature(host.admin, fid.volatileWriteCache)).dw0 & 1);
    }
    return holds(seen.join() === '0,1', `WCE ${seen.join(', then ')}`);
  },
);

const cacheless = answers(
  row('6h-absent', SET, 'Volatile Write Cache where there is none', {
    unless: ({ controller }) => (controller.vwc & vwc.present ? 'there is a volatile write cache' : ''),
  }),
  [generic.invalidField, command.featureNotChangeable],
  async (bench) => setFeature(await bench.admin(), fid.volatileWriteCache, { cdw11: 1 }),
);

const power = answers(
  row('2h-state', SET, 'Power Management: a power state above NPSS', {
    unless: ({ controller }) => (controller.npss >= 31 ? 'every power state is there' : ''),
  }),
  generic.invalidField,
  async (bench) =>
    setFeature(await bench.admin(), fid.powerManagement, { cdw11: bench.facts.controller.npss + 1 }),
);

const recovery = [
  answers(
    row('5h-dulbe', SET, 'Error Recovery: DULBE for a namespace that does not support it', {
      section: 'NVM 1.0, 4.1.3.2',
      unless: ({ ns }) => (ns.data.nsfeat & 4 ? 'the namespace supports it (NSFEAT bit 2)' : ''),
    }),
    generic.invalidField,
    async (bench) =>
      setFeature(await bench.admin(), fid.errorRecovery, { nsid: bench.facts.ns.nsid, cdw11: 0x1_0000 }),
  ),
  answers(
    row('5h-nsid', SET, 'Error Recovery for an NSID above NN', {
      severity: 'should',
      unless: ({ controller }) => (controller.nn >= 0xffff_fffd ? 'NN leaves no NSID that is not valid' : ''),
    }),
    [generic.invalidNamespaceOrFormat, generic.invalidField],
    async (bench) =>
      setFeature(await bench.admin(), fid.errorRecovery, { nsid: bench.facts.controller.nn + 1 }),
  ),
];

const behavior = [
  check(
    row('16h', SET, 'Host Behavior Support: ACRE', {
      unless: ({ controller }) => (controller.crdt1 > 0 ? '' : 'no command retry delay is told (CRDT1)'),
    }),
    'Get Features has it',
    async (bench) => {
      const host = await bench.connect();
      const data = new Uint8Array(hostBehavior.size);
      hostBehavior.encode({ acre: 1 }, data);
      const set = await setFeature(host.admin, fid.hostBehaviorSupport, {}, data);
      const got = await dataOf(
        'Get Features',
        getFeature(host.admin, fid.hostBehaviorSupport, { bytes: hostBehavior.size }),
      );
      return all(
        succeeded(set),
        holds(hostBehavior.decode(got).acre === 1, `ACRE ${hostBehavior.decode(got).acre}`),
      );
    },
  ),
  check(
    row('16h-acre-2', SET, 'Host Behavior Support: the reserved value 2 of ACRE'),
    'Invalid Field in Command',
    async (bench) => {
      const data = new Uint8Array(hostBehavior.size);
      data[0] = 2;
      return hasStatus(await setFeature((await bench.connect()).admin, fid.hostBehaviorSupport, {}, data), [
        generic.invalidField,
      ]);
    },
  ),
];

const hostId = [
  tcpCheck(row('81h-get', GET, 'Host Identifier, 16 bytes'), 'what Connect brought', async (bench) => {
    const hostid = Uint8Array.from({ length: 16 }, (_, i) => 0xf0 - i);
    const host = await bench.connect({ hostid });
    const done = await getFeature(host.admin, fid.hostIdentifier, { cdw11: HOST_ID_EXHID, bytes: 16 });
    const same = Buffer.compare(done.data, hostid) === 0;
    return all(succeeded(done), holds(same, done.data.toString('hex')));
  }),
  answers(
    row('81h-get-8', GET, 'Host Identifier, 8 bytes, over fabrics'),
    generic.invalidField,
    async (bench) => getFeature(await bench.admin(), fid.hostIdentifier, { bytes: 8 }),
  ),
  answers(
    row('81h-set', SET, 'Host Identifier, to be set over fabrics'),
    generic.commandSequenceError,
    async (bench) =>
      setFeature(
        (await bench.connect()).admin,
        fid.hostIdentifier,
        { cdw11: HOST_ID_EXHID },
        new Uint8Array(16).fill(1),
      ),
  ),
];

const timestamp = [
  check(
    row('eh', SET, 'Timestamp', {
      unless: ({ controller }) => (controller.oncs & oncs.timestamp ? '' : 'there is none (ONCS bit 6)'),
    }),
    'what was set is got, and grows',
    async (bench) => {
      const host = await bench.connect();
      const data = new Uint8Array(8);
      data.set([1, 2, 3, 4, 5, 0]);
      const set = await setFeature(host.admin, fid.timestamp, {}, data);
      const got = await dataOf('Get Features', getFeature(host.admin, fid.timestamp, { bytes: 8 }));
      const value = got.readUIntLE(0, 6);
      return all(
        succeeded(set),
        holds(value >= 0x5_0403_0201 && value < 0x5_0403_0201 + 60_000, String(value)),
      );
    },
  ),
  answers(
    row('eh-absent', GET, 'Timestamp where there is none', {
      unless: ({ controller }) => (controller.oncs & oncs.timestamp ? 'it is supported' : ''),
    }),
    generic.invalidField,
    async (bench) => getFeature(await bench.admin(), fid.timestamp, { bytes: 8 }),
  ),
];

/** Features of what the controller may not have. */
const optional: readonly { id: number; bytes?: number; has: (facts: Facts) => boolean; what: string }[] = [
  { id: fid.hostMemoryBuffer, has: () => false, what: 'over fabrics there is no host memory buffer' },
  {
    id: fid.autonomousPowerStateTransition,
    bytes: 256,
    has: ({ controller }) => (controller.apsta & 1) !== 0,
    what: 'APSTA',
  },
  {
    id: fid.hostControlledThermalManagement,
    has: ({ controller }) => (controller.hctma & 1) !== 0,
    what: 'HCTMA',
  },
  {
    id: fid.reservationPersistence,
    has: ({ controller }) => (controller.oncs & oncs.reservations) !== 0,
    what: 'ONCS bit 5',
  },
  {
    id: fid.reservationNotificationMask,
    has: ({ controller }) => (controller.oncs & oncs.reservations) !== 0,
    what: 'ONCS bit 5',
  },
  { id: fid.namespaceWriteProtection, has: ({ controller }) => (controller.nwpc & 1) !== 0, what: 'NWPC' },
];
const optionals = optional.map(({ id, bytes = 0, has, what }) =>
  check(
    row(`${hex(id)}-get`, GET, `Get Features of ${fidName(id)}`, { severity: 'should' }),
    `the value where it is supported (${what}), else Invalid Field in Command`,
    async (bench) =>
      hasStatus(
        await getFeature(await bench.admin(), id, { nsid: bench.facts.ns.nsid, bytes }),
        has(bench.facts) ? [0] : [generic.invalidField],
      ),
  ),
);

const reset = check(
  row('reset', 'Base 2.0, 5.27.1', 'Features that were changed, after CC.EN 0 and 1'),
  'their defaults again',
  async (bench) => {
    const host = await bench.connect();
    const before = (await getFeature(host.admin, fid.asyncEventConfiguration)).dw0;
    await setFeature(host.admin, fid.asyncEventConfiguration, {
      cdw11: before === 0 ? aec.namespaceAttribute : 0,
    });
    await host.enable(0);
    await host.enable(bench.cc);
    const after = (await getFeature(host.admin, fid.asyncEventConfiguration)).dw0;
    return holds(after === before, `${hex(after)} after, ${hex(before)} before`);
  },
);

const broadcast = answers(
  row('nsid-ffffffff', GET, 'Get Features of ARBITRATION with NSID FFFFFFFFh', { severity: 'may' }),
  [0, generic.invalidField, generic.invalidNamespaceOrFormat],
  async (bench) => getFeature(await bench.admin(), fid.arbitration, { nsid: NSID_ALL }),
);

export const featureChecks: readonly Check[] = [
  ...gets,
  ...unknown,
  ...select,
  ...save,
  nsidWrong,
  ...queues,
  ...keeps,
  ...threshold,
  cache,
  cacheless,
  power,
  ...recovery,
  ...behavior,
  ...hostId,
  ...timestamp,
  ...optionals,
  reset,
  broadcast,
];
