/** Registers, resets and shutdowns of a PCI function (Base 2.0, 3.1.3 and 3.5 to 3.7). */
import { decodeCc, encodeCc, register, shst } from '@spdk-ts/nvme-spec';
import type { PciDriver } from '../../vfio-user-host/pci-driver.ts';
import type { PciQueue } from '../../vfio-user-host/pci-queue.ts';
import { all, type Check, holds, of, pciCheck } from '../check.ts';
import { ranged } from '../io.ts';
import { becomes, csts, goesOn, hex, OUTSIDE, pause, pciRow } from '../pci.ts';
import type { PciBench } from '../pci-bench.ts';

const REGISTERS = 'Base 2.0, 3.1.3';
const RESET = 'Base 2.0, 3.7.2';
const SHUTDOWN = 'Base 2.0, 3.6.1';

// --- registers ---

const readOnly = (
  [
    ['cap', register.cap],
    ['cap-high', register.cap + 4],
    ['vs', register.vs],
    ['csts', register.csts],
  ] as const
).map(([id, offset]) =>
  pciCheck(
    pciRow(`register.${id}`, REGISTERS, `A write to the register at ${hex(offset)}`),
    'it is as before',
    async (bench) => {
      const host = await bench.connect();
      const before = await host.property(offset);
      await host.pci.write(offset, ~before >>> 0);
      const after = await host.property(offset);
      // Bits of CSTS that a write of 1 clears are those of an NVM subsystem reset, of which there was none.
      return holds(after === before, `${hex(before)}, then ${hex(after)}`);
    },
  ),
);

const registers = [
  ...readOnly,
  pciCheck(
    pciRow('register.cap-parts', REGISTERS, 'CAP, eight bytes at once and in two parts'),
    'the same',
    async (bench) => {
      const host = await bench.attach();
      const whole = Buffer.from(await host.pci.readRegion(0, register.cap, 8));
      const parts = [await host.property(register.cap), await host.property(register.cap + 4)];
      return holds(
        whole.readUInt32LE(0) === parts[0] && whole.readUInt32LE(4) === parts[1],
        `${whole.toString('hex')}, ${parts.map(hex).join(' and ')}`,
      );
    },
  ),
  pciCheck(
    pciRow('register.intms', REGISTERS, 'INTMS and INTMC'),
    'bits that are set in the one are cleared by the other, both read the same',
    async (bench) => {
      const host = await bench.connect();
      const seen: number[] = [];
      await host.pci.write(register.intms, 5);
      seen.push(await host.property(register.intms), await host.property(register.intmc));
      await host.pci.write(register.intmc, 1);
      seen.push(await host.property(register.intms), await host.property(register.intmc));
      return holds(seen.join() === '5,5,4,4', seen.map(hex).join(', '));
    },
  ),
  pciCheck(
    pciRow('register.admin-queue', REGISTERS, 'AQA, ASQ and ACQ, with offsets within a page'),
    'they read as written, without bits that are reserved',
    async (bench) => {
      const host = await bench.attach();
      const wanted: readonly (readonly [number, number, number])[] = [
        [register.aqa, 0x001f_003f, 0x001f_003f],
        [register.asq, 0x1234_5fff, 0x1234_5000],
        [register.asq + 4, 0x7, 0x7],
        [register.acq, 0xabcd_efff, 0xabcd_e000],
        [register.acq + 4, 0x1, 0x1],
      ];
      for (const [offset, value] of wanted) await host.pci.write(offset, value);
      const seen = await Promise.all(wanted.map(([offset]) => host.property(offset)));
      return all(
        ...wanted.map(([offset, , value], i) =>
          of(hex(offset), holds(seen[i]! >>> 0 === value, hex(seen[i]!))),
        ),
      );
    },
  ),
  pciCheck(
    pciRow('register.aqa-reserved', REGISTERS, 'AQA with every bit set'),
    'ASQS and ACQS read FFFh, the reserved bits 0',
    async (bench) => {
      const host = await bench.attach();
      await host.pci.write(register.aqa, 0xffff_ffff);
      const seen = await host.property(register.aqa);
      return holds(seen >>> 0 === 0x0fff_0fff, hex(seen));
    },
  ),
  pciCheck(
    pciRow('register.cmb', REGISTERS, 'CMBLOC and CMBSZ without a controller memory buffer', {
      unless: ({ cap }) => (cap.cmbs ? 'there is one (CAP.CMBS)' : ''),
    }),
    '0',
    async (bench) => {
      const host = await bench.attach();
      const seen = [await host.property(register.cmbloc), await host.property(register.cmbsz)];
      return holds(
        seen.every((value) => value === 0),
        seen.map(hex).join(', '),
      );
    },
  ),
  pciCheck(
    pciRow('reset.admin-queue', RESET, 'AQA, ASQ and ACQ behind CC.EN 0'),
    'they are as before; CC, INTMS and CSTS are as at the beginning',
    async (bench) => {
      const host = await bench.connect();
      const kept = [register.aqa, register.asq, register.asq + 4, register.acq, register.acq + 4];
      const before = await Promise.all(kept.map((offset) => host.property(offset)));
      await host.pci.write(register.intms, 0xff);
      await host.enable(0);
      const after = await Promise.all(kept.map((offset) => host.property(offset)));
      const [cc, intms, status] = await Promise.all(
        [register.cc, register.intms, register.csts].map((offset) => host.property(offset)),
      );
      return all(
        holds(after.join() === before.join(), `${before.map(hex).join()}, then ${after.map(hex).join()}`),
        of('CC.EN', holds((cc! & 1) === 0, hex(cc!))),
        of('INTMS', holds(intms === 0, hex(intms!))),
        of('CSTS', holds(status === 0, hex(status!))),
      );
    },
  ),
];

