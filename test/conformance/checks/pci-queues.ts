/** Creation and deletion of I/O queues of a PCI function (Base 2.0, 5.4 to 5.7; PCIe Transport 1.0). */
import { adminOpcode, type SqeFields } from '@spdk-ts/nvme-spec';
import type { Completion } from '../../host/index.ts';
import type { PciDriver } from '../../vfio-user-host/pci-driver.ts';
import {
  all,
  type Check,
  hasStatus,
  holds,
  of,
  pciAnswers,
  pciCheck,
  type Row,
  succeeded,
} from '../check.ts';
import { command, generic } from '../codes.ts';
import { ranged } from '../io.ts';
import { pciRow } from '../pci.ts';
import type { PciBench } from '../pci-bench.ts';

const CREATE_CQ = 'Base 2.0, 5.4';
const CREATE_SQ = 'Base 2.0, 5.5';
const DELETE_CQ = 'Base 2.0, 5.6';
const DELETE_SQ = 'Base 2.0, 5.7';
const ENTRIES = 16;
const CONTIGUOUS = 1;
const INTERRUPTS = 2;

/** What makes a queue, but for what a check changes. */
interface Making {
  readonly host: PciDriver;
  /** A page for the ring. */
  readonly page: number;
  /** The last I/O queue identifier that was granted. */
  readonly granted: number;
}

async function making(bench: PciBench): Promise<Making> {
  const host = await bench.connect();
  const granted = await host.setQueueCount(bench.facts.io_queues);
  return { host, page: host.pages.take(2), granted };
}

/** Deletes a queue, whatever the status. */
const remove = (host: PciDriver, opcode: number, qid: number): Promise<Completion> =>
  host.bare({ opcode, cdw10: qid });
const removeSq = (host: PciDriver, qid: number) => remove(host, adminOpcode.deleteIoSq, qid);
const removeCq = (host: PciDriver, qid: number) => remove(host, adminOpcode.deleteIoCq, qid);

/** A completion queue that must not be made. */
const badCq = (
  id: string,
  title: string,
  codes: number | readonly number[],
  send: (making: Making, bench: PciBench) => Promise<Completion>,
  more: Partial<Row> = {},
): Check =>
  pciAnswers(
    pciRow(`create-cq.${id}`, CREATE_CQ, `Create I/O Completion Queue ${title}`, more),
    codes,
    async (bench) => send(await making(bench), bench),
  );

const cqs = [
  badCq('qid-0', 'with QID 0, which is the admin queue', command.invalidQueueIdentifier, ({ host, page }) =>
    host.createCq(0, ENTRIES, page),
  ),
  badCq(
    'qid-beyond',
    'with a QID beyond those granted',
    command.invalidQueueIdentifier,
    ({ host, page, granted }) => host.createCq(granted + 1, ENTRIES, page),
  ),
  badCq('qid-ffff', 'with QID FFFFh', command.invalidQueueIdentifier, ({ host, page }) =>
    host.createCq(0xffff, ENTRIES, page),
  ),
  badCq('twice', 'with a QID that is in use', command.invalidQueueIdentifier, async ({ host, page }) => {
    await host.createCq(1, ENTRIES, page);
    return host.createCq(1, ENTRIES, host.pages.take(1));
  }),
  badCq('size-0', 'with QSIZE 0', command.invalidQueueSize, ({ host, page }) => host.createCq(1, 1, page)),
  badCq(
    'size-beyond',
    'with QSIZE beyond CAP.MQES',
    command.invalidQueueSize,
    ({ host, page }, { facts }) => host.createCq(1, facts.cap.mqes + 2, page),
    { unless: ({ cap }) => (cap.mqes === 0xffff ? 'CAP.MQES allows every size' : '') },
  ),
  badCq(
    'prp-offset',
    'at an address within a page',
    [generic.prpOffsetInvalid, generic.invalidField],
    ({ host, page }) => host.createCq(1, ENTRIES, page + 512),
  ),
  badCq(
    'not-contiguous',
    'with PC 0, where CAP.CQR demands contiguous queues',
    generic.invalidField,
    ({ host, page }) => host.createCq(1, ENTRIES, page, { cdw11: 0 }),
    { unless: ({ cap }) => (cap.cqr ? '' : 'queues need not be contiguous (CAP.CQR)') },
  ),
  badCq('vector-ffff', 'with interrupt vector FFFFh', command.invalidInterruptVector, ({ host, page }) =>
    host.createCq(1, ENTRIES, page, { cdw11: ((0xffff << 16) | CONTIGUOUS | INTERRUPTS) >>> 0 }),
  ),
  badCq(
    'vector-beyond',
    'with an interrupt vector that MSI-X has not',
    command.invalidInterruptVector,
    async ({ host, page }) => {
      const vectors = await host.vectors();
      return host.createCq(1, ENTRIES, page, {
        cdw11: ((vectors << 16) | CONTIGUOUS | INTERRUPTS) >>> 0,
      });
    },
  ),
];

