import { TICK_RATE } from '@spdk-ts/env';
import {
  ANA_LSP_RGO,
  adminOpcode,
  commandEffect,
  discoveryLidParameter,
  encodeCommandEffects,
  encodeNamespaceList,
  encodeSupportLog,
  errorLogEntry,
  featureEffect,
  fid,
  firmwareSlotLog,
  lid,
  logPageSupport,
  smartLog,
  trtype,
} from '@spdk-ts/nvme-spec';
import type { AdminSession } from './admin-session.ts';
import { anaLog } from './ana.ts';
import { ioEffects } from './command-support.ts';
import { ERROR_LOG_ENTRIES } from './controller-state.ts';
import { Counter } from './counters.ts';
import type { NvmfRequest } from './request.ts';
import { hasReservations } from './reservation-commands.ts';
import { Status } from './status.ts';

const TWO_32 = 0x1_0000_0000;
const NSID_ALL = 0xffff_ffff;
const LIST_SIZE = 4096;
const MI_EFFECTS_SIZE = 4096;
/** SMART counts data in thousands of 512 bytes. */
const DATA_UNIT = 512_000;
const HOUR_TICKS = 3600 * TICK_RATE;
/** Dword 10 bit 15: retain the event. Dword 14 bit 23: the offset is an index. */
const RAE = 0x8000;
const OFFSET_IS_INDEX = 0x80_0000;
/** Dword 10 bits 14:8: Log Specific Parameter. */
const LSP_SHIFT = 8;
const LSP_MASK = 0x7f;
/** Version of an error log entry that has opcode and command set. */
const ERROR_ENTRY_VERSION = 1;

const { supported, controllerScope } = commandEffect;
/** Command Set Identifier of Get Log Page. */
const commandSet = (request: NvmfRequest): number => request.cdw(14) >>> 24;

const adminEffects = new Map<number, number>(
  [
    adminOpcode.getLogPage,
    adminOpcode.identify,
    adminOpcode.abort,
    adminOpcode.setFeatures,
    adminOpcode.getFeatures,
    adminOpcode.asyncEventRequest,
    adminOpcode.keepAlive,
    adminOpcode.fabrics,
  ].map((opcode) => [opcode, supported | controllerScope]),
);

const supportedFeatures: readonly number[] = [
  fid.arbitration,
  fid.powerManagement,
  fid.temperatureThreshold,
  fid.errorRecovery,
  fid.volatileWriteCache,
  fid.numberOfQueues,
  fid.interruptCoalescing,
  fid.interruptVectorConfiguration,
  fid.writeAtomicity,
  fid.asyncEventConfiguration,
  fid.timestamp,
  fid.keepAliveTimer,
  fid.hostBehaviorSupport,
  fid.ioCommandSetProfile,
  fid.hostIdentifier,
];
const reservationFeatures: readonly number[] = [fid.reservationNotificationMask, fid.reservationPersistence];

/** Makes a page, of which the part from `offset` on is read. */
type Page = (session: AdminSession, request: NvmfRequest, offset: number) => Uint8Array;

const pages: ReadonlyMap<number, Page> = new Map<number, Page>([
  [lid.ana, ana],
  [lid.reservationNotification, reservationNotification],
  [lid.supportedLogPages, supportedPages],
  [lid.errorInformation, errorInformation],
  [lid.smart, smart],
  [lid.firmwareSlot, firmwareSlot],
  [lid.changedNamespaceList, changedNamespaces],
  [lid.commandEffects, commandEffects],
  [lid.featureEffects, featureEffects],
  [lid.nvmeMiEffects, () => new Uint8Array(MI_EFFECTS_SIZE)],
]);

/** Pages of a discovery controller, beside the one that it is for. */
const discoveryPages: ReadonlySet<number> = new Set([
  lid.supportedLogPages,
  lid.featureEffects,
  lid.nvmeMiEffects,
]);

/** LID Specific Parameter of the discovery log page, in its dword of page 00h. */
const DISCOVERY_PARAMETER = (discoveryLidParameter.extended | discoveryLidParameter.portLocal) << 16;

function hasPage({ controller }: AdminSession, page: number): boolean {
  if (controller.subsystem.discovery) return discoveryPages.has(page);
  if (page === lid.ana) return controller.subsystem.snapshot.ana !== null;
  if (page === lid.reservationNotification) return hasReservations(controller);
  return pages.has(page);
}

