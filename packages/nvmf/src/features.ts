import {
  aec,
  decodeErrorRecovery,
  decodeNumberOfQueues,
  decodePowerManagement,
  decodeTemperatureThreshold,
  encodeNumberOfQueues,
  featureCapability,
  featureSelect,
  fid,
  HOST_ID_EXHID,
  hostBehavior,
  NSID_ALL,
  RESERVATION_PTPL,
  VWC_WCE,
  WRITE_ATOMICITY_DN,
} from '@spdk-ts/nvme-spec';
import type { AdminSession } from './admin-session.ts';
import { Gate } from './gates.ts';
import { gather } from './memory-queue.ts';
import type { NvmfRequest } from './request.ts';
import { ask, hasReservations } from './reservation-commands.ts';
import { Status } from './status.ts';
import { TIMESTAMP_SIZE, Timestamp } from './timestamp.ts';

/** Set Features dword 10, bit 31: save. */
const SAVE = 0x8000_0000;
/** Dword 11 of I/O Command Set Profile: index of a combination. */
const IOCSCI = 0x1ff;
/** Over temperature threshold's highest value, which never triggers. */
const NO_THRESHOLD = 0xffff;

/** Features of a discovery controller. */
const discoveryFeatures: ReadonlySet<number> = new Set([fid.asyncEventConfiguration, fid.keepAliveTimer]);

/** Features whose value is data. */
const inData: ReadonlySet<number> = new Set([fid.hostBehaviorSupport, fid.timestamp, fid.hostIdentifier]);
const noBehavior = new Uint8Array(hostBehavior.size);
const noTimestamp = new Uint8Array(TIMESTAMP_SIZE);

/** Features that a host can only read. */
const fixed: ReadonlySet<number> = new Set([
  fid.interruptCoalescing,
  fid.interruptVectorConfiguration,
  fid.hostIdentifier,
]);
/** Features of a namespace, which are not there where its ANA state is inaccessible (Base 2.0, 8.1.4). */
const namespaceFeatures: ReadonlySet<number> = new Set([
  fid.errorRecovery,
  fid.reservationNotificationMask,
  fid.reservationPersistence,
]);
const reservationFeatures: ReadonlySet<number> = new Set([
  fid.reservationNotificationMask,
  fid.reservationPersistence,
]);

/** Get Features with Select 011b (Base 2.0, 5.15): none is saveable, as controllers are made for an association. */
function capabilitiesOf(id: number): number {
  const { changeable, namespaceSpecific } = featureCapability;
  return (fixed.has(id) ? 0 : changeable) | (namespaceFeatures.has(id) ? namespaceSpecific : 0);
}

/** Get and Set Features (Base 2.0, 5.15 and 5.27). */
export class Features {
  private readonly session: AdminSession;
  private readonly values = new Map<number, number>();
  private over = NO_THRESHOLD;
  private under = 0;
  private behavior: Uint8Array = new Uint8Array(hostBehavior.size);
  private readonly timestamp: Timestamp;

  constructor(session: AdminSession) {
    this.session = session;
    this.timestamp = new Timestamp(() => session.group.reactor.now);
    this.reset();
  }

  /** The defaults, as after a controller level reset. Keep alive is not part of them: it belongs to Connect. */
  reset(): void {
    const { controller } = this.session;
    this.values.clear();
    for (const id of [
      fid.arbitration,
      fid.powerManagement,
      fid.errorRecovery,
      fid.interruptCoalescing,
      fid.interruptVectorConfiguration,
      fid.writeAtomicity,
      fid.ioCommandSetProfile,
    ])
      this.values.set(id, 0);
    this.values.set(fid.asyncEventConfiguration, this.defaultEvents());
    this.timestamp.reset();
    this.session.reservations.reset();
    this.over = NO_THRESHOLD;
    this.under = 0;
    this.behavior = new Uint8Array(hostBehavior.size);
    controller.state.writeCache = true;
    controller.state.extendedLbaFormats = false;
  }

