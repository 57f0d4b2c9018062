/** Sequences: enable, reset, shutdown, full queues, I/O while it may not be (Base 2.0, 3.3, 3.5 to 3.7). */
import {
  adminOpcode,
  decodeCc,
  decodeCsts,
  encodeCc,
  nvmOpcode,
  pduType,
  register,
  sglId,
  shst,
} from '@spdk-ts/nvme-spec';
import {
  CC_ENABLED,
  type CommandHost,
  type CommandQueue,
  type Completion,
  pattern,
  type RawHost,
  type RawQueue,
  read,
  write,
} from '../../host/index.ts';
import { getFeature, identify } from '../admin.ts';
import type { Bench } from '../bench.ts';
import {
  all,
  type Check,
  check,
  hasStatus,
  holds,
  type Outcome,
  of,
  type Row,
  succeeded,
  tcpAnswers,
  tcpCheck,
} from '../check.ts';
import { generic } from '../codes.ts';
import { fill, holdsData, ranged } from '../io.ts';
import { lastWords } from '../last-words.ts';
import type { TcpBench } from '../tcp-bench.ts';

const ENABLE = 'Base 2.0, 3.5.2';
const RESET = 'Base 2.0, 3.7.2';
const SHUTDOWN = 'Base 2.0, 3.6.2';
const QUEUES = 'Base 2.0, 3.3';
const row = (id: string, section: string, title: string, more: Partial<Row> = {}): Row => ({
  id: `sequence.${id}`,
  section,
  title,
  ...more,
});
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const csts = async (host: CommandHost) => decodeCsts(await host.property(register.csts));
const cc = (fields: Parameters<typeof encodeCc>[0]): number => encodeCc({ iosqes: 6, iocqes: 4, ...fields });

/** Whether `done` holds within five seconds. */
async function becomes(done: () => Promise<boolean>): Promise<boolean> {
  for (let i = 0; i < 500; i++) {
    if (await done()) return true;
    await pause(10);
  }
  return false;
}

// --- before and behind CC.EN ---

const disabled: readonly [string, string, (admin: CommandQueue) => Promise<Completion>][] = [
  ['identify', 'Identify', (admin) => identify(admin, 1)],
  ['get-features', 'Get Features', (admin) => getFeature(admin, 0x0b)],
  ['keep-alive', 'Keep Alive', (admin) => admin.submit({ opcode: adminOpcode.keepAlive, psdt: 1 })],
];
const whileDisabled = disabled.map(([id, title, send]) =>
  tcpAnswers(
    row(`disabled-${id}`, ENABLE, `${title} behind Connect, before CC.EN`),
    generic.commandSequenceError,
    async (bench) => send((await bench.attach()).admin),
  ),
);

const enabling = [
  check(
    row('enable-again', ENABLE, 'CC.EN is set where it is set'),
    'success, and the controller goes on',
    async (bench) => {
      const { host, queue } = await bench.pair();
      const done = await host.putProperty(register.cc, 0, bench.cc);
      return all(
        succeeded(done),
        holds((await csts(host)).rdy, 'ready'),
        of('Read', succeeded(await ranged.read(queue, bench))),
      );
    },
  ),
  check(
    row('disable-again', ENABLE, 'CC.EN is cleared where it is clear'),
    'success, and CSTS.RDY 0',
    async (bench) => {
      const host = await bench.attach();
      const done = await host.putProperty(register.cc, 0, 0);
      return all(succeeded(done), holds(!(await csts(host)).rdy, 'not ready'));
    },
  ),
  check(
    row('enable-without-sizes', ENABLE, 'CC.EN without entry sizes, then I/O queues', { severity: 'may' }),
    'CC is refused, the queue is refused, or both are taken; no crash',
    async (bench) => {
      const host = await bench.attach();
      const done = await host.putProperty(register.cc, 0, encodeCc({ en: true }));
      if (done.status !== 0) return hasStatus(done, [generic.invalidField]);
      const opened = await host.openQueues(1).then(
        () => 'the queue is connected',
        (error: Error) => error.message,
      );
      return holds((await host.getProperty(register.vs, 0)).status === 0, opened);
    },
  ),
];

// --- reset ---

/** Reads under way, and a write that waits for its data. */
async function inFlight(
  bench: TcpBench,
): Promise<{ host: RawHost; queue: RawQueue; ended: Promise<unknown> }> {
  const { host, queue } = await bench.pair();
  queue.lenient = true;
  const { nsid, block_size } = bench.facts.ns;
  const reads = Array.from({ length: 16 }, (_, i) =>
    read(queue, i, block_size, { nsid, block_size }).catch(() => null),
  );
  const sgl1 = { identifier: sglId.transportDataBlock, address: 0, length: 16_384 };
  const cid = queue.newCid();
  const done = queue.expect(cid).catch(() => null);
  queue.tap = ({ type }) => {
    if (type === pduType.r2t) queue.tap = null; // nothing is sent for it
  };
  queue.stream.send(
    queue.capsule({ opcode: nvmOpcode.write, nsid, psdt: 1, cid, sgl1, cdw12: 16_384 / block_size - 1 }),
  );
  return { host, queue, ended: Promise.all([...reads, done]) };
}

