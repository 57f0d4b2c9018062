/** Connect (Base 2.0, 6.3): every parameter that can be wrong, and where a refusal says it is. */
import {
  adminOpcode,
  connectData,
  connectOffset,
  FABRICS_OPCODE,
  fabricsType,
  fid,
  identifyDwords,
  nvmOpcode,
  register,
  sglId,
} from '@spdk-ts/nvme-spec';
import { type Completion, type ConnectAttempt, DEFAULT_HOSTID, type RawQueue } from '../../host/index.ts';
import { getFeature } from '../admin.ts';
import type { Pair } from '../bench.ts';
import {
  all,
  tcpAnswers as answers,
  type Check,
  tcpCheck as check,
  hasStatus,
  holds,
  type Outcome,
  of,
  type Row,
  succeeded,
} from '../check.ts';
import { describe, fabrics, generic } from '../codes.ts';
import type { TcpBench as Bench } from '../tcp-bench.ts';

const CONNECT = 'Base 2.0, 6.3';
const data = connectData.offsets;
const IN_DATA = 0x1_0000;

const named = (bench: Bench): Pick<ConnectAttempt, 'subnqn' | 'hostnqn' | 'hostid'> => ({
  subnqn: bench.address.subnqn,
  hostnqn: bench.address.hostnqn,
  hostid: DEFAULT_HOSTID,
});

/** Connect on a new connection. */
async function attempt(bench: Bench, with_: Partial<ConnectAttempt>): Promise<Completion> {
  const queue = await bench.queue();
  return queue.connectWith({ ...named(bench), qid: 0, ...with_ });
}

/** The data of a Connect as bytes, for changes that no codec makes. */
function rawData(bench: Bench, change: (bytes: Uint8Array) => void): Uint8Array {
  const bytes = new Uint8Array(connectData.size);
  connectData.encode({ ...named(bench), cntlid: 0xffff } as never, bytes);
  change(bytes);
  return bytes;
}

const where = (dw0: number): string =>
  `parameter at byte ${dw0 & 0xffff} of the ${dw0 & IN_DATA ? 'data' : 'command'}`;

/** A Connect that is refused with Connect Invalid Parameters, and says which. */
function invalid(row: Row, at: number, inData: boolean, send: (bench: Bench) => Promise<Completion>): Check {
  const wanted = at | (inData ? IN_DATA : 0);
  return check(row, `Connect Invalid Parameters (1/82h), ${where(wanted)}`, async (bench) => {
    const completion = await send(bench);
    const { dw0 } = completion;
    const status = hasStatus(completion, [fabrics.connectInvalidParameters], true);
    return status.ok ? holds((dw0 & 0x1_ffff) === wanted, where(dw0)) : status;
  });
}

const row = (id: string, title: string, more: Partial<Row> = {}): Row => ({
  id: `connect.${id}`,
  section: CONNECT,
  title,
  ...more,
});

const names = [
  invalid(row('subnqn-unknown', 'SUBNQN of no subsystem'), data.subnqn, true, (bench) =>
    attempt(bench, { subnqn: 'nqn.2014-08.org.example:there-is-no-such-subsystem' }),
  ),
  invalid(row('subnqn-empty', 'SUBNQN that is empty'), data.subnqn, true, (bench) =>
    attempt(bench, { subnqn: '' }),
  ),
  invalid(row('subnqn-unterminated', 'SUBNQN of 256 bytes without a NUL'), data.subnqn, true, (bench) =>
    attempt(bench, { data: rawData(bench, (bytes) => bytes.fill(0x61, data.subnqn, data.subnqn + 256)) }),
  ),
  invalid(row('subnqn-case', 'SUBNQN whose last letter has another case'), data.subnqn, true, (bench) => {
    const { subnqn } = bench.address;
    const upper = subnqn.toUpperCase();
    return attempt(bench, { subnqn: subnqn === upper ? subnqn.toLowerCase() : upper });
  }),
  invalid(row('hostnqn-unterminated', 'HOSTNQN of 256 bytes without a NUL'), data.hostnqn, true, (bench) =>
    attempt(bench, { data: rawData(bench, (bytes) => bytes.fill(0x61, data.hostnqn, data.hostnqn + 256)) }),
  ),
  answers(
    row('hostnqn-not-allowed', 'HOSTNQN of a host that the subsystem does not allow', {
      unless: ({ closedSubnqn }) =>
        closedSubnqn === undefined ? 'no subsystem was named that does not allow our host' : '',
    }),
    fabrics.connectInvalidHost,
    (bench) => attempt(bench, { subnqn: bench.facts.closedSubnqn! }),
    true,
  ),
  check(
    row('hostnqn-empty', 'HOSTNQN that is empty', { severity: 'may' }),
    'refused with Connect Invalid Parameters or Connect Invalid Host, or taken for a host without a name',
    async (bench) =>
      hasStatus(
        await attempt(bench, { hostnqn: '' }),
        [0, fabrics.connectInvalidParameters, fabrics.connectInvalidHost],
        true,
      ),
  ),
];

