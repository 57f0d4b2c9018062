import { dataBlockSize } from '@spdk-ts/bdev';
import {
  anacap,
  cmic,
  cns,
  controllerType,
  csi,
  ctratt,
  discoveryControllerType,
  encodeIoCommandSets,
  encodeNamespaceDescriptors,
  encodeNamespaceList,
  FRMW_SLOTS_SHIFT,
  fcatt,
  frmw,
  IDENTIFY_SIZE,
  identifyController,
  identifyNamespace,
  identifyNamespaceIndependent,
  ioCommandSetBit,
  lpa,
  NAMESPACE_LIST_MAX,
  nsattr,
  nsfeat,
  nstat,
  oaes,
  ofcs,
  oncs,
  parseEui64,
  parseNguid,
  parseUuid,
  version,
} from '@spdk-ts/nvme-spec';
import { ACL } from './abort.ts';
import type { AdminSession } from './admin-session.ts';
import { ANA_TRANSITION_SECONDS } from './ana.ts';
import { isEnabled, supportedCommands } from './command-support.ts';
import { ERROR_LOG_ENTRIES } from './controller-state.ts';
import { COPY_FORMATS, copyLimits } from './copy.ts';
import { blockFormat, describeInSet, describeSetOfController } from './identify-command-set.ts';
import { isInaccessible, sharing } from './namespace-sharing.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';
import type { NamespaceView } from './subsystem-view.ts';

const NSID_LAST = 0xffff_fffd;
const PAGE = 4096;
const IEEE = Uint8Array.of(0x5c, 0xd2, 0xe4);
const SQE = 64;
const CAPSULE_UNIT = 16;

/** Identify (Base 2.0, 5.17). Answers with 4096 bytes or a status. */
export function identify(session: AdminSession, request: NvmfRequest): void {
  const answer = describe(session, request);
  if (typeof answer === 'number') session.group.complete(request, answer);
  else session.respond(request, answer);
}

function describe(session: AdminSession, request: NvmfRequest): Uint8Array | number {
  const { subsystem } = session.controller;
  const wanted = request.cdw(10) & 0xff;
  const set = request.cdw(11) >>> 24;
  const out = new Uint8Array(IDENTIFY_SIZE);
  if (wanted === cns.controller) return describeController(session, out);
  if (subsystem.discovery) return Status.INVALID_FIELD;
  switch (wanted) {
    case cns.namespace:
      return ofNamespace(session, request.nsid, (ns) => describeNamespace(session, ns, out), out);
    case cns.activeNamespaceList:
      return namespaceList(session, request.nsid, out);
    case cns.namespaceDescriptors:
      return ofNamespace(session, request.nsid, (ns) => describeIds(ns, out), Status.INVALID_NAMESPACE);
    case cns.independentNamespace:
      return ofNamespace(session, request.nsid, (ns) => describeIndependent(session, ns, out), out);
    case cns.ioCommandSets:
      // Namespaces of all of them may be side by side, whatever controller is asked about.
      encodeIoCommandSets([ioCommandSetBit.nvm | ioCommandSetBit.keyValue | ioCommandSetBit.zoned], out);
      return out;
    case cns.csiNamespace:
    case cns.csiController:
    case cns.csiActiveNamespaceList:
      return describeInCommandSet(session, wanted, set, request.nsid, out);
    default:
      return Status.INVALID_FIELD;
  }
}

/** CNS 05h to 07h, of a command set that is enabled. */
function describeInCommandSet(
  session: AdminSession,
  wanted: number,
  set: number,
  nsid: number,
  out: Uint8Array,
): Uint8Array | number {
  const { controller } = session;
  if (set > csi.zoned || !isEnabled(controller, set)) return Status.INVALID_FIELD;
  if (wanted === cns.csiActiveNamespaceList) return namespaceList(session, nsid, out, set);
  if (wanted === cns.csiController)
    return describeSetOfController(controller, set, out) ?? Status.INVALID_FIELD;
  const encode = (ns: NamespaceView): Uint8Array | number =>
    describeInSet(ns, set, controller, out) ?? Status.INVALID_FIELD;
  return ofNamespace(session, nsid, encode, out);
}

/** What is said of a namespace; of one that is not there, `absent`; of an NSID that cannot be, Invalid Namespace. */
function ofNamespace(
  session: AdminSession,
  nsid: number,
  encode: (ns: NamespaceView) => Uint8Array | number,
  absent: Uint8Array | number,
): Uint8Array | number {
  const { controller } = session;
  if (nsid === 0 || nsid > controller.subsystem.snapshot.max_namespaces) return Status.INVALID_NAMESPACE;
  const ns = controller.find(nsid);
  return ns === null || !isEnabled(controller, ns.csi) ? absent : encode(ns);
}

/** `set`: only namespaces of this command set. */
function namespaceList(
  session: AdminSession,
  after: number,
  out: Uint8Array,
  set?: number,
): Uint8Array | number {
  if (after > NSID_LAST) return Status.INVALID_NAMESPACE;
  const { controller } = session;
  const listed = controller.nsids.filter((nsid) => {
    const { csi: own } = controller.subsystem.find(nsid)!;
    return nsid > after && isEnabled(controller, own) && (set === undefined || own === set);
  });
  encodeNamespaceList(listed.slice(0, NAMESPACE_LIST_MAX), out);
  return out;
}

function describeIds(ns: NamespaceView, out: Uint8Array): Uint8Array {
  const { eui64, nguid, uuid } = ns.snapshot;
  const ids = { eui64: parseEui64(eui64), nguid: parseNguid(nguid), uuid: parseUuid(uuid) };
  encodeNamespaceDescriptors(
    {
      ...(ids.eui64 && { eui64: ids.eui64 }),
      ...(ids.nguid && { nguid: ids.nguid }),
      ...(ids.uuid && { uuid: ids.uuid }),
      csi: ns.csi,
    },
    out,
  );
  return out;
}

