/** What checks of PCI functions do again and again. */
import { decodeCsts, register } from '@spdk-ts/nvme-spec';
import type { PciDriver } from '../vfio-user-host/pci-driver.ts';
import { type Outcome, of, type Row, succeeded } from './check.ts';
import { ranged } from './io.ts';
import type { PciBench } from './pci-bench.ts';

/** An address that is of no memory. */
export const OUTSIDE = 2 ** 40;
export const hex = (value: number): string => `${(value >>> 0).toString(16)}h`;

/** A check of PCI functions. */
export const pciRow = (id: string, section: string, title: string, more: Partial<Row> = {}): Row => ({
  id: `pci.${id}`,
  ...{ section, title },
  ...more,
});

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export async function becomes(done: () => Promise<boolean> | boolean): Promise<boolean> {
  for (let i = 0; i < 500; i++) {
    if (await done()) return true;
    await pause(10);
  }
  return false;
}
export const csts = async (host: PciDriver) => decodeCsts(await host.property(register.csts));

/** CC.EN 0 and 1, a queue, and a read. */
export async function goesOn(bench: PciBench, host: PciDriver): Promise<Outcome> {
  await host.enable(0);
  await host.enable(bench.cc);
  await host.setQueueCount(1);
  const [queue] = await host.openQueues(1);
  return of('afterwards', succeeded(await ranged.read(queue!, bench)));
}
