import {
  adminOpcode,
  type ControllerCapabilities,
  capCss,
  ccCss,
  cns,
  ctratt,
  decodeCap,
  decodeCsts,
  encodeCc,
  fid,
  hostBehavior,
  type IdentifyController,
  identifyController,
  register,
} from '@spdk-ts/nvme-spec';
import type { Commands } from './commands.ts';
import { NvmeError } from './errors.ts';
import { getProperty, setProperty } from './fabrics.ts';
import { identify } from './namespaces.ts';
import type { NvmePollGroup } from './poll-group.ts';

/** Bytes of I/O queue entries. */
export const IO_SQES = 64;
export const IO_CQES = 16;
/** CAP.TO counts these. */
export const READY_UNIT_MS = 500;
export const READY_POLL_MS = 5;

/** What is known of a controller once it is enabled. */
export interface EnabledController {
  readonly cap: ControllerCapabilities;
  readonly version: number;
  readonly identify: IdentifyController;
}

/** Takes a controller from its Connect to being ready, and asks what it is (Base 2.0, 3.5.1). */
export async function enableController(group: NvmePollGroup, admin: Commands): Promise<EnabledController> {
  const { lo, hi } = await getProperty(admin, register.cap, true);
  const cap = decodeCap(lo, hi);
  const version = (await getProperty(admin, register.vs)).lo;
  const patience_ms = Math.max(1, cap.to) * READY_UNIT_MS;
  const { en } = { en: ((await getProperty(admin, register.cc)).lo & 1) !== 0 };
  if (en) {
    await setProperty(admin, register.cc, 0);
    await untilReady(group, admin, false, patience_ms);
  }
  const css = (cap.css & capCss.ioCommandSets) !== 0 ? ccCss.allIoCommandSets : ccCss.nvm;
  const sizes = { iosqes: Math.log2(IO_SQES), iocqes: Math.log2(IO_CQES) };
  await setProperty(admin, register.cc, encodeCc({ en: true, css, ...sizes }));
  await untilReady(group, admin, true, patience_ms);
  const told = identifyController.decode(await identify(admin, cns.controller));
  return { cap, version, identify: told };
}

/**
 * Tells a controller that has namespaces with guards of 32 and 64 bits that this host knows them (LBAFEE; Base 2.0, 5.27.1.18):
 * else it refuses I/O to them. A controller that does not take it is left as it is.
 */
export async function acceptExtendedFormats(admin: Commands, told: IdentifyController): Promise<void> {
  if ((told.ctratt & ctratt.extendedLbaFormats) === 0) return;
  const out = new Uint8Array(hostBehavior.size);
  hostBehavior.encode({ lbafee: 1 }, out);
  const fields = { opcode: adminOpcode.setFeatures, cdw10: fid.hostBehaviorSupport };
  await admin.run(fields, { out, what: 'Set Features (Host Behavior Support)' });
}

async function untilReady(
  group: NvmePollGroup,
  admin: Commands,
  ready: boolean,
  patience_ms: number,
): Promise<void> {
  const deadline = group.deadline(patience_ms);
  for (;;) {
    const csts = decodeCsts((await getProperty(admin, register.csts)).lo);
    if (csts.cfs)
      throw new NvmeError('EPROTOCOL', `${admin.qpair.name}: the controller has failed (CSTS.CFS)`);
    if (csts.rdy === ready) return;
    if (group.reactor.clock.now() > deadline)
      throw new NvmeError(
        'ETIMEOUT',
        `${admin.qpair.name}: CSTS.RDY does not become ${ready ? 1 : 0} within ${patience_ms} ms`,
      );
    await group.sleep(READY_POLL_MS);
  }
}