  private defaultEvents(): number {
    const { discovery, snapshot } = this.session.controller.subsystem;
    const ana = snapshot.ana === null ? 0 : aec.anaChange;
    return (discovery ? aec.discoveryLogChange : aec.namespaceAttribute | ana) >>> 0;
  }

  get asyncEventConfiguration(): number {
    return this.values.get(fid.asyncEventConfiguration)!;
  }

  /** True if controllers of this kind may have the feature. */
  known(id: number): boolean {
    const { controller } = this.session;
    if (reservationFeatures.has(id) && !hasReservations(controller)) return false;
    return !controller.subsystem.discovery || discoveryFeatures.has(id);
  }

  /** A feature of a namespace is asked for that cannot be reached this way. */
  private inaccessible(id: number, nsid: number): boolean {
    if (!namespaceFeatures.has(id)) return false;
    const { controller } = this.session;
    const which = nsid === NSID_ALL ? controller.nsids : controller.find(nsid) === null ? [] : [nsid];
    return which.some((one) => (controller.gates[one]! & Gate.INACCESSIBLE) !== 0);
  }

  get(request: NvmfRequest): void {
    const { session } = this;
    const id = request.cdw(10) & 0xff;
    const select = (request.cdw(10) >>> 8) & 0x7;
    if (!this.has(id) || select > featureSelect.supportedCapabilities)
      session.group.complete(request, Status.INVALID_FIELD);
    else if (select === featureSelect.supportedCapabilities) {
      request.dw0 = capabilitiesOf(id);
      session.group.complete(request, Status.SUCCESS);
    } else if (this.inaccessible(id, request.nsid)) session.group.complete(request, Status.ANA_INACCESSIBLE);
    else if (reservationFeatures.has(id)) this.getReservation(id, request, select === featureSelect.current);
    else if (id === fid.hostBehaviorSupport)
      session.respond(request, select === featureSelect.current ? this.behavior : noBehavior);
    else if (id === fid.timestamp)
      session.respond(request, select === featureSelect.current ? this.timestamp.read() : noTimestamp);
    else if (id === fid.hostIdentifier) this.getHostId(request);
    else {
      // Nothing can be saved: what is saved is the default (Base 2.0, 5.15).
      const value =
        select === featureSelect.current
          ? this.value(id, request.cdw(11))
          : this.defaultValue(id, request.cdw(11));
      if (value !== null) request.dw0 = value;
      session.group.complete(request, value === null ? Status.INVALID_FIELD : Status.SUCCESS);
    }
  }

  /** True if there is this feature here: its value may still be out of range. */
  has(id: number): boolean {
    const elsewhere = inData.has(id) || reservationFeatures.has(id);
    return this.known(id) && (elsewhere || this.value(id, 0) !== null);
  }

  /** What a feature is after a reset, or null. */
  private defaultValue(id: number, cdw11: number): number | null {
    switch (id) {
      case fid.volatileWriteCache:
        return VWC_WCE;
      case fid.asyncEventConfiguration:
        return this.defaultEvents();
      case fid.keepAliveTimer:
        return 0;
      case fid.temperatureThreshold: {
        const { tmpsel, thsel } = decodeTemperatureThreshold(cdw11);
        if (tmpsel !== 0 || thsel > 1) return null;
        return thsel === 0 ? NO_THRESHOLD : 0;
      }
      case fid.numberOfQueues:
      case fid.interruptVectorConfiguration:
        return this.value(id, cdw11);
      default:
        return this.values.has(id) ? 0 : null;
    }
  }