function describeIndependent(session: AdminSession, ns: NamespaceView, out: Uint8Array): Uint8Array {
  identifyNamespaceIndependent.encode({ ...sharing(session.controller, ns), nstat: nstat.ready }, out);
  return out;
}

function describeNamespace(session: AdminSession, ns: NamespaceView, out: Uint8Array): Uint8Array | number {
  if (ns.csi === csi.keyValue) return Status.INVALID_COMMAND_SET;
  const { bdev, nguid, eui64 } = ns.snapshot;
  const blocks = ns.channel.num_blocks;
  const size = ns.block_size;
  const less1 = (value: number): number => Math.min(Math.max(value, 1), 0x1_0000) - 1;
  const boundary = Math.min(
    bdev.optimal_io_boundary,
    Math.floor(session.controller.transport.max_io_size / size),
  );
  const preferences = [
    bdev.preferred_write_granularity,
    bdev.preferred_write_alignment,
    bdev.preferred_unmap_granularity,
    bdev.preferred_unmap_alignment,
    bdev.optimal_write_size,
  ];
  identifyNamespace.encode(
    {
      nsze: blocks,
      ncap: blocks,
      nuse: isInaccessible(session.controller, ns) ? 0 : blocks,
      nsfeat:
        (preferences.some((value) => value > 1) ? nsfeat.optimalPerformance : 0) |
        (ns.acwu > 1 ? nsfeat.atomicUnits : 0),
      nacwu: Math.min(ns.acwu, 0x1_0000) - 1,
      ...sharing(session.controller, ns),
      noiob: Math.min(boundary, 0xffff),
      nvmcap: blocks * dataBlockSize(bdev),
      npwg: less1(bdev.preferred_write_granularity),
      npwa: less1(bdev.preferred_write_alignment),
      npdg: less1(bdev.preferred_unmap_granularity),
      npda: less1(bdev.preferred_unmap_alignment),
      nows: less1(bdev.optimal_write_size),
      nsattr: ns.writable ? 0 : nsattr.writeProtected,
      nguid: parseNguid(nguid) ?? new Uint8Array(16),
      eui64: parseEui64(eui64) ?? new Uint8Array(8),
      ...blockFormat(ns),
      ...copyLimits(ns),
    },
    out,
  );
  return out;
}

/** Identify Controller, as this target is. */
export function describeController(session: AdminSession, out: Uint8Array): Uint8Array {
  const { controller, group } = session;
  const { subsystem, transport } = controller;
  const { snapshot } = subsystem;
  const common = {
    fr: group.target.firmware_revision,
    mdts: Math.floor(Math.log2(transport.max_io_size / PAGE)),
    cntlid: controller.cntlid,
    ver: version(2, 0),
    ctratt: ctratt.hostId128 | ctratt.trafficBasedKeepAlive | ctratt.extendedLbaFormats,
    aerl: group.target.limits.async_events - 1,
    lpa: lpa.extendedData | lpa.supportedAndEffects,
    elpe: ERROR_LOG_ENTRIES - 1,
    kas: transport.kas,
    maxcmd: transport.max_queue_depth,
    sgls: session.qpair.traits.sgls,
    subnqn: snapshot.nqn,
  };
  if (subsystem.discovery)
    identifyController.encode(
      {
        ...common,
        oaes: oaes.discoveryLogChange,
        cntrltype: controllerType.discovery,
        dctype: discoveryControllerType.direct,
      },
      out,
    );
  else identifyController.encode({ ...common, ...ioController(session) }, out);
  return out;
}

/** What an I/O controller says of itself beside what all do. */
function ioController(session: AdminSession) {
  const { controller, group } = session;
  const { subsystem, transport } = controller;
  const { snapshot } = subsystem;
  const commands = supportedCommands(controller);
  const ana = snapshot.ana !== null;
  const { traits } = session.qpair;
  const [crdt1, crdt2, crdt3] = group.target.crdt;
  return {
    vid: traits.vid,
    ssvid: traits.vid,
    sn: snapshot.serial_number,
    mn: snapshot.model_number,
    ieee: IEEE,
    cmic: cmic.multiplePorts | cmic.multipleControllers | (ana ? cmic.anaReporting : 0),
    oaes: oaes.namespaceAttribute | (ana ? oaes.anaChange : 0),
    ...(ana && {
      anatt: ANA_TRANSITION_SECONDS,
      anacap: anacap.optimized | anacap.nonOptimized | anacap.inaccessible,
      anagrpmax: snapshot.max_namespaces,
      nanagrpid: snapshot.max_namespaces,
    }),
    cntrltype: controllerType.io,
    crdt1,
    crdt2,
    crdt3,
    acl: ACL,
    frmw: frmw.slot1ReadOnly | (1 << FRMW_SLOTS_SHIFT),
    lpa: lpa.commandEffects | lpa.extendedData | lpa.supportedAndEffects,
    sqes: 0x66,
    cqes: 0x44,
    nn: snapshot.max_namespaces,
    mnan: snapshot.max_namespaces,
    ...commands,
    oncs: commands.oncs | oncs.saveAndSelect | oncs.timestamp,
    ocfs: (commands.oncs & oncs.copy) !== 0 ? COPY_FORMATS : 0,
    oacs: traits.oacs,
    ...(!traits.memory_based && {
      ioccsz: (SQE + transport.in_capsule_data_size) / CAPSULE_UNIT,
      iorcsz: 1,
      msdbd: 1,
      fcatt: snapshot.static_controllers ? fcatt.staticModel : 0,
      ofcs: ofcs.disconnect,
    }),
  };
}