const controllers = [
  ...[0, 1, 0xffef].map((cntlid) =>
    invalid(
      row(`cntlid-${cntlid}`, `Admin queue, CNTLID ${cntlid}, where controllers are dynamic`, {
        unless: ({ controller }) => (controller.fcatt & 1 ? 'controllers are static (FCATT bit 0)' : ''),
      }),
      data.cntlid,
      true,
      (bench) => attempt(bench, { cntlid }),
    ),
  ),
  invalid(
    row('cntlid-static', 'Admin queue, CNTLID FFFEh (static), where controllers are dynamic', {
      unless: ({ controller }) => (controller.fcatt & 1 ? 'controllers are static (FCATT bit 0)' : ''),
    }),
    data.cntlid,
    true,
    (bench) => attempt(bench, { cntlid: 0xfffe }),
  ),
];

/** Connect of an I/O queue for a controller that is enabled. */
async function ioAttempt(bench: Bench, with_: Partial<ConnectAttempt>): Promise<Completion> {
  const host = await bench.connect();
  await host.setQueueCount(1);
  return attempt(bench, { cntlid: host.admin.cntlid, qid: 1, ...with_ });
}

const ioQueues = [
  invalid(
    row('io-cntlid-unknown', 'I/O queue for a CNTLID that no controller has'),
    data.cntlid,
    true,
    (bench) => ioAttempt(bench, { cntlid: 0xffe0 }),
  ),
  invalid(row('io-cntlid-dynamic', 'I/O queue for CNTLID FFFFh'), data.cntlid, true, (bench) =>
    ioAttempt(bench, { cntlid: 0xffff }),
  ),
  check(
    row('io-other-host', 'I/O queue for the controller of another host (HOSTNQN)'),
    'Connect Invalid Parameters or Connect Invalid Host',
    async (bench) =>
      hasStatus(
        await ioAttempt(bench, {
          hostnqn: 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-4000-8000-000000000001',
        }),
        [fabrics.connectInvalidParameters, fabrics.connectInvalidHost],
        true,
      ),
  ),
  check(
    row('io-other-hostid', 'I/O queue for the controller of another host (HOSTID)'),
    'Connect Invalid Parameters or Connect Invalid Host',
    async (bench) =>
      hasStatus(
        await ioAttempt(bench, { hostid: new Uint8Array(16).fill(0x77) }),
        [fabrics.connectInvalidParameters, fabrics.connectInvalidHost],
        true,
      ),
  ),
  invalid(
    row('qid-beyond', 'A queue identifier beyond what Number of Queues granted'),
    connectOffset.qid,
    false,
    (bench) => ioAttempt(bench, { qid: 0xffff }),
  ),
  check(
    row('io-before-enable', 'I/O queue of a controller that is not enabled'),
    'refused, without a crash: Command Sequence Error, Connect Invalid Parameters, or Connect Controller Busy',
    async (bench) => {
      const host = await bench.attach();
      const done = await attempt(bench, { cntlid: host.admin.cntlid, qid: 1 });
      return hasStatus(
        done,
        [generic.commandSequenceError, fabrics.connectInvalidParameters, fabrics.controllerBusy],
        true,
      );
    },
  ),
  answers(
    row('duplicate-qid', 'A queue identifier that is in use, on another connection'),
    generic.commandSequenceError,
    async (bench) => {
      const { host } = await bench.pair();
      return attempt(bench, { cntlid: host.admin.cntlid, qid: 1 });
    },
  ),
];