  /** A feature's dword, or null if there is none such. */
  private value(id: number, cdw11: number): number | null {
    const { controller, keepAlive } = this.session;
    switch (id) {
      case fid.volatileWriteCache:
        return controller.state.writeCache ? VWC_WCE : 0;
      case fid.numberOfQueues: {
        const queues = controller.transport.max_io_qpairs_per_ctrlr;
        return encodeNumberOfQueues(queues, queues);
      }
      case fid.keepAliveTimer:
        return keepAlive.kato_ms;
      case fid.temperatureThreshold: {
        const { tmpsel, thsel } = decodeTemperatureThreshold(cdw11);
        if (tmpsel !== 0 || thsel > 1) return null;
        return thsel === 0 ? this.over : this.under;
      }
      case fid.interruptVectorConfiguration:
        return cdw11 & 0xffff;
      default:
        return this.values.get(id) ?? null;
    }
  }

  /** Features 82h and 83h of one namespace: the current value, or the default. */
  private getReservation(id: number, request: NvmfRequest, current: boolean): void {
    const { group, controller, reservations } = this.session;
    const { nsid } = request;
    if (nsid === NSID_ALL) group.complete(request, Status.INVALID_FIELD);
    else if (controller.find(nsid) === null) group.complete(request, Status.INVALID_NAMESPACE);
    else if (id === fid.reservationNotificationMask || !current) {
      if (current) request.dw0 = reservations.mask(nsid);
      group.complete(request, Status.SUCCESS);
    } else
      ask(group, controller, nsid, 'persistence', ({ status, ptpl }) => {
        request.dw0 = ptpl === true ? RESERVATION_PTPL : 0;
        group.complete(request, status);
      });
  }

  private getHostId(request: NvmfRequest): void {
    const { session } = this;
    // Fabrics: the extended, 128-bit identifier only.
    if ((request.cdw(11) & HOST_ID_EXHID) === 0) session.group.complete(request, Status.INVALID_FIELD);
    else session.respond(request, Uint8Array.from(Buffer.from(session.controller.hostid, 'hex')));
  }

  set(request: NvmfRequest): void {
    const { group } = this.session;
    const cdw10 = request.cdw(10);
    const id = cdw10 & 0xff;
    if (!this.known(id)) group.complete(request, Status.INVALID_FIELD);
    else if ((cdw10 & SAVE) !== 0) group.complete(request, Status.NOT_SAVEABLE);
    else if (request.nsid !== 0 && request.nsid !== NSID_ALL && !namespaceFeatures.has(id))
      group.complete(request, Status.NOT_NAMESPACE_SPECIFIC);
    else if (this.inaccessible(id, request.nsid)) group.complete(request, Status.ANA_INACCESSIBLE);
    else if (reservationFeatures.has(id)) this.setReservation(id, request);
    else group.complete(request, this.change(id, request));
  }

  /** Features 82h and 83h of one namespace, or (NSID FFFFFFFFh) of all that are attached. */
  private setReservation(id: number, request: NvmfRequest): void {
    const { group, controller, reservations } = this.session;
    const { nsid } = request;
    if (nsid !== NSID_ALL && controller.find(nsid) === null)
      group.complete(request, Status.INVALID_NAMESPACE);
    else if (id === fid.reservationNotificationMask) {
      reservations.setMask(nsid, request.cdw(11));
      group.complete(request, Status.SUCCESS);
    } else this.setPersistence(request, nsid === NSID_ALL ? controller.nsids : [nsid]);
  }

  /** Of several namespaces each is asked for; the first refusal is the command's. */
  private setPersistence(request: NvmfRequest, nsids: readonly number[]): void {
    const { group, controller } = this.session;
    const ptpl = (request.cdw(11) & RESERVATION_PTPL) !== 0;
    let left = nsids.length;
    let failure: number = Status.SUCCESS;
    if (left === 0) group.complete(request, failure);
    for (const nsid of nsids)
      ask(group, controller, nsid, { kind: 'persist', ptpl }, ({ status }) => {
        if (failure === Status.SUCCESS) failure = status;
        if (--left === 0) group.complete(request, failure);
      });
  }

