/** From a PCI function to a controller that is ready, and back (Base 2.0, 3.5.1, 3.6.1, 3.7.2). */
import {
  type ControllerCapabilities,
  capCss,
  ccCss,
  decodeCap,
  decodeCc,
  decodeCsts,
  encodeAqa,
  encodeCc,
  register,
  shn,
  shst,
} from '@spdk-ts/nvme-spec';
import { IO_CQES, IO_SQES, READY_POLL_MS, READY_UNIT_MS } from '../controller-init.ts';
import { NvmeError } from '../errors.ts';
import type { NvmePollGroup } from '../poll-group.ts';
import type { PciFunction } from './function.ts';

const ALL_ONES = 0xffff_ffff;

export interface Registers {
  readonly cap: ControllerCapabilities;
  readonly version: number;
}

/** Where the admin queue is. */
export interface AdminQueue {
  readonly entries: number;
  readonly sq_address: number;
  readonly cq_address: number;
}

/** Reads what the controller is. Rejects with an {@link NvmeError}: EUNSUPPORTED for what this host cannot drive. */
export async function readCapabilities(fn: PciFunction): Promise<Registers> {
  const { lo, hi } = await fn.read(register.cap, 8);
  if (lo === ALL_ONES && hi === ALL_ONES) throw removed(fn);
  const cap = decodeCap(lo, hi);
  const version = (await fn.read(register.vs, 4)).lo;
  if ((cap.css & (capCss.nvm | capCss.ioCommandSets)) === 0)
    throw new NvmeError(
      'EUNSUPPORTED',
      `${fn.name}: the controller has no I/O command set (CAP.CSS ${cap.css})`,
    );
  if (cap.mqes === 0) throw new NvmeError('EPROTOCOL', `${fn.name}: queues of one entry (CAP.MQES 0)`);
  return { cap, version };
}

/** Disables the controller if it is not, tells it of the admin queue, and enables it. */
export async function enable(
  group: NvmePollGroup,
  fn: PciFunction,
  { cap }: Registers,
  admin: AdminQueue,
): Promise<void> {
  await disable(group, fn, cap);
  await fn.write(register.aqa, encodeAqa(admin.entries, admin.entries));
  await fn.write(register.asq, ...halves(admin.sq_address));
  await fn.write(register.acq, ...halves(admin.cq_address));
  const css = (cap.css & capCss.ioCommandSets) !== 0 ? ccCss.allIoCommandSets : ccCss.nvm;
  await fn.write(register.cc, encodeCc({ en: true, css, mps: cap.mpsmin, ...sizes }));
  await untilReady(group, fn, true, cap);
}

const sizes = { iosqes: Math.log2(IO_SQES), iocqes: Math.log2(IO_CQES) };
const halves = (address: number): [number, number] => [address >>> 0, Math.floor(address / 2 ** 32)];

/** Clears CC.EN, and waits until the controller is not ready: it touches no memory afterwards. */
export async function disable(
  group: NvmePollGroup,
  fn: PciFunction,
  cap: ControllerCapabilities,
): Promise<void> {
  const cc = (await fn.read(register.cc, 4)).lo;
  if (cc === ALL_ONES) throw removed(fn);
  // A controller that becomes ready is let do so first: CC.EN may not change before.
  if ((cc & 1) !== 0) {
    const csts = decodeCsts((await fn.read(register.csts, 4)).lo);
    if (!csts.rdy && !csts.cfs && csts.shst === shst.normal) await untilReady(group, fn, true, cap);
    await fn.write(register.cc, encodeCc({ ...decodeCc(cc), en: false, shn: shn.none }));
  }
  await untilReady(group, fn, false, cap);
}

/** Waits for CSTS.RDY, for as long as CAP.TO says. */
async function untilReady(
  group: NvmePollGroup,
  fn: PciFunction,
  ready: boolean,
  cap: ControllerCapabilities,
): Promise<void> {
  const patience_ms = Math.max(1, cap.to) * READY_UNIT_MS;
  const deadline = group.deadline(patience_ms);
  for (;;) {
    const { lo } = await fn.read(register.csts, 4);
    if (lo === ALL_ONES) throw removed(fn);
    const csts = decodeCsts(lo);
    if (csts.cfs && ready)
      throw new NvmeError('EPROTOCOL', `${fn.name}: the controller has failed (CSTS.CFS)`);
    if (csts.rdy === ready) return;
    if (group.reactor.clock.now() > deadline)
      throw new NvmeError(
        'ETIMEOUT',
        `${fn.name}: CSTS.RDY does not become ${ready ? 1 : 0} within ${patience_ms} ms (CAP.TO)`,
      );
    await group.sleep(READY_POLL_MS);
  }
}

/** What is wrong with a controller that was ready, or null. */
export async function ailing(fn: PciFunction): Promise<NvmeError | null> {
  const { lo } = await fn.read(register.csts, 4);
  if (lo === ALL_ONES) return removed(fn);
  const csts = decodeCsts(lo);
  if (csts.cfs) return new NvmeError('EPROTOCOL', `${fn.name}: the controller has failed (CSTS.CFS)`);
  if (!csts.rdy)
    return new NvmeError(
      'EPROTOCOL',
      `${fn.name}: the controller has been reset by somebody else (CSTS.RDY is 0)`,
    );
  return null;
}

/** Asks for a shutdown (CC.SHN), and waits for it, for a time. */
export async function shutDown(group: NvmePollGroup, fn: PciFunction, patience_ms: number): Promise<void> {
  const cc = decodeCc((await fn.read(register.cc, 4)).lo);
  await fn.write(register.cc, encodeCc({ ...cc, shn: shn.normal }));
  const deadline = group.deadline(patience_ms);
  while (group.reactor.clock.now() <= deadline) {
    const { lo } = await fn.read(register.csts, 4);
    if (lo === ALL_ONES || decodeCsts(lo).shst === shst.complete) return;
    await group.sleep(READY_POLL_MS);
  }
}

function removed(fn: PciFunction): NvmeError {
  return new NvmeError(
    'ECONNECT',
    `${fn.name}: the controller has been removed: its registers read as all ones`,
  );
}
