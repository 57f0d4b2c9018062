import { type BdevIo, type BdevIoOwner, IoStatus, IoType } from '@spdk-ts/bdev';
import {
  adminOpcode,
  cns,
  ctratt,
  fid,
  IDENTIFY_SIZE,
  identifyController,
  lid,
  lpa,
  oacs,
} from '@spdk-ts/nvme-spec';
import type { AdminSession } from './admin-session.ts';
import { describeController } from './identify.ts';
import { gather, scatter } from './memory-queue.ts';
import { type NvmfRequest, Transfer } from './request.ts';
import { Status, statusOfErrno, statusOfIo } from './status.ts';
import type { NamespaceView } from './subsystem-view.ts';

/** Admin commands that may be handed to the device of a subsystem's only namespace (nvmf_set_config, `admin_cmd_passthru`). */
export const AdminPassthru = {
  identify_ctrlr: 0x1,
  identify_uuid_list: 0x2,
  get_log_page: 0x4,
  get_set_features: 0x8,
  sanitize: 0x10,
  security_send_recv: 0x20,
  fw_update: 0x40,
  nvme_mi: 0x80,
  vendor_specific: 0x100,
} as const;

/** Makes the set of {@link AdminPassthru} of those that are on. */
export function adminPassthruMask(wanted: Readonly<Record<string, boolean>> = {}): number {
  return Object.entries(AdminPassthru).reduce((mask, [name, bit]) => (wanted[name] ? mask | bit : mask), 0);
}

const VENDOR_SPECIFIC = 0xc0;

/** Logs that tell of this target: its namespaces, its commands. */
const ownLogs: ReadonlySet<number> = new Set([
  lid.supportedLogPages,
  lid.changedNamespaceList,
  lid.commandEffects,
  lid.ana,
  lid.featureEffects,
  lid.nvmeMiEffects,
  lid.reservationNotification,
]);
/** Features that this target carries out: queues, keep alive, events, reservations, command sets, and who the host is. */
const ownFeatures: ReadonlySet<number> = new Set([
  fid.numberOfQueues,
  fid.asyncEventConfiguration,
  fid.keepAliveTimer,
  fid.hostBehaviorSupport,
  fid.ioCommandSetProfile,
  fid.hostIdentifier,
  fid.reservationNotificationMask,
  fid.reservationPersistence,
]);

/** The bit that must be set for a command to be handed on; 0: it is not. */
function bitOf(request: NvmfRequest): number {
  const low = request.cdw(10) & 0xff;
  switch (request.opcode) {
    case adminOpcode.identify:
      if (low === cns.controller) return AdminPassthru.identify_ctrlr;
      return low === cns.uuidList ? AdminPassthru.identify_uuid_list : 0;
    case adminOpcode.getLogPage:
      return ownLogs.has(low) ? 0 : AdminPassthru.get_log_page;
    case adminOpcode.getFeatures:
    case adminOpcode.setFeatures:
      return ownFeatures.has(low) ? 0 : AdminPassthru.get_set_features;
    case adminOpcode.sanitize:
      return AdminPassthru.sanitize;
    case adminOpcode.securitySend:
    case adminOpcode.securityReceive:
      return AdminPassthru.security_send_recv;
    case adminOpcode.firmwareCommit:
    case adminOpcode.firmwareImageDownload:
      return AdminPassthru.fw_update;
    case adminOpcode.nvmeMiSend:
    case adminOpcode.nvmeMiReceive:
      return AdminPassthru.nvme_mi;
    default:
      return request.opcode >= VENDOR_SPECIFIC ? AdminPassthru.vendor_specific : 0;
  }
}

/** The device behind a subsystem that has, and can have, one namespace; or null. */
function deviceOf({ controller }: AdminSession): NamespaceView | null {
  const { subsystem } = controller;
  if (subsystem.discovery || subsystem.snapshot.max_namespaces !== 1 || subsystem.paused) return null;
  const ns = controller.find(1);
  return ns !== null && controller.gates[1] === 0 && ns.channel.supports(IoType.NVME_ADMIN) ? ns : null;
}