  /** Returns a status. */
  private change(id: number, request: NvmfRequest): number {
    const { controller, events, keepAlive } = this.session;
    const cdw11 = request.cdw(11);
    switch (id) {
      case fid.arbitration:
        return this.store(id, cdw11);
      case fid.asyncEventConfiguration:
        this.store(id, cdw11);
        events.configured();
        return Status.SUCCESS;
      case fid.timestamp:
        return this.setTimestamp(request);
      case fid.powerManagement:
        return decodePowerManagement(cdw11).ps !== 0 ? Status.INVALID_FIELD : this.store(id, cdw11);
      case fid.writeAtomicity:
        return this.store(id, cdw11 & WRITE_ATOMICITY_DN);
      case fid.errorRecovery:
        return this.setErrorRecovery(request.nsid, cdw11);
      case fid.temperatureThreshold:
        return this.setThreshold(cdw11);
      case fid.volatileWriteCache:
        controller.state.writeCache = (cdw11 & VWC_WCE) !== 0;
        return Status.SUCCESS;
      case fid.numberOfQueues:
        return this.setQueues(request, cdw11);
      case fid.keepAliveTimer:
        keepAlive.set(cdw11);
        return Status.SUCCESS;
      case fid.ioCommandSetProfile:
        // There is one combination of command sets: Identify, CNS 1Ch.
        return (cdw11 & IOCSCI) !== 0 ? Status.COMMAND_SETS_REJECTED : Status.SUCCESS;
      case fid.hostBehaviorSupport:
        return this.setBehavior(request);
      case fid.hostIdentifier:
        // Base 2.0, 5.27.1.25: over fabrics the identifier comes with Connect.
        return Status.SEQUENCE_ERROR;
      case fid.interruptCoalescing:
      case fid.interruptVectorConfiguration:
        return Status.NOT_CHANGEABLE;
      default:
        return Status.INVALID_FIELD;
    }
  }

  private store(id: number, value: number): number {
    this.values.set(id, value);
    return Status.SUCCESS;
  }

  private setErrorRecovery(nsid: number, cdw11: number): number {
    const one = nsid !== 0 && nsid !== NSID_ALL;
    if (one && this.session.controller.find(nsid) === null) return Status.INVALID_NAMESPACE;
    // No namespace reports deallocated blocks as errors (NSFEAT bit 2).
    if (decodeErrorRecovery(cdw11).dulbe) return Status.INVALID_FIELD;
    return this.store(fid.errorRecovery, cdw11);
  }

  private setThreshold(cdw11: number): number {
    const { tmpth, tmpsel, thsel } = decodeTemperatureThreshold(cdw11);
    if ((tmpsel !== 0 && tmpsel !== 0xf) || thsel > 1) return Status.INVALID_FIELD;
    if (thsel === 0) this.over = tmpth;
    else this.under = tmpth;
    return Status.SUCCESS;
  }

  private setQueues(request: NvmfRequest, cdw11: number): number {
    const { controller } = this.session;
    const { submission, completion } = decodeNumberOfQueues(cdw11);
    if (submission > 0xffff || completion > 0xffff) return Status.INVALID_FIELD;
    if (controller.state.ioQueues > 0) return Status.SEQUENCE_ERROR;
    const queues = controller.transport.max_io_qpairs_per_ctrlr;
    request.dw0 = encodeNumberOfQueues(queues, queues);
    return Status.SUCCESS;
  }

  private setTimestamp(request: NvmfRequest): number {
    if (request.length < TIMESTAMP_SIZE) return Status.SGL_LENGTH_INVALID;
    this.timestamp.set(gather(this.session.group.reactor.regions, request, TIMESTAMP_SIZE));
    return Status.SUCCESS;
  }

  private setBehavior(request: NvmfRequest): number {
    const { size } = hostBehavior;
    if (request.length < size) return Status.SGL_LENGTH_INVALID;
    const data = gather(this.session.group.reactor.regions, request, size);
    const { acre, lbafee } = hostBehavior.decode(data);
    if (acre > 1 || lbafee > 1) return Status.INVALID_FIELD;
    this.behavior = data;
    this.session.controller.state.extendedLbaFormats = lbafee === 1;
    return Status.SUCCESS;
  }
}
