import { type BdevIo, type BdevIoOwner, IoStatus } from '@spdk-ts/bdev';
import type { AdminSession } from './admin-session.ts';
import type { NvmfController } from './controller.ts';
import type { NvmfPollGroup } from './poll-group.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';
import type { SubsystemView } from './subsystem-view.ts';

/** Abort Command Limit, 0's based: four may be outstanding. */
export const ACL = 3;
/** Dword 0 bit 0 of the completion: the command was not aborted. */
const NOT_ABORTED = 1;

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
  private readonly done: Done;

  constructor(subsystem: SubsystemView, done: Done) {
    this.subsystem = subsystem;
    this.done = done;
    subsystem.outstanding++;
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
    this.done(aborted);
    if (this.subsystem.paused) this.subsystem.drained();
  }
}

/** Finds commands on this reactor's queues and aborts them: for Abort commands that arrive here or elsewhere. */
export class CommandAborts {
  private readonly group: NvmfPollGroup;
  private readonly remote = new Map<number, Done>();
  private tokens = 0;

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
      else this.abortIo(request.io, controller, (aborted) => done(aborted || stopped));
    }
  }

  private abortIo(io: BdevIo, controller: NvmfController, done: Done): void {
    const abort = new BdevAbort(controller.subsystem, done);
    if (io.channel!.abort(io, abort) !== 0) abort.fail();
  }

  /** The same for a queue of another reactor. */
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
