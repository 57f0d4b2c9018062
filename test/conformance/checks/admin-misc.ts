/** Asynchronous Event Request, Abort, Keep Alive, and opcodes that are none (Base 2.0, 5.1, 5.2, 5.18). */
import {
  adminOpcode,
  adminOpcodeName,
  csi,
  fuse,
  NSID_ALL,
  nvmOpcode,
  opcodeDataTransfer,
  pduType,
  psdt,
  sglId,
} from '@spdk-ts/nvme-spec';
import {
  type CommandHost,
  type CommandQueue,
  type Completion,
  pattern,
  type RawHost,
  type RawQueue,
  read,
} from '../../host/index.ts';
import { identify } from '../admin.ts';
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
  tcpCheck,
} from '../check.ts';
import { command, describe, generic } from '../codes.ts';
import type { Facts } from '../facts.ts';
import type { TcpBench } from '../tcp-bench.ts';

const AER = 'Base 2.0, 5.2';
const ABORT = 'Base 2.0, 5.1';
const row = (id: string, section: string, title: string, more: Partial<Row> = {}): Row => ({
  id,
  section,
  title,
  ...more,
});
const hex = (value: number): string => `${value.toString(16)}h`;

const aer = (queue: CommandQueue): Promise<Completion> =>
  queue.submit({ opcode: adminOpcode.asyncEventRequest, psdt: 1 });

/** As many as may be outstanding; those that wait are nobody's concern when the connection closes. */
async function fillAers(
  host: CommandHost,
  facts: Facts,
): Promise<{ cids: number[]; completed: Completion[] }> {
  const cids: number[] = [];
  const completed: Completion[] = [];
  for (let i = 0; i <= facts.controller.aerl; i++) {
    const cid = host.admin.newCid();
    cids.push(cid);
    host.admin.expect(cid).then(
      (done) => completed.push(done),
      () => {},
    );
    host.admin.post({ opcode: adminOpcode.asyncEventRequest, psdt: 1, cid });
  }
  // What is refused is refused before this is answered.
  await identify(host.admin, 1);
  return { cids, completed };
}

const abort = (queue: CommandQueue, sqid: number, cid: number, nsid = 0): Promise<Completion> =>
  queue.submit({ opcode: adminOpcode.abort, nsid, psdt: 1, cdw10: ((cid << 16) | sqid) >>> 0 });

const aers = [
  check(row('aer.most', AER, 'AERL + 1 Asynchronous Event Requests'), 'all of them wait', async (bench) => {
    const { completed } = await fillAers(await bench.connect(), bench.facts);
    const failed = completed.filter(({ status }) => status !== 0);
    return holds(failed.length === 0, failed.length === 0 ? 'they wait' : describe(failed[0]!));
  }),
  answers(
    row('aer.limit', AER, 'One Asynchronous Event Request more than AERL + 1'),
    command.asyncEventRequestLimitExceeded,
    async (bench) => {
      const host = await bench.connect();
      await fillAers(host, bench.facts);
      return aer(host.admin);
    },
  ),
  check(
    row('aer.abort', AER, 'Abort of an Asynchronous Event Request'),
    'it ends with Command Abort Requested, and Abort says that it was aborted; or neither',
    async (bench) => {
      const host = await bench.connect();
      const cid = host.admin.newCid();
      const ended: Completion[] = [];
      const waits = host.admin.expect(cid).then((done) => ended.push(done));
      waits.catch(() => {});
      host.admin.post({ opcode: adminOpcode.asyncEventRequest, psdt: 1, cid });
      const done = await abort(host.admin, 0, cid);
      if ((done.dw0 & 1) !== 0) return all(succeeded(done), holds(ended.length === 0, 'not aborted'));
      await waits;
      return all(succeeded(done), of('the request', hasStatus(ended[0]!, [generic.abortRequested])));
    },
  ),
  check(
    row('aer.room', AER, 'An Asynchronous Event Request after one of AERL + 1 was aborted'),
    'it waits',
    async (bench) => {
      const host = await bench.connect();
      const { cids } = await fillAers(host, bench.facts);
      const done = await abort(host.admin, 0, cids[0]!);
      if ((done.dw0 & 1) !== 0) return holds(true, 'the target does not abort it');
      let late: Completion | null = null;
      aer(host.admin).then(
        (completion) => {
          late = completion;
        },
        () => {},
      );
      await identify(host.admin, 1);
      return holds(late === null, late === null ? 'it waits' : describe(late));
    },
  ),
  check(
    row('aer.reset', 'Base 2.0, 3.7.2', 'AERL + 1 requests, then CC.EN 0 and 1'),
    'as many may wait again',
    async (bench) => {
      const host = await bench.connect();
      host.admin.lenient = true;
      await fillAers(host, bench.facts);
      await host.enable(0);
      await host.enable(bench.cc);
      const { completed } = await fillAers(host, bench.facts);
      const failed = completed.filter(
        ({ status }) => status !== 0 && (status & 0x7ff) === command.asyncEventRequestLimitExceeded,
      );
      return holds(failed.length === 0, failed.length === 0 ? 'they wait' : describe(failed[0]!));
    },
  ),
];