/** Get Log Page (Base 2.0, 5.16). UUID Index and what a page has no use for are ignored. */
export function getLogPage(session: AdminSession, request: NvmfRequest): void {
  const { group, controller, events } = session;
  const cdw10 = request.cdw(10);
  const page = cdw10 & 0xff;
  const length = ((cdw10 >>> 16) + (request.cdw(11) & 0xffff) * 0x1_0000 + 1) * 4;
  const offset = request.cdw(12) + request.cdw(13) * TWO_32;
  const { discovery } = controller.subsystem;
  const answer = (data: Uint8Array): void => {
    if (offset > data.length) {
      group.complete(request, Status.INVALID_FIELD);
      return;
    }
    // What is asked for beyond the page's end is zero: respond() fills up.
    if (page === lid.changedNamespaceList && offset === 0) session.changedRead();
    const part = data.subarray(offset, Math.min(data.length, offset + length));
    session.respond(request, part);
    if ((cdw10 & RAE) === 0) events.logPageRead(page);
    if (page === lid.reservationNotification) session.reservations.wasRead();
  };
  if ((offset & 3) !== 0 || (request.cdw(14) & OFFSET_IS_INDEX) !== 0)
    group.complete(request, Status.INVALID_FIELD);
  else if (request.length < length) group.complete(request, Status.SGL_LENGTH_INVALID);
  else if (discovery && page === lid.discovery) {
    const lsp = (cdw10 >>> LSP_SHIFT) & LSP_MASK;
    session.discovery.read(request, { offset, length, lsp, retain: (cdw10 & RAE) !== 0 }, page);
  } else if (!hasPage(session, page)) group.complete(request, Status.INVALID_LOG_PAGE);
  else if (page === lid.smart && request.nsid !== 0 && request.nsid !== NSID_ALL)
    group.complete(request, Status.INVALID_FIELD);
  else if (page === lid.commandEffects && ioEffects(controller, commandSet(request)) === null)
    group.complete(request, Status.INVALID_FIELD);
  else answer(pages.get(page)!(session, request, offset));
}

function supportedPages(session: AdminSession): Uint8Array {
  const out = new Uint8Array(1024);
  const present = [...pages.keys()].filter((page) => hasPage(session, page));
  const dwords = new Map<number, number>(present.map((page) => [page, logPageSupport.supported]));
  if (session.controller.subsystem.discovery)
    dwords.set(lid.discovery, logPageSupport.supported | DISCOVERY_PARAMETER);
  encodeSupportLog(dwords, out);
  return out;
}

function ana(session: AdminSession, request: NvmfRequest): Uint8Array {
  const lsp = (request.cdw(10) >>> LSP_SHIFT) & LSP_MASK;
  return anaLog(session.controller, (lsp & ANA_LSP_RGO) !== 0);
}

function reservationNotification(session: AdminSession, request: NvmfRequest): Uint8Array {
  return session.reservations.page((request.cdw(10) & RAE) !== 0);
}

function errorInformation(session: AdminSession): Uint8Array {
  const out = new Uint8Array(ERROR_LOG_ENTRIES * errorLogEntry.size);
  const { controller } = session;
  controller.state.errorEntries(ERROR_LOG_ENTRIES).forEach((entry, i) => {
    errorLogEntry.encode(
      {
        errorCount: entry.count,
        sqid: entry.sqid,
        cid: entry.cid,
        statusField: entry.status << 1,
        parameterErrorLocation: entry.location,
        lba: entry.lba,
        nsid: entry.nsid,
        trtype: controller.transport.trtype === 'TCP' ? trtype.tcp : 0,
        opc: entry.opcode,
        version: ERROR_ENTRY_VERSION,
      },
      out,
      i * errorLogEntry.size,
    );
  });
  return out;
}

function smart(session: AdminSession): Uint8Array {
  const { controller, group } = session;
  const { counters } = controller.subsystem;
  const units = (counter: number): number => Math.ceil(counters.sum(counter) / DATA_UNIT);
  const out = new Uint8Array(smartLog.size);
  smartLog.encode(
    {
      availableSpare: 100,
      dataUnitsRead: units(Counter.BYTES_READ),
      dataUnitsWritten: units(Counter.BYTES_WRITTEN),
      hostReadCommands: counters.sum(Counter.READ_COMMANDS),
      hostWriteCommands: counters.sum(Counter.WRITE_COMMANDS),
      controllerBusyTime: Math.floor(controller.state.busySeconds / 60),
      powerCycles: 1,
      powerOnHours: Math.floor((group.reactor.now - group.started) / HOUR_TICKS),
      mediaErrors: counters.sum(Counter.MEDIA_ERRORS),
      errorLogEntries: controller.state.errorCount,
    },
    out,
  );
  return out;
}

function firmwareSlot(session: AdminSession): Uint8Array {
  const out = new Uint8Array(firmwareSlotLog.size);
  firmwareSlotLog.encode({ afi: 1, frs: [session.group.target.firmware_revision] }, out);
  return out;
}

function changedNamespaces(session: AdminSession, _request: NvmfRequest, offset: number): Uint8Array {
  const out = new Uint8Array(LIST_SIZE);
  encodeNamespaceList(session.changedFrom(offset), out);
  return out;
}

function commandEffects({ controller }: AdminSession, request: NvmfRequest): Uint8Array {
  const out = new Uint8Array(4096);
  encodeCommandEffects({ admin: adminEffects, io: ioEffects(controller, commandSet(request))! }, out);
  return out;
}

function featureEffects(session: AdminSession): Uint8Array {
  const out = new Uint8Array(1024);
  const scope = featureEffect.supported | featureEffect.controllerScope;
  const present = supportedFeatures.filter((id) => session.features.known(id));
  const effects = new Map<number, number>(present.map((id) => [id, scope]));
  if (hasReservations(session.controller))
    for (const id of reservationFeatures)
      effects.set(id, featureEffect.supported | featureEffect.namespaceScope);
  encodeSupportLog(effects, out);
  return out;
}