const sizes = [
  invalid(row('sqsize-0', 'Admin queue with SQSIZE 0'), connectOffset.sqsize, false, (bench) =>
    attempt(bench, { entries: 1 }),
  ),
  invalid(
    row('sqsize-small', 'Admin queue of 16 entries, where 32 are the least'),
    connectOffset.sqsize,
    false,
    (bench) => attempt(bench, { entries: 16 }),
  ),
  invalid(row('io-sqsize-0', 'I/O queue with SQSIZE 0'), connectOffset.sqsize, false, (bench) =>
    ioAttempt(bench, { entries: 1 }),
  ),
  invalid(
    row('io-sqsize-mqes', 'I/O queue with one entry more than CAP.MQES', {
      unless: ({ cap }) => (cap.mqes === 0xffff ? 'CAP.MQES allows every size' : ''),
    }),
    connectOffset.sqsize,
    false,
    (bench) => ioAttempt(bench, { entries: bench.facts.cap.mqes + 2 }),
  ),
  check(row('io-sqsize-most', 'I/O queue of CAP.MQES + 1 entries'), 'Successful Completion', async (bench) =>
    succeeded(await ioAttempt(bench, { entries: bench.facts.cap.mqes + 1 })),
  ),
  check(row('io-sqsize-least', 'I/O queue of 2 entries'), 'Successful Completion', async (bench) =>
    succeeded(await ioAttempt(bench, { entries: 2 })),
  ),
];

const forms = [
  answers(
    row('recfmt', 'RECFMT 1'),
    fabrics.incompatibleFormat,
    (bench) => attempt(bench, { recfmt: 1 }),
    true,
  ),
  check(
    row('data-short', 'Connect with 512 bytes of data'),
    'Data SGL Length Invalid or Invalid Field in Command',
    async (bench) =>
      hasStatus(await attempt(bench, { data: rawData(bench, () => {}).slice(0, 512) }), [
        generic.dataSglLengthInvalid,
        generic.invalidField,
      ]),
  ),
  answers(
    row('second', 'A second Connect on a queue that is connected'),
    generic.commandSequenceError,
    async (bench) => {
      const host = await bench.connect();
      return host.admin.connectWith({ ...named(bench), qid: 0 });
    },
  ),
  answers(
    row('second-io', 'Connect of another queue on an I/O queue'),
    generic.commandSequenceError,
    async (bench) => {
      const { host, queue } = await bench.pair();
      return queue.connectWith({ ...named(bench), cntlid: host.admin.cntlid, qid: 2 });
    },
  ),
  check(
    row('after-refusal', 'Connect in order, after one that was refused, on the same connection', {
      severity: 'may',
    }),
    'Successful Completion, or the connection is closed',
    async (bench) => {
      const queue = await bench.queue();
      const first = await queue.connectWith({
        ...named(bench),
        qid: 0,
        subnqn: 'nqn.2014-08.org.example:none',
      });
      const again = await queue.connectWith({ ...named(bench), qid: 0 }).catch(() => null);
      return all(
        holds(first.status !== 0, describe(first, true)),
        again === null ? holds(true, 'closed') : succeeded(again),
      );
    },
  ),
];

/** What a controller says of itself by its Connect. */
async function identity({ host, queue }: Pair): Promise<Outcome> {
  const { cntlid } = host.admin;
  const identified = (await host.identify(1)).readUInt16LE(78);
  return all(
    holds(cntlid <= 0xffef, `CNTLID ${cntlid}`),
    holds(identified === cntlid, `Identify says ${identified}, Connect ${cntlid}`),
    holds(queue.cntlid === cntlid, `Connect of the I/O queue says ${queue.cntlid}`),
  );
}

const successes = [
  check(
    row('cntlid', 'Connect in order'),
    'one CNTLID up to FFEFh in Connect, Identify and for the I/O queue',
    async (bench) => identity(await bench.pair()),
  ),
  check(row('cntlid-unique', 'Eight hosts at once'), 'eight controllers', async (bench) => {
    const hosts = await Promise.all(Array.from({ length: 8 }, () => bench.attach()));
    const ids = new Set(hosts.map(({ admin }) => admin.cntlid));
    return holds(ids.size === 8, `${ids.size} controllers: ${[...ids].join(', ')}`);
  }),
  check(row('kato', 'Connect with KATO 15,000 ms'), 'Get Features says as much or more', async (bench) => {
    const host = await bench.connect({ katoMs: 15_000 });
    const done = await getFeature(host.admin, fid.keepAliveTimer);
    return all(succeeded(done), holds(done.dw0 >= 15_000, `${done.dw0} ms`));
  }),
];