/** Hands a command to the device, if it is one of those that are to be, and there is such a device. False: it is this target's. */
export function handOn(session: AdminSession, request: NvmfRequest): boolean {
  if ((session.group.target.admin_passthru & bitOf(request)) === 0) return false;
  const ns = deviceOf(session);
  if (ns === null) return false;
  const { group, qpair } = session;
  const { length } = request;
  const begin = (): void => new HandedOn(session, request, ns).begin();
  // Memory may come when the device has gone.
  const placed = (): void => (deviceOf(session) === ns ? begin() : group.complete(request, Status.ABORTED));
  if (length > group.reactor.buffers.max_bytes || length > qpair.maxIoSize)
    group.complete(request, Status.INVALID_FIELD);
  else if (length === 0 || request.region >= 0 || request.iovs !== null) begin();
  else if (group.allocate(request, length, placed)) begin();
  return true;
}

/** One command that the device has. */
class HandedOn implements BdevIoOwner {
  private readonly session: AdminSession;
  private readonly request: NvmfRequest;
  private readonly ns: NamespaceView;

  constructor(session: AdminSession, request: NvmfRequest, ns: NamespaceView) {
    this.session = session;
    this.request = request;
    this.ns = ns;
  }

  begin(): void {
    const { request, ns, session } = this;
    const io = ns.channel.getIoBeyond();
    if (request.transfer === Transfer.CONTROLLER_TO_HOST)
      scatter(session.group.reactor.regions, request, new Uint8Array(0));
    io.type = IoType.NVME_ADMIN;
    io.command = request.sqe32;
    io.region = request.region;
    io.offset = request.offset;
    io.length = request.length;
    io.iovs = request.iovs;
    io.owner = this;
    // It is waited for before the namespace goes.
    ns.loose++;
    session.controller.subsystem.outstanding++;
    const result = ns.channel.submit(io);
    if (result !== 0) this.end(io, statusOfErrno(result));
  }

  bdevIoDone(io: BdevIo): void {
    const { request, session } = this;
    const status = statusOfIo(io);
    request.dw0 = io.cdw0 >>> 0;
    if (io.status === IoStatus.SUCCESS && bitOf(request) === AdminPassthru.identify_ctrlr)
      scatter(session.group.reactor.regions, request, merged(session, request));
    this.end(io, status);
  }

  private end(io: BdevIo, status: number): void {
    const { request, ns, session } = this;
    const { subsystem } = session.controller;
    io.free();
    ns.loose--;
    subsystem.outstanding--;
    session.group.complete(request, status);
    if (subsystem.paused) subsystem.drained();
  }
}

/** What this target says of its controller, with what is the device's: who it is, and what commands that it gets can do. */
function merged(session: AdminSession, request: NvmfRequest): Uint8Array {
  const { group } = session;
  const on = group.target.admin_passthru;
  const device = identifyController.decode(gather(group.reactor.regions, request, identifyController.size));
  const out = describeController(session, new Uint8Array(IDENTIFY_SIZE));
  const own = identifyController.decode(out);
  const has = (bit: number): boolean => (on & bit) !== 0;
  const capabilities = (bit: number, mask: number): number => (has(bit) ? device.oacs & mask : 0);
  identifyController.encode(
    {
      ...own,
      ...{ sn: device.sn, mn: device.mn, fr: device.fr, ieee: device.ieee },
      ...(has(AdminPassthru.get_log_page) && {
        ...{ lpa: device.lpa | lpa.supportedAndEffects, elpe: device.elpe, pels: device.pels },
      }),
      ...(has(AdminPassthru.sanitize) && { sanicap: device.sanicap }),
      ...(has(AdminPassthru.fw_update) && { frmw: device.frmw, fwug: device.fwug, mtfa: device.mtfa }),
      ctratt: own.ctratt | (has(AdminPassthru.identify_uuid_list) ? device.ctratt & ctratt.uuidList : 0),
      oacs:
        own.oacs |
        capabilities(AdminPassthru.security_send_recv, oacs.security) |
        capabilities(AdminPassthru.fw_update, oacs.firmware) |
        capabilities(AdminPassthru.nvme_mi, oacs.nvmeMi),
    },
    out,
  );
  return out;
}
