/** Doorbells of a PCI function, and shadow doorbells (PCIe Transport 1.0, 3.1.2; Base 2.0, 5.8). */
import { adminOpcode, decodeAsyncEvent, errorEvent, eventType, oacs } from '@spdk-ts/nvme-spec';
import type { Completion } from '../../host/index.ts';
import { PAGE_BYTES } from '../../vfio-user-host/pages.ts';
import type { PciDriver } from '../../vfio-user-host/pci-driver.ts';
import type { PciQueue } from '../../vfio-user-host/pci-queue.ts';
import {
  all,
  type Check,
  hasStatus,
  holds,
  type Outcome,
  of,
  pciAnswers,
  pciCheck,
  type Row,
  succeeded,
} from '../check.ts';
import { generic } from '../codes.ts';
import { ranged } from '../io.ts';
import { becomes, csts, goesOn, hex, OUTSIDE, pciRow } from '../pci.ts';
import type { PciBench } from '../pci-bench.ts';

const DOORBELLS = 'PCIe 1.0, 3.1.2';
const SHADOW = 'Base 2.0, 5.8';

const EXPECTED = 'the event Write to Invalid Doorbell Value, or CSTS.CFS; a reset makes the controller ready';

/** Writes a doorbell. */
type Ring = (host: PciDriver, queue: PciQueue, bench: PciBench) => Promise<void>;

/** What a doorbell that must not be written so leads to. */
async function afterDoorbell(bench: PciBench, ring: Ring): Promise<Outcome> {
  const { host, queue } = await bench.pair();
  await ranged.read(queue, bench);
  let event: Completion | null = null;
  host.admin.submit({ opcode: adminOpcode.asyncEventRequest }).then(
    (done) => {
      event = done;
    },
    () => {},
  );
  await ring(host, queue, bench);
  const told = await becomes(async () => event !== null || (await csts(host)).cfs);
  const { cfs } = await csts(host);
  const seen = event as Completion | null;
  const { type, info } = decodeAsyncEvent(seen?.dw0 ?? 0);
  const isEvent = seen !== null && type === eventType.error && info === errorEvent.invalidDoorbellValue;
  const words = seen === null ? `no event, CFS ${Number(cfs)}` : `event ${hex(seen.dw0)}, CFS ${Number(cfs)}`;
  return all(holds(told && (isEvent || (seen === null && cfs)), words), await goesOn(bench, host));
}
const value = (id: string, title: string, ring: Ring): Check =>
  pciCheck(pciRow(`doorbell.${id}`, DOORBELLS, title), EXPECTED, (bench) => afterDoorbell(bench, ring));
const doorbells = [
  value('tail-size', 'An SQ tail that is the size of the queue', ({ pci }, { entries }) =>
    pci.ring(1, false, entries),
  ),
  value('tail-ffff', 'An SQ tail of FFFFh', ({ pci }) => pci.ring(1, false, 0xffff)),
  value(
    'head-size',
    'A CQ head that is the size of the queue, and reads until there is no room behind the one before',
    async ({ pci }, queue, bench) => {
      queue.lenient = true;
      queue.holdsHead = true;
      await pci.ring(1, true, queue.entries);
      for (let i = 0; i < 2 * queue.entries; i++) ranged.read(queue, bench).catch(() => null);
    },
  ),
  pciCheck(
    pciRow('doorbell.head-ahead', DOORBELLS, 'A CQ head ahead of every completion', { severity: 'may' }),
    'the event Write to Invalid Doorbell Value, CSTS.CFS, or nothing; a reset makes the controller ready',
    async (bench) => {
      const { host } = await bench.pair();
      await host.pci.ring(1, true, 40);
      return goesOn(bench, host);
    },
  ),
  value('admin-tail', 'An admin SQ tail of FFFFh', ({ pci }) => pci.ring(0, false, 0xffff)),
  pciCheck(
    pciRow('doorbell.absent', DOORBELLS, 'Doorbells of a queue that has not been made', { severity: 'may' }),
    'the event Write to Invalid Doorbell Register, CSTS.CFS, or nothing; the other queues go on',
    async (bench) => {
      const { host, queue } = await bench.pair();
      await host.pci.ring(7, false, 3);
      await host.pci.ring(7, true, 3);
      const { cfs } = await csts(host);
      return cfs ? goesOn(bench, host) : succeeded(await ranged.read(queue, bench));
    },
  ),
  pciCheck(
    pciRow('doorbell.made-after', DOORBELLS, 'Doorbells that were written before their queue was made'),
    'the new queue begins at 0, and works',
    async (bench) => {
      const host = await bench.connect();
      await host.setQueueCount(1);
      await host.pci.ring(1, false, 3);
      await host.pci.ring(1, true, 3);
      if ((await csts(host)).cfs) return goesOn(bench, host);
      const [queue] = await host.openQueues(1);
      return succeeded(await ranged.read(queue!, bench));
    },
  ),
];

// --- shadow doorbells ---

const hasShadow: Row['unless'] = ({ controller }) =>
  controller.oacs & oacs.doorbellBufferConfig ? '' : 'there are none (OACS bit 8)';
const shadows = [
  pciCheck(
    pciRow('shadow.io', SHADOW, 'Doorbell Buffer Config, then reads by shadow doorbells', {
      unless: hasShadow,
    }),
    'success',
    async (bench) => {
      const { host, queue } = await bench.pair();
      const buffers = host.pages.take(2);
      const done = await host.bare({
        ...{ opcode: adminOpcode.doorbellBufferConfig, prp1: buffers, prp2: buffers + PAGE_BYTES },
      });
      host.pci.shadowAt = buffers;
      const reads: Completion[] = [];
      for (let i = 0; i < 100; i++) reads.push(await ranged.read(queue, bench));
      return all(succeeded(done), ...reads.map(succeeded));
    },
  ),
  ...(
    [
      ['prp1', 8, 0],
      ['prp2', 0, 8],
    ] as const
  ).map(([id, one, two]) =>
    pciAnswers(
      pciRow(
        `shadow.${id}-offset`,
        SHADOW,
        `Doorbell Buffer Config whose ${id.toUpperCase()} is within a page`,
        {
          unless: hasShadow,
        },
      ),
      [generic.prpOffsetInvalid, generic.invalidField],
      async (bench) => {
        const { host } = await bench.pair();
        const at = host.pages.take(2);
        return host.bare({
          ...{ opcode: adminOpcode.doorbellBufferConfig, prp1: at + one, prp2: at + PAGE_BYTES + two },
        });
      },
    ),
  ),
  pciCheck(
    pciRow('shadow.outside', SHADOW, 'Doorbell Buffer Config where there is no memory', {
      unless: hasShadow,
    }),
    'Invalid Field in Command or Data Transfer Error; queues go on with their doorbells',
    async (bench) => {
      const { host, queue } = await bench.pair();
      const done = await host.bare({
        ...{ opcode: adminOpcode.doorbellBufferConfig, prp1: OUTSIDE, prp2: OUTSIDE + PAGE_BYTES },
      });
      return all(
        hasStatus(done, [generic.invalidField, generic.dataTransferError]),
        of('Read', succeeded(await ranged.read(queue, bench))),
      );
    },
  ),
];

export const pciDoorbellChecks: readonly Check[] = [...doorbells, ...shadows];