const badSq = (
  id: string,
  title: string,
  codes: number | readonly number[],
  send: (making: Making, bench: PciBench) => Promise<Completion>,
  more: Partial<Row> = {},
): Check =>
  pciAnswers(
    pciRow(`create-sq.${id}`, CREATE_SQ, `Create I/O Submission Queue ${title}`, more),
    codes,
    async (bench) => {
      const made = await making(bench);
      const cq = await made.host.createCq(1, ENTRIES, made.host.pages.take(1));
      return cq.status === 0 ? send(made, bench) : cq;
    },
  );

const sqs = [
  badSq('qid-0', 'with QID 0, which is the admin queue', command.invalidQueueIdentifier, ({ host, page }) =>
    host.createSq(0, ENTRIES, page, 1),
  ),
  badSq(
    'qid-beyond',
    'with a QID beyond those granted',
    command.invalidQueueIdentifier,
    ({ host, page, granted }) => host.createSq(granted + 1, ENTRIES, page, 1),
  ),
  badSq('twice', 'with a QID that is in use', command.invalidQueueIdentifier, async ({ host, page }) => {
    await host.createSq(1, ENTRIES, page, 1);
    return host.createSq(1, ENTRIES, host.pages.take(1), 1);
  }),
  badSq('size-0', 'with QSIZE 0', command.invalidQueueSize, ({ host, page }) => host.createSq(1, 1, page, 1)),
  badSq(
    'size-beyond',
    'with QSIZE beyond CAP.MQES',
    command.invalidQueueSize,
    ({ host, page }, { facts }) => host.createSq(1, facts.cap.mqes + 2, page, 1),
    { unless: ({ cap }) => (cap.mqes === 0xffff ? 'CAP.MQES allows every size' : '') },
  ),
  badSq(
    'prp-offset',
    'at an address within a page',
    [generic.prpOffsetInvalid, generic.invalidField],
    ({ host, page }) => host.createSq(1, ENTRIES, page + 512, 1),
  ),
  badSq(
    'not-contiguous',
    'with PC 0, where CAP.CQR demands contiguous queues',
    generic.invalidField,
    ({ host, page }) => host.createSq(1, ENTRIES, page, 1, { cdw11: 1 << 16 }),
    { unless: ({ cap }) => (cap.cqr ? '' : 'queues need not be contiguous (CAP.CQR)') },
  ),
  badSq('cqid-0', 'with CQID 0, which is the admin queue', command.invalidQueueIdentifier, ({ host, page }) =>
    host.createSq(1, ENTRIES, page, 0),
  ),
  badSq(
    'cqid-beyond',
    'with a CQID beyond those granted',
    command.invalidQueueIdentifier,
    ({ host, page, granted }) => host.createSq(1, ENTRIES, page, granted + 1),
  ),
  badSq(
    'cqid-absent',
    'for a completion queue that has not been made',
    command.completionQueueInvalid,
    ({ host, page }) => host.createSq(1, ENTRIES, page, 2),
    { unless: ({ io_queues }) => (io_queues < 2 ? 'there is one queue only' : '') },
  ),
];