// --- what cannot be enabled ---

/** Enables with registers that are wrong, and looks that nothing but this controller suffers. */
const cannot = (
  id: string,
  title: string,
  prepare: (host: PciDriver, bench: PciBench) => Promise<number>,
): Check =>
  pciCheck(
    pciRow(`enable.${id}`, 'Base 2.0, 3.5.1', title, { severity: 'should' }),
    'CSTS.RDY stays 0, or CSTS.CFS becomes 1; a reset with good ones makes the controller ready',
    async (bench) => {
      const host = await bench.attach();
      await host.pci.write(register.aqa, 0x1f_001f);
      for (const [offset, address] of [
        [register.asq, host.admin.sq],
        [register.acq, host.admin.cq],
      ] as const) {
        await host.pci.write(offset, address % 2 ** 32);
        await host.pci.write(offset + 4, Math.floor(address / 2 ** 32));
      }
      await host.pci.write(register.cc, await prepare(host, bench));
      await pause(50);
      const { rdy, cfs } = await csts(host);
      await host.pci.write(register.cc, 0);
      await becomes(async () => !(await csts(host)).rdy);
      return all(holds(!rdy || cfs, `RDY ${Number(rdy)}, CFS ${Number(cfs)}`), await goesOn(bench, host));
    },
  );
const far = async (host: PciDriver, offset: number, cc: number): Promise<number> => {
  await host.pci.write(offset + 4, OUTSIDE / 2 ** 32);
  return cc;
};
const refused = [
  cannot('asq-outside', 'CC.EN with ASQ where there is no memory', (host, { cc }) =>
    far(host, register.asq, cc),
  ),
  cannot('acq-outside', 'CC.EN with ACQ where there is no memory', (host, { cc }) =>
    far(host, register.acq, cc),
  ),
  cannot('aqa-0', 'CC.EN with AQA 0: queues of one entry', async (host, { cc }) => {
    await host.pci.write(register.aqa, 0);
    return cc;
  }),
  cannot('mps', 'CC.EN with CC.MPS beyond CAP.MPSMAX', async (_host, bench) =>
    encodeCc({ ...decodeCc(bench.cc), mps: 15 }),
  ),
  cannot('css', 'CC.EN with the reserved CC.CSS 1', async (_host, bench) =>
    encodeCc({ ...decodeCc(bench.cc), css: 1 }),
  ),
  cannot('ams', 'CC.EN with the reserved CC.AMS 6', async (_host, bench) =>
    encodeCc({ ...decodeCc(bench.cc), ams: 6 }),
  ),
];

// --- resets and shutdowns with commands in flight ---

async function reading(bench: PciBench): Promise<{ host: PciDriver; queue: PciQueue }> {
  const { host, queue } = await bench.pair();
  queue.lenient = true;
  for (let i = 0; i < 48; i++) ranged.read(queue, bench, { blocks: 8 }).catch(() => null);
  return { host, queue };
}
const inFlight = [
  pciCheck(
    pciRow('reset.in-flight', RESET, 'CC.EN is cleared with reads in flight'),
    'CSTS.RDY 0; then CC.EN, a new queue and a read',
    async (bench) => goesOn(bench, (await reading(bench)).host),
  ),
  pciCheck(
    pciRow('reset.lost', RESET, 'Fifty resets, with reads in flight at each'),
    'the controller is ready behind each, and reads',
    async (bench) => {
      const { host } = await reading(bench);
      for (let i = 0; i < 50; i++) {
        await host.enable(0);
        await host.enable(bench.cc);
        await host.setQueueCount(1);
        const [queue] = await host.openQueues(1);
        queue!.lenient = true;
        for (let k = 0; k < 16; k++) ranged.read(queue!, bench, { blocks: 8 }).catch(() => null);
      }
      return goesOn(bench, host);
    },
  ),
  ...[1, 2].map((kind) =>
    pciCheck(
      pciRow(
        `shutdown.in-flight-${kind === 1 ? 'normal' : 'abrupt'}`,
        SHUTDOWN,
        `CC.SHN ${kind} with reads in flight`,
      ),
      'CSTS.SHST 2: complete; CC.EN 0 and 1 make the controller ready, with SHST 0',
      async (bench) => {
        const { host } = await reading(bench);
        await host.putProperty(register.cc, 0, encodeCc({ ...decodeCc(bench.cc), en: true, shn: kind }));
        const complete = await becomes(async () => (await csts(host)).shst === shst.complete);
        const { shst: seen } = await csts(host);
        const after = await goesOn(bench, host);
        return all(
          holds(complete, `SHST ${seen}`),
          after,
          of('SHST afterwards', holds((await csts(host)).shst === 0, String((await csts(host)).shst))),
        );
      },
    ),
  ),
];

export const pciRegisterChecks: readonly Check[] = [...registers, ...refused, ...inFlight];
