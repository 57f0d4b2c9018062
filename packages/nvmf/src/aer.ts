import {
  aec,
  encodeAsyncEvent,
  errorEvent,
  eventType,
  ioCommandSetEvent,
  lid,
  noticeEvent,
} from '@spdk-ts/nvme-spec';
import type { AdminSession } from './admin-session.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';

/** Events that are kept while nobody asks for them. One of a kind suffices: the host reads the log page. */
interface Event {
  readonly dw0: number;
  /** Bit of the Asynchronous Event Configuration, or all bits: it needs none. */
  readonly enabledBy: number;
}
const ALWAYS = -1;

const namespaceChange: Event = {
  dw0: encodeAsyncEvent({
    type: eventType.notice,
    info: noticeEvent.namespaceAttributeChanged,
    lid: lid.changedNamespaceList,
  }),
  enabledBy: aec.namespaceAttribute,
};
const anaChange: Event = {
  dw0: encodeAsyncEvent({ type: eventType.notice, info: noticeEvent.anaChange, lid: lid.ana }),
  enabledBy: aec.anaChange,
};
const reservationNotice: Event = {
  dw0: encodeAsyncEvent({
    type: eventType.ioCommandSet,
    info: ioCommandSetEvent.reservationLogAvailable,
    lid: lid.reservationNotification,
  }),
  enabledBy: ALWAYS,
};
const discoveryChange: Event = {
  dw0: encodeAsyncEvent({
    type: eventType.notice,
    info: noticeEvent.discoveryLogChange,
    lid: lid.discovery,
  }),
  enabledBy: aec.discoveryLogChange,
};
const errorOf = (info: number): Event => ({
  dw0: encodeAsyncEvent({ type: eventType.error, info, lid: lid.errorInformation }),
  enabledBy: ALWAYS,
});
const doorbellRegister = errorOf(errorEvent.invalidDoorbellRegister);
const doorbellValue = errorOf(errorEvent.invalidDoorbellValue);
/** What the error log says of a doorbell: it is about no command. */
const noCommand = { sqid: 0xffff, cid: 0xffff, status: 0, nsid: 0, lba: 0, opcode: 0, location: 0xffff };

/**
 * Asynchronous Event Requests (Base 2.0, 5.2): parked until there is an event. After an event was sent, the next of
 * its kind is held back until the host has read the log page.
 */
export class AsyncEvents {
  private readonly session: AdminSession;
  private readonly parked: NvmfRequest[] = [];
  private pending: Event[] = [];
  /** Log pages whose event was sent and that were not read since. */
  private readonly masked = new Set<number>();

  constructor(session: AdminSession) {
    this.session = session;
  }

  get outstanding(): number {
    return this.parked.length;
  }

  /** An Asynchronous Event Request. */
  request(request: NvmfRequest): void {
    const { group } = this.session;
    if (request.nsid !== 0) group.complete(request, Status.INVALID_FIELD);
    else if (this.parked.length >= group.target.limits.async_events)
      group.complete(request, Status.AER_LIMIT);
    else {
      group.park(request);
      this.parked.push(request);
      this.deliver();
    }
  }

  namespaceChanged(): void {
    this.raise(namespaceChange);
  }
  discoveryChanged(): void {
    this.raise(discoveryChange);
  }

  anaChanged(): void {
    this.raise(anaChange);
  }
  reservationNotice(): void {
    this.raise(reservationNotice);
  }
  /** A doorbell was written that no queue has. */
  doorbellOfNoQueue(): void {
    this.doorbellError(doorbellRegister);
  }
  /** A doorbell was written with what is no place in its queue. */
  doorbellOfNoPlace(): void {
    this.doorbellError(doorbellValue);
  }

  private doorbellError(event: Event): void {
    this.session.controller.state.logError(noCommand);
    this.raise(event);
  }

  private raise(event: Event): void {
    const { enabledBy } = event;
    if (enabledBy !== ALWAYS && (this.session.features.asyncEventConfiguration & enabledBy) === 0) return;
    if (!this.pending.includes(event)) this.pending.push(event);
    this.deliver();
  }

  /** The host has read a log page, and wants to hear of it again. */
  logPageRead(page: number): void {
    this.pending = this.pending.filter(({ dw0 }) => dw0 >>> 16 !== page);
    this.masked.delete(page);
    this.deliver();
  }

  /** The host has changed which events it wants: of others it is not told any more. */
  configured(): void {
    const wanted = this.session.features.asyncEventConfiguration;
    this.pending = this.pending.filter(({ enabledBy }) => enabledBy === ALWAYS || (wanted & enabledBy) !== 0);
  }

  private deliver(): void {
    while (this.parked.length > 0) {
      const at = this.pending.findIndex(({ dw0 }) => !this.masked.has(dw0 >>> 16));
      if (at < 0) return;
      const [event] = this.pending.splice(at, 1);
      this.masked.add(event!.dw0 >>> 16);
      this.end(this.parked.shift()!, event!.dw0, Status.SUCCESS);
    }
  }

  private end(request: NvmfRequest, dw0: number, status: number): void {
    const { group } = this.session;
    group.unpark(request);
    request.dw0 = dw0;
    group.complete(request, status);
  }

  /** For Abort: true if the request was parked; it has then ended as aborted. */
  abort(request: NvmfRequest): boolean {
    const at = this.parked.indexOf(request);
    if (at < 0) return false;
    this.parked.splice(at, 1);
    this.end(request, 0, Status.ABORTED);
    return true;
  }

  /** The controller is reset or its admin queue ends: nothing stays parked, what was pending is forgotten. */
  abortAll(): void {
    this.pending = [];
    this.masked.clear();
    for (const request of this.parked.splice(0)) this.end(request, 0, Status.ABORTED_SQ_DELETION);
  }
}