const deletions = [
  ...[0, 1, 0xffff].flatMap((qid) => [
    pciAnswers(
      pciRow(`delete-sq.${qid}`, DELETE_SQ, `Delete I/O Submission Queue ${qid}, which there is not`),
      command.invalidQueueIdentifier,
      async (bench) => removeSq(await bench.connect(), qid),
    ),
    pciAnswers(
      pciRow(`delete-cq.${qid}`, DELETE_CQ, `Delete I/O Completion Queue ${qid}, which there is not`),
      command.invalidQueueIdentifier,
      async (bench) => removeCq(await bench.connect(), qid),
    ),
  ]),
  pciAnswers(
    pciRow('delete-cq.in-use', DELETE_CQ, 'Delete I/O Completion Queue, whose submission queue there is'),
    command.invalidQueueDeletion,
    async (bench) => removeCq((await bench.pair()).host, 1),
  ),
  pciAnswers(
    pciRow('delete-sq.twice', DELETE_SQ, 'Delete I/O Submission Queue, twice'),
    command.invalidQueueIdentifier,
    async (bench) => {
      const { host } = await bench.pair();
      const first = await removeSq(host, 1);
      return first.status === 0 ? removeSq(host, 1) : first;
    },
  ),
  pciCheck(
    pciRow(
      'delete.in-flight',
      DELETE_SQ,
      'A submission queue and its completion queue are deleted with reads in flight',
    ),
    'each read succeeds, is aborted due to SQ deletion, or gets no completion; both queues go, and can be made anew',
    async (bench) => {
      const { host, queue } = await bench.pair();
      const reads = Array.from({ length: 32 }, () => ranged.read(queue, bench, { blocks: 8 }));
      const ended: Completion[] = [];
      for (const one of reads)
        one.then(
          (done) => ended.push(done),
          () => {},
        );
      const [sq, cq] = [await removeSq(host, 1), await removeCq(host, 1)];
      queue.poll();
      queue.end('it is deleted');
      host.queues.length = 0;
      const [again] = await host.openQueues(1);
      return all(
        of('Delete I/O Submission Queue', succeeded(sq)),
        of('Delete I/O Completion Queue', succeeded(cq)),
        ...ended.map((done) => of('Read', hasStatus(done, [0, generic.abortedSqDeletion]))),
        of('a read afterwards', succeeded(await ranged.read(again!, bench))),
      );
    },
  ),
  pciCheck(
    pciRow('queues.shared-cq', CREATE_SQ, 'Two submission queues of one completion queue'),
    'each is answered there, by its SQID; the completion queue goes after both',
    async (bench) => {
      const { host, page } = await making(bench);
      const rings = [page, host.pages.take(1)];
      const made = [await host.createCq(1, ENTRIES, host.pages.take(1))];
      for (const [i, ring] of rings.entries()) made.push(await host.createSq(i + 1, ENTRIES, ring, 1));
      const first = await removeSq(host, 1);
      const early = await removeCq(host, 1);
      const second = await removeSq(host, 2);
      const late = await removeCq(host, 1);
      return all(
        ...made.map(succeeded),
        of('the first submission queue', succeeded(first)),
        of('the completion queue, before the second', hasStatus(early, [command.invalidQueueDeletion])),
        of('the second submission queue', succeeded(second)),
        of('the completion queue', succeeded(late)),
      );
    },
  ),
];

/** Admin commands by SGLs, which PCI functions do not take. */
const bySgl = pciAnswers(
  pciRow('admin.sgl', 'Base 2.0, 3.3.3.1', 'An Admin command with PSDT 1: over PCI it has PRPs'),
  generic.invalidField,
  async (bench) => {
    const host = await bench.connect();
    const sgl1 = { identifier: 0, address: host.pages.take(1), length: 4096 };
    const fields: SqeFields = { opcode: adminOpcode.identify, cdw10: 1, psdt: 1, sgl1 };
    return host.bare(fields);
  },
);

const granted = pciCheck(
  pciRow('queues.granted', 'Base 2.0, 5.27.1.5', 'As many I/O queues as Number of Queues grants'),
  'all of them are made, and one more is not',
  async (bench) => {
    const host = await bench.connect();
    const count = await host.setQueueCount(bench.facts.io_queues);
    await host.openQueues(count, { entries: 4 });
    const more = await host.createCq(count + 1, ENTRIES, host.pages.take(1));
    return all(
      holds(true, `${count} queues`),
      of('one more', hasStatus(more, [command.invalidQueueIdentifier])),
    );
  },
);

export const pciQueueChecks: readonly Check[] = [...cqs, ...sqs, ...deletions, granted, bySgl];