/** SQHD says how many entries the controller has taken, and wraps. */
const sqhd = check(
  row('sqhd', 'More commands than the queue has entries, one after the other', {
    section: 'Base 2.0, 3.3.3.2',
  }),
  'SQHD grows by one with each command, and wraps at the queue’s size',
  async (bench) => {
    const host = await bench.attach({ entries: 32 });
    const heads: number[] = [];
    for (let i = 0; i < 70; i++) heads.push((await host.getProperty(register.vs, 0)).sqhd);
    const steps = heads.slice(1).every((head, i) => head === (heads[i]! + 1) % 32);
    return holds(steps, `SQHD ${heads.slice(0, 3).join(', ')} … ${heads.slice(-3).join(', ')}`);
  },
);

const withoutFlow = check(
  row('no-flow-control', 'Connect with CATTR bit 2: no SQ flow control'),
  'Successful Completion; commands are answered',
  async (bench) => {
    const host = await bench.connect({ disableSqFlowControl: true });
    const done = await host.getProperty(register.vs, 0);
    return succeeded(done);
  },
);

/** Commands on a connection that has no Connect. */
async function before(bench: Bench, send: (queue: RawQueue) => Promise<Completion>): Promise<Completion> {
  return send(await bench.queue());
}

const beforeConnect = [
  ...Object.entries({
    'property-get': { opcode: FABRICS_OPCODE, nsid: fabricsType.propertyGet, cdw11: register.vs },
    'property-set': { opcode: FABRICS_OPCODE, nsid: fabricsType.propertySet, cdw11: register.cc },
    disconnect: { opcode: FABRICS_OPCODE, nsid: fabricsType.disconnect },
    'keep-alive': { opcode: adminOpcode.keepAlive },
    flush: { opcode: nvmOpcode.flush, nsid: 1 },
  }).map(([id, fields]) =>
    answers(
      { id: `connect.before-${id}`, section: CONNECT, title: `${id} before Connect` },
      generic.commandSequenceError,
      (bench) => before(bench, (queue) => queue.submit({ psdt: 1, ...fields })),
    ),
  ),
  answers(
    { id: 'connect.before-identify', section: CONNECT, title: 'Identify before Connect' },
    generic.commandSequenceError,
    (bench) =>
      before(bench, (queue) =>
        queue.submitRead({ opcode: adminOpcode.identify, psdt: 1, ...identifyDwords(1) }, 4096),
      ),
  ),
  answers(
    { id: 'connect.before-read', section: CONNECT, title: 'Read before Connect' },
    generic.commandSequenceError,
    (bench) => before(bench, (queue) => queue.submitRead({ opcode: nvmOpcode.read, nsid: 1, psdt: 1 }, 512)),
  ),
];

const sgl = answers(
  row('sgl-transport', 'Connect whose data are not in its capsule', { severity: 'may', apart: true }),
  [0, generic.sglDescriptorTypeInvalid, generic.invalidField, generic.dataSglLengthInvalid],
  async (bench) => {
    const queue = await bench.queue();
    const fields = { opcode: FABRICS_OPCODE, nsid: fabricsType.connect, psdt: 1, cdw11: 31 };
    return queue.submitR2t(
      fields,
      rawData(bench, () => {}),
    );
  },
);

const inCapsule = check(
  row('capsule-8192', 'Set Features with 8192 bytes in its capsule, the most that Admin commands may bring', {
    section: 'TCP 1.0, 3.3',
    severity: 'should',
  }),
  'success, Invalid Field in Command or Data SGL Length Invalid; the connection goes on',
  async (bench) => {
    const host = await bench.connect();
    const sgl1 = { identifier: sglId.inCapsule, address: 0, length: 8192 };
    const done = await host.admin.submit(
      { opcode: adminOpcode.setFeatures, psdt: 1, cdw10: 0x16, sgl1 },
      new Uint8Array(8192),
    );
    const after = await host.getProperty(register.vs, 0);
    return all(
      hasStatus(done, [0, generic.invalidField, generic.dataSglLengthInvalid]),
      of('afterwards', succeeded(after)),
    );
  },
);

export const connectChecks: readonly Check[] = [
  ...names,
  ...controllers,
  ...ioQueues,
  ...sizes,
  ...forms,
  ...successes,
  sqhd,
  withoutFlow,
  ...beforeConnect,
  sgl,
  inCapsule,
];