async function afterReset(bench: Bench, host: CommandHost): Promise<Outcome> {
  await host.enable(bench.cc);
  await host.setQueueCount(1);
  host.queues.length = 0;
  const [queue] = await host.openQueues(1);
  return of('afterwards', succeeded(await ranged.read(queue!, bench)));
}

const resets = [
  tcpCheck(
    row('reset-in-flight', RESET, 'CC.EN is cleared with reads and a write in flight'),
    'CSTS.RDY 0; the I/O queue ends; then CC.EN, a new queue and a read',
    async (bench) => {
      const { host, queue } = await inFlight(bench);
      const done = await host.putProperty(register.cc, 0, 0);
      const idle = await becomes(async () => !(await csts(host)).rdy);
      queue.stream.socket.end();
      const { closed } = await lastWords(queue);
      return all(
        succeeded(done),
        holds(idle, idle ? 'not ready' : 'CSTS.RDY stays 1'),
        holds(closed, closed ? 'the I/O queue is closed' : 'the I/O queue stays open'),
        await afterReset(bench, host),
      );
    },
  ),
  check(
    row('reset-data', RESET, 'Data that were written before a reset'),
    'are read behind it',
    async (bench) => {
      const { host, queue } = await bench.pair();
      const data = await fill(queue, bench, 0, 16, 21);
      await host.enable(0);
      await host.enable(bench.cc);
      return holdsData(await bench.io(), bench, 0, data, '16 blocks');
    },
  ),
  check(
    row('reset-io', RESET, 'A read on an I/O queue behind CC.EN 0'),
    'Command Sequence Error, or the queue has ended',
    async (bench) => {
      const { host, queue } = await bench.pair();
      await host.enable(0);
      const done = await ranged.read(queue, bench).catch((error: Error) => error);
      return done instanceof Error
        ? holds(true, done.message)
        : hasStatus(done, [generic.commandSequenceError, generic.abortedSqDeletion]);
    },
  ),
  check(
    row('reset-repeated', RESET, 'Ten resets, one after the other'),
    'the controller is ready behind each',
    async (bench) => {
      const host = await bench.connect();
      for (let i = 0; i < 10; i++) {
        await host.enable(0);
        await host.enable(bench.cc);
      }
      return afterReset(bench, host);
    },
  ),
  check(row('reset-cntlid', RESET, 'The controller behind a reset'), 'is the same', async (bench) => {
    const host = await bench.connect();
    await host.enable(0);
    await host.enable(bench.cc);
    const id = (await host.identify(1)).readUInt16LE(78);
    return holds(id === host.admin.cntlid, `CNTLID ${id}, before ${host.admin.cntlid}`);
  }),
];

// --- shutdown ---

async function shutDown(bench: Bench, host: CommandHost, kind: number): Promise<Outcome> {
  const done = await host.putProperty(register.cc, 0, cc({ ...decodeCc(bench.cc), en: true, shn: kind }));
  const complete = await becomes(async () => (await csts(host)).shst === shst.complete);
  return all(succeeded(done), holds(complete, `SHST ${(await csts(host)).shst}`));
}

const shutdowns = [1, 2].flatMap((kind) => {
  const name = kind === 1 ? 'normal' : 'abrupt';
  const expected = 'CSTS.SHST 2: complete; the admin queue still answers Property Get';
  return [
    check(row(`shutdown-${name}`, SHUTDOWN, `CC.SHN: ${name} shutdown`), expected, async (bench) =>
      shutDown(bench, (await bench.pair()).host, kind),
    ),
    tcpCheck(
      row(
        `shutdown-${name}-in-flight`,
        SHUTDOWN,
        `CC.SHN: ${name} shutdown with reads and a write in flight`,
      ),
      expected,
      async (bench) => shutDown(bench, (await inFlight(bench)).host, kind),
    ),
  ];
});
const afterShutdown = [
  check(
    row('shutdown-io', SHUTDOWN, 'An I/O queue is to be connected behind a shutdown'),
    'it is refused',
    async (bench) => {
      const host = await bench.connect();
      await host.putProperty(register.cc, 0, cc({ ...decodeCc(bench.cc), en: true, shn: 1 }));
      await becomes(async () => (await csts(host)).shst === shst.complete);
      const opened = await host.openQueues(1).then(
        () => null,
        (error: Error) => error.message,
      );
      return holds(opened !== null, opened ?? 'it is connected');
    },
  ),
  check(
    row('shutdown-reset', SHUTDOWN, 'CC.EN 0 and 1 behind a shutdown', { severity: 'should' }),
    'the controller is ready again, and reads',
    async (bench) => {
      const host = await bench.connect();
      await host.putProperty(register.cc, 0, cc({ ...decodeCc(bench.cc), en: true, shn: 1 }));
      await becomes(async () => (await csts(host)).shst === shst.complete);
      await host.enable(0);
      return afterReset(bench, host);
    },
  ),
];

// --- queues ---

