import { type BdevIo, type BdevIoOwner, IoStatus } from '@spdk-ts/bdev';
import type { AdminSession } from './admin-session.ts';
import type { NvmfController } from './controller.ts';
import type { NvmfPollGroup } from './poll-group.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';
import type { NamespaceView, SubsystemView } from './subsystem-view.ts';

/** Abort Command Limit, 0's based: four may be outstanding. */
export const ACL = 3;
/** Dword 0 bit 0 of the completion: the command was not aborted. */
const NOT_ABORTED = 1;
/** Bits of a status that say what went wrong: all but DNR and M. */
export const CODE = 0x7ff;

type Done = (aborted: boolean) => void;

/** Abort commands of one controller (Base 2.0, 5.1). */
export class AbortCommands {
  private readonly session: AdminSession;
  private outstanding = 0;

  constructor(session: AdminSession) {
    this.session = session;
  }

  command(request: NvmfRequest): void {
    const { controller, group } = this.session;
    const sqid = request.cdw(10) & 0xffff;
    const cid = request.cdw(10) >>> 16;
    if (request.nsid !== 0) {
      group.complete(request, Status.INVALID_FIELD);
      return;
    }
    if (this.outstanding > ACL) {
      group.complete(request, Status.ABORT_LIMIT);
      return;
    }
    this.outstanding++;
    const done = (aborted: boolean): void => {
      this.outstanding--;
      request.dw0 = aborted ? 0 : NOT_ABORTED;
      group.complete(request, Status.SUCCESS);
    };
    const reactor = controller.state.reactorOf(sqid);
    if (reactor < 0 || (sqid === 0 && cid === request.cid)) done(false);
    else if (reactor === group.reactor.index) group.aborts.abort(controller, sqid, cid, done);
    else group.aborts.abortRemote(reactor, controller, sqid, cid, done);
  }
}

/** A bdev abort under way. */
class BdevAbort implements BdevIoOwner {
  private readonly subsystem: SubsystemView;
  private readonly ns: NamespaceView | null;
  private readonly done: Done;

  constructor(subsystem: SubsystemView, nsid: number, done: Done) {
    this.subsystem = subsystem;
    this.ns = subsystem.find(nsid);
    this.done = done;
    subsystem.outstanding++;
    if (this.ns !== null) this.ns.loose++;
  }

  /** Could not be submitted. */
  fail(): void {
    this.end(false);
  }

  bdevIoDone(io: BdevIo): void {
    const aborted = io.status === IoStatus.SUCCESS;
    io.free();
    this.end(aborted);
  }

  private end(aborted: boolean): void {
    this.subsystem.outstanding--;
    if (this.ns !== null) this.ns.loose--;
    this.done(aborted);
    if (this.subsystem.paused) this.subsystem.drained();
  }
}

/** Finds commands on this reactor's queues and aborts them: for Abort commands that arrive here or elsewhere. */
export class CommandAborts {
  private readonly group: NvmfPollGroup;
  private readonly remote = new Map<number, Done>();
  private tokens = 0;
  /** Requests that a Preempt and Abort wants gone. */
  private readonly preempted = new Set<NvmfRequest>();

  constructor(group: NvmfPollGroup) {
    this.group = group;
  }

  /** Aborts a command of a queue that is here, wherever it is on its way. */
  abort(controller: NvmfController, sqid: number, cid: number, done: Done): void {
    const qpair = controller.qpairs.get(sqid);
    const request = qpair?.findRequest(cid) ?? null;
    if (qpair === undefined || request === null) {
      done(false);
      return;
    }
    request.abortRequested = true;
    if (this.group.io.fused.abort(request)) done(true);
    else if (!request.executing) done(qpair.abortHeld(request));
    else if (sqid === 0) done(controller.admin?.events.abort(request) ?? false);
    else if (this.group.io.abortWaiting(request)) done(true);
    else {
      // A command of several I/Os begins no more of them, and ends aborted whatever becomes of those that are out.
      const stopped = request.work?.stop() ?? false;
      if (request.io === null) done(stopped);
      else this.abortIo(request.io, controller, request.nsid, (aborted) => done(aborted || stopped));
    }
  }

  private abortIo(io: BdevIo, controller: NvmfController, nsid: number, done: Done): void {
    const abort = new BdevAbort(controller.subsystem, nsid, done);
    if (io.channel!.abort(io, abort) !== 0) abort.fail();
  }

  /** Aborts a command of a host that was preempted: if that succeeds, it ends with a status of its own. */
  preempt(request: NvmfRequest): void {
    this.preempted.add(request);
    this.abort(request.qpair.controller!, request.qpair.qid, request.cid, () => {});
  }

  /** True while a command that was to be aborted for a Preempt and Abort has not ended. */
  isPreempted(request: NvmfRequest): boolean {
    // Of a connection that is gone, no request ends any more; one that is used anew was cleared.
    if (!this.preempted.has(request)) return false;
    if (request.abortRequested && this.group.qpairs.has(request.qpair)) return true;
    this.preempted.delete(request);
    return false;
  }

  /** For the poll group: a command that was to be aborted has ended. */
  ended(request: NvmfRequest): void {
    if (this.preempted.delete(request) && (request.status & CODE) === Status.ABORTED)
      request.status = Status.ABORTED_PREEMPT;
  }

  /** Aborts a command of a queue of another reactor. */
  abortRemote(reactor: number, controller: NvmfController, sqid: number, cid: number, done: Done): void {
    const token = ++this.tokens;
    this.remote.set(token, done);
    this.group.sendAbort(reactor, controller.id, sqid, cid, token);
  }

  /** The other reactor has answered. */
  answered(token: number, aborted: boolean): void {
    const done = this.remote.get(token);
    this.remote.delete(token);
    done?.(aborted);
  }
}