/** A write that waits for its data, so that Abort finds something. */
async function waiting(
  bench: TcpBench,
): Promise<{ host: RawHost; queue: RawQueue; cid: number; done: Promise<Completion>; finish: () => void }> {
  const { nsid, block_size } = bench.facts.ns;
  const { host, queue } = await bench.pair();
  const cid = queue.newCid();
  const data = pattern(bench.r2t_bytes, 3);
  const done = queue.expect(cid);
  done.catch(() => {});
  const asked = new Promise<number>((resolve) => {
    queue.tap = ({ type, view }) => {
      if (type === pduType.r2t) resolve(view.getUint16(10, true));
    };
  });
  const sgl1 = { identifier: sglId.transportDataBlock, address: 0, length: data.length };
  queue.stream.send(
    queue.capsule({ opcode: nvmOpcode.write, nsid, psdt: 1, cid, sgl1, cdw12: data.length / block_size - 1 }),
  );
  const ttag = await asked;
  return { host, queue, cid, done, finish: () => queue.stream.send(queue.h2cData(cid, ttag, 0, data, true)) };
}

const aborts = [
  check(
    row('abort.nothing', ABORT, 'Abort of a command that there is not'),
    'success, dword 0 bit 0 set: not aborted',
    async (bench) => {
      const done = await abort((await bench.pair()).host.admin, 1, 0x7f00);
      return all(succeeded(done), holds((done.dw0 & 1) === 1, `dword 0 ${done.dw0}`));
    },
  ),
  check(
    row('abort.queue', ABORT, 'Abort on a queue that there is not'),
    'success and not aborted; or Invalid Field in Command',
    async (bench) => {
      const done = await abort((await bench.connect()).admin, 0xfff0, 1);
      return all(
        hasStatus(done, [0, generic.invalidField]),
        holds(done.status !== 0 || (done.dw0 & 1) === 1, `dword 0 ${done.dw0}`),
      );
    },
  ),
  tcpCheck(
    row('abort.write', ABORT, 'Abort of a write that waits for its data, which then come'),
    'as Abort says: aborted with Command Abort Requested, or carried out',
    async (bench) => {
      const { host, cid, done, finish } = await waiting(bench);
      const said = await abort(host.admin, 1, cid);
      finish();
      const ended = await done;
      const aborted = (said.dw0 & 1) === 0;
      return all(
        succeeded(said),
        of(
          aborted ? 'aborted' : 'not aborted',
          hasStatus(ended, aborted ? [generic.abortRequested] : [0, generic.abortRequested]),
        ),
      );
    },
  ),
  tcpCheck(row('abort.after', ABORT, 'The queue after an Abort'), 'goes on', async (bench) => {
    const { host, queue, cid, done, finish } = await waiting(bench);
    await abort(host.admin, 1, cid);
    finish();
    await done;
    const { nsid, block_size } = bench.facts.ns;
    return succeeded(await read(queue, 0, block_size, { nsid, block_size }));
  }),
  check(
    row('abort.limit', ABORT, 'Twice ACL + 1 Aborts at once', { severity: 'should' }),
    'success, or Abort Command Limit Exceeded',
    async (bench) => {
      const host = await bench.connect();
      const count = Math.min(24, 2 * (bench.facts.controller.acl + 1));
      const done = await Promise.all(
        Array.from({ length: count }, (_, i) => abort(host.admin, 1, 0x7000 + i)),
      );
      return all(...done.map((one) => hasStatus(one, [0, command.abortCommandLimitExceeded])));
    },
  ),
  check(
    row('abort.itself', ABORT, 'Abort of itself', { severity: 'may' }),
    'success and not aborted; or Invalid Field in Command',
    async (bench) => {
      const { admin } = await bench.connect();
      const cid = admin.newCid();
      const done = admin.expect(cid);
      admin.post({ opcode: adminOpcode.abort, psdt: 1, cid, cdw10: (cid << 16) >>> 0 });
      const ended = await done;
      return all(
        hasStatus(ended, [0, generic.invalidField]),
        holds(ended.status !== 0 || (ended.dw0 & 1) === 1, `dword 0 ${ended.dw0}`),
      );
    },
  ),
];