const fullQueue = check(
  row('queue-full', QUEUES, 'As many writes and reads at once as the queue holds, ten times'),
  'all are answered, each once, with the right data',
  async (bench) => {
    const { nsid, block_size } = bench.facts.ns;
    const { queue } = await bench.pair({}, { entries: 32 });
    const depth = 31;
    for (let round = 0; round < 10; round++) {
      const datas = Array.from({ length: depth }, (_, i) => pattern(block_size, round * 100 + i));
      const written = await Promise.all(datas.map((data, i) => write(queue, i, data, { nsid, block_size })));
      const back = await Promise.all(datas.map((_, i) => read(queue, i, block_size, { nsid, block_size })));
      const bad = [...written, ...back].find(({ status }) => status !== 0);
      if (bad !== undefined) return succeeded(bad);
      const wrong = back.findIndex(({ data }, i) => !data.equals(datas[i]!));
      if (wrong >= 0) return holds(false, `round ${round}: block ${wrong} is not what was written`);
    }
    return holds(true, `${10 * 2 * depth} commands`);
  },
);

const deepest = check(
  row('queue-deepest', QUEUES, 'As many reads at once as CAP.MQES allows (up to 1024)', { seconds: 30 }),
  'all are answered, each once',
  async (bench) => {
    const entries = Math.min(1024, bench.facts.cap.mqes + 1, bench.facts.controller.maxcmd || 1024);
    const { nsid, block_size } = bench.facts.ns;
    const { queue } = await bench.pair({}, { entries });
    const done = await Promise.all(
      Array.from({ length: entries - 1 }, (_, i) => read(queue, i % 512, block_size, { nsid, block_size })),
    );
    const cids = new Set(done.map(({ cid }) => cid));
    return all(...done.map(succeeded), holds(cids.size === entries - 1, `${cids.size} commands`));
  },
);

const overfull = tcpCheck(
  row('queue-overfull', QUEUES, 'More writes outstanding than the queue has entries', { severity: 'may' }),
  'the surplus fails or ends the connection, or is held back; the target goes on',
  async (bench) => {
    const { nsid, block_size } = bench.facts.ns;
    const { host, queue } = await bench.pair({}, { entries: 8 });
    queue.lenient = true;
    const length = bench.r2t_bytes;
    const sgl1 = { identifier: sglId.transportDataBlock, address: 0, length };
    let asked = 0;
    queue.tap = ({ type }) => {
      if (type === pduType.r2t) asked++;
    };
    for (let i = 0; i < 64; i++) {
      const cid = queue.newCid();
      queue.expect(cid).catch(() => {});
      queue.stream.send(
        queue.capsule({ opcode: nvmOpcode.write, nsid, psdt: 1, cid, sgl1, cdw12: length / block_size - 1 }),
      );
    }
    await becomes(async () => asked > 0 || queue.stream.ended);
    const vs = await (await bench.connect()).property(register.vs);
    host.close();
    return holds(vs === bench.facts.vs, `${asked} R2Ts${queue.stream.ended ? ', then the end' : ''}`);
  },
);

const manyQueues = check(
  row('queues-many', QUEUES, 'As many I/O queues as were granted (up to 16), and a read on each'),
  'success',
  async (bench) => {
    const host = await bench.connect();
    const count = Math.min(16, await host.setQueueCount(16));
    const queues = await host.openQueues(count);
    const done = await Promise.all(queues.map((queue) => ranged.read(queue, bench)));
    return all(...done.map(succeeded), holds(true, `${count} queues`));
  },
);

const manyHosts = check(
  row('hosts-many', QUEUES, 'Sixteen hosts that write and read at once', {
    unless: ({ hosts }) => (hosts < 18 ? `there can be ${hosts} hosts` : ''),
  }),
  'each reads what it wrote',
  async (bench) => {
    const { nsid, block_size } = bench.facts.ns;
    const pairs = await Promise.all(Array.from({ length: 16 }, () => bench.pair()));
    const outcomes = await Promise.all(
      pairs.map(async ({ queue }, i) => {
        const data = pattern(4 * block_size, i + 300);
        const written = await write(queue, i * 4, data, { nsid, block_size });
        const back = await read(queue, i * 4, data.length, { nsid, block_size });
        return all(succeeded(written), succeeded(back), holds(back.data.equals(data), 'the same data'));
      }),
    );
    return all(...outcomes);
  },
);

const order = check(row('ready-time', ENABLE, 'CSTS.RDY behind CC.EN'), '1 within CAP.TO', async (bench) => {
  const host = await bench.attach();
  await host.setProperty(register.cc, CC_ENABLED);
  const ready = await becomes(async () => (await csts(host)).rdy);
  return holds(ready, ready ? 'ready' : `not ready after 5 s, CAP.TO ${bench.facts.cap.to / 2} s`);
});

export const sequenceChecks: readonly Check[] = [
  ...whileDisabled,
  ...enabling,
  order,
  ...resets,
  ...shutdowns,
  ...afterShutdown,
  fullQueue,
  deepest,
  overfull,
  manyQueues,
  manyHosts,
];