// --- opcodes ---

/** Sends a command that has no data, in the direction that its opcode says. */
function empty(queue: CommandQueue, opcode: number, nsid: number): Promise<Completion> {
  const fields = { opcode, nsid, psdt: 1 };
  return opcodeDataTransfer(opcode) === 2 ? queue.submitRead(fields, 0) : queue.submit(fields);
}

/** Admin commands of PCIe alone, which Base 2.0, figure "Admin Commands", prohibits over fabrics. */
const ofPcie = [
  adminOpcode.deleteIoSq,
  adminOpcode.createIoSq,
  adminOpcode.deleteIoCq,
  adminOpcode.createIoCq,
  adminOpcode.doorbellBufferConfig,
].map((opcode) =>
  tcpAnswers(
    row(`opcode.admin-${hex(opcode)}`, 'Base 2.0, 3.1.2', `${adminOpcodeName(opcode)} over fabrics`),
    generic.invalidOpcode,
    async (bench) => empty(await bench.admin(), opcode, 0),
  ),
);

async function unknownOpcodes(
  queue: CommandQueue,
  known: ReadonlySet<number>,
  nsid: number,
  skip: (opcode: number) => boolean,
) {
  const wrong: string[] = [];
  let tried = 0;
  for (let opcode = 0; opcode < 256; opcode++) {
    if (known.has(opcode) || skip(opcode)) continue;
    tried++;
    const done = await empty(queue, opcode, nsid);
    if ((done.status & 0x7ff) !== generic.invalidOpcode) wrong.push(`${hex(opcode)}: ${describe(done)}`);
  }
  const shown = wrong.slice(0, 8).join(', ') + (wrong.length > 8 ? `, and ${wrong.length - 8} more` : '');
  return holds(wrong.length === 0, wrong.length === 0 ? `${tried} opcodes, all refused` : shown);
}

/** Opcodes that a specification defines, whether the controller has them or not. */
const definedAdmin = new Set<number>(Object.values(adminOpcode));
const definedIo = new Set<number>([...Object.values(nvmOpcode), 0x79, 0x7a, 0x7d]);
const vendor = (opcode: number): boolean => opcode >= 0xc0;
const vendorIo = (opcode: number): boolean => opcode >= 0x80;

const opcodes = [
  check(
    row('opcode.admin-unknown', 'Base 2.0, 5', 'Every Admin opcode that no specification defines', {
      seconds: 30,
    }),
    'Invalid Command Opcode',
    async (bench) => unknownOpcodes((await bench.connect()).admin, definedAdmin, 0, vendor),
  ),
  check(
    row('opcode.io-unknown', 'NVM 1.0, 3', 'Every I/O opcode that no specification defines', { seconds: 30 }),
    'Invalid Command Opcode',
    async (bench) => unknownOpcodes((await bench.pair()).queue, definedIo, bench.facts.ns.nsid, vendorIo),
  ),
  check(
    row(
      'opcode.io-unsupported',
      'Base 2.0, 5.16.1.6',
      'I/O commands that Commands Supported and Effects does not name',
      {
        unless: ({ effects }) => (effects === null ? 'there is no such page' : ''),
      },
    ),
    'Invalid Command Opcode',
    async (bench) => {
      const named = bench.facts.effects!.io;
      // Of a command set that this namespace does not have, or data and more are needed: not told apart by the page.
      const plain = [
        nvmOpcode.writeUncorrectable,
        nvmOpcode.compare,
        nvmOpcode.writeZeroes,
        nvmOpcode.verify,
        nvmOpcode.copy,
      ];
      const absent = plain.filter((opcode) => ((named.get(opcode) ?? 0) & 1) === 0);
      const queue = await bench.io();
      const done = await Promise.all(absent.map((opcode) => empty(queue, opcode, bench.facts.ns.nsid)));
      return all(
        holds(true, `${absent.length} commands`),
        ...done.map((one) => hasStatus(one, [generic.invalidOpcode])),
      );
    },
  ),
];

// --- fields of all Admin commands ---

const getFeatures = { opcode: adminOpcode.getFeatures, cdw10: 0x0b };
const common = [
  ...[fuse.first, fuse.second, 3].map((fused) =>
    answers(
      row(`admin.fuse-${fused}`, 'Base 2.0, 3.3.3.1', `An Admin command with FUSE ${fused}`),
      generic.invalidField,
      async (bench) => (await bench.connect()).admin.submitRead({ ...getFeatures, psdt: 1, fuse: fused }, 0),
    ),
  ),
  answers(
    row('admin.psdt-3', 'Base 2.0, 3.3.3.1', 'An Admin command with the reserved PSDT 3'),
    generic.invalidField,
    async (bench) => (await bench.admin()).submitRead({ ...getFeatures, psdt: 3 }, 0),
  ),
  tcpAnswers(
    row(
      'admin.psdt-0',
      'Base 2.0, 3.3.3.1',
      'An Admin command with PSDT 0 (PRPs), which fabrics do not have',
      { severity: 'may' },
    ),
    [0, generic.invalidField],
    async (bench) => (await bench.admin()).submitRead({ ...getFeatures, psdt: psdt.prp }, 0),
  ),
  check(
    row(
      'admin.cid-conflict',
      'Base 2.0, 3.3.3.1',
      'An Admin command with the CID of one that is outstanding',
      { severity: 'may' },
    ),
    'Command ID Conflict, an answer to it, or the end of the connection',
    async (bench) => {
      const { admin } = await bench.connect();
      admin.lenient = true;
      const cid = admin.newCid();
      admin.post({ opcode: adminOpcode.asyncEventRequest, psdt: 1, cid });
      const done = admin.expect(cid).catch((error: Error) => error);
      admin.post({ opcode: adminOpcode.keepAlive, psdt: 1, cid });
      const ended = await done;
      return ended instanceof Error
        ? holds(true, ended.message)
        : hasStatus(ended, [0, generic.commandIdConflict]);
    },
  ),
  check(
    row('admin.cid-ffff', 'Base 2.0, 3.3.3.1', 'CID FFFFh, which hosts should not use', { severity: 'may' }),
    'an answer with this CID',
    async (bench) => {
      const { admin } = await bench.connect();
      const done = admin.expect(0xffff);
      admin.post({ opcode: adminOpcode.keepAlive, psdt: 1, cid: 0xffff });
      return succeeded(await done);
    },
  ),
  check(
    row('admin.parallel', 'Base 2.0, 3.3.3', 'As many Admin commands at once as the queue holds'),
    'all are answered, each once',
    async (bench) => {
      const { admin } = await bench.connect({ entries: 32 });
      const sent = Array.from({ length: 31 }, () => identify(admin, 1, { csi: csi.nvm }));
      const done = await Promise.all(sent);
      const cids = new Set(done.map(({ cid }) => cid));
      return all(...done.map(succeeded), holds(cids.size === 31, `${cids.size} CIDs`));
    },
  ),
];

// --- keep alive ---

const keepAlives = [
  answers(row('keep-alive.command', 'Base 2.0, 5.18', 'Keep Alive'), 0, async (bench) =>
    (await bench.admin()).submit({ opcode: adminOpcode.keepAlive, psdt: 1 }),
  ),
  answers(
    row('keep-alive.nsid', 'Base 2.0, 5.18', 'Keep Alive with NSID FFFFFFFFh', { severity: 'may' }),
    [0, generic.invalidField, generic.invalidNamespaceOrFormat],
    async (bench) => (await bench.admin()).submit({ opcode: adminOpcode.keepAlive, nsid: NSID_ALL, psdt: 1 }),
  ),
  answers(
    row('keep-alive.io', 'Base 2.0, 5.18', 'Opcode 18h (Keep Alive) on an I/O queue'),
    [generic.invalidOpcode, generic.invalidField],
    async (bench) =>
      (await bench.io()).submit({ opcode: adminOpcode.keepAlive, nsid: bench.facts.ns.nsid, psdt: 1 }),
  ),
];

export const adminChecks: readonly Check[] = [
  ...aers,
  ...aborts,
  ...ofPcie,
  ...opcodes,
  ...common,
  ...keepAlives,
];
