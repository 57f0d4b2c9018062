import { Logger } from '@spdk-ts/log';
import {
  ADMIN_QUEUE_MIN_ENTRIES,
  connectAttribute,
  connectAuthreq,
  connectData,
  connectInvalidParameter,
  connectOffset,
  connectSuccess,
  NQN_MAX_LENGTH,
} from '@spdk-ts/nvme-spec';
import { AdminSession } from './admin-session.ts';
import type { Authentication } from './authentication.ts';
import { NvmfController } from './controller.ts';
import type { LazyAuthentication } from './lazy-authentication.ts';
import { gather } from './memory-queue.ts';
import type { NvmfPollGroup } from './poll-group.ts';
import type { NvmfQpair } from './qpair.ts';
import type { NvmfRequest } from './request.ts';
import type { ConnectAnswer, ConnectQuestion, ControllerGrant, QpairGone } from './snapshot.ts';
import { Status } from './status.ts';

const log = new Logger('nvmf');

/** Byte offsets in the data, as the Invalid Parameter Offset names them. */
export const connectDataOffset = { hostid: 0, cntlid: 16, subnqn: 256, hostnqn: 512 } as const;

/** A NUL-ended name of at most 223 bytes in a field of 256, or null. */
function nameAt(data: Uint8Array, offset: number): string | null {
  const field = data.subarray(offset, offset + 256);
  const length = field.indexOf(0);
  if (length < 0 || length > NQN_MAX_LENGTH) return null;
  return new TextDecoder().decode(field.subarray(0, length));
}

/**
 * The Connect command (Base 2.0, 6.3). What can be seen from the command is checked here; who may connect to
 * what, and as which controller, is decided by the control thread.
 */
export class Connects {
  private readonly group: NvmfPollGroup;
  private readonly authentication: LazyAuthentication;
  /** Queue pairs whose Connect is being decided. */
  private readonly deciding = new Set<NvmfQpair>();

  constructor(group: NvmfPollGroup, authentication: LazyAuthentication) {
    this.group = group;
    this.authentication = authentication;
  }

  execute(request: NvmfRequest): void {
    const { group, deciding } = this;
    const { qpair } = request;
    if (qpair.qid >= 0 || deciding.has(qpair)) {
      group.complete(request, Status.SEQUENCE_ERROR);
      return;
    }
    if (request.length < connectData.size) {
      group.complete(request, Status.SGL_LENGTH_INVALID);
      return;
    }
    const data = gather(group.reactor.regions, request, connectData.size);
    const question = this.check(request, data);
    if (question === null) return;
    deciding.add(qpair);
    const answered = (answer: ConnectAnswer, authentication: Authentication | null): void =>
      group.thread.send(() => this.decide(request, question, answer, authentication));
    (group.reactor.control.call('nvmf', 'connect', question) as Promise<ConnectAnswer>).then(
      async (answer) => answered(answer, 'grant' in answer ? await this.needed(answer.grant) : null),
      (error: Error) => answered({ status: Status.INTERNAL_ERROR, dw0: 0, reason: error.message }, null),
    );
  }

  /** What a queue pair authenticates itself with, if it must. */
  private needed({ authenticate }: ControllerGrant): Promise<Authentication | null> | null {
    return authenticate ? this.authentication.load() : null;
  }

  private refuse(request: NvmfRequest, status: number, dw0: number, reason: string): void {
    request.dw0 = dw0;
    log.notice(`${request.qpair.peerAddress.traddr}: Connect refused: ${reason}`);
    this.group.complete(request, status);
  }

  /** The question for the control thread, or null: the command has then been refused. */
  private check(request: NvmfRequest, data: Uint8Array): ConnectQuestion | null {
    const { qpair } = request;
    const recfmt = request.cdw(10) & 0xffff;
    const qid = request.cdw(10) >>> 16;
    const entries = (request.cdw(11) & 0xffff) + 1;
    const { cntlid, hostid } = connectData.decode(data);
    const subnqn = nameAt(data, connectDataOffset.subnqn);
    const hostnqn = nameAt(data, connectDataOffset.hostnqn);
    const options = this.group.transportOptions(qpair.trtype);
    const most = Math.min(qid === 0 ? options.max_aq_depth : options.max_queue_depth, qpair.maxQueueDepth);
    const invalid = (offset: number, inData: boolean, reason: string): null => {
      this.refuse(request, Status.CONNECT_INVALID, connectInvalidParameter(offset, inData), reason);
      return null;
    };
    if (recfmt !== 0) {
      this.refuse(request, Status.FORMAT, 0, `record format ${recfmt} is not known`);
      return null;
    }
    if (qid > options.max_io_qpairs_per_ctrlr)
      return invalid(connectOffset.qid, false, `queue id ${qid} is above ${options.max_io_qpairs_per_ctrlr}`);
    if (entries < 2 || entries > most)
      return invalid(connectOffset.sqsize, false, `SQSIZE ${entries - 1} is not within 1 … ${most - 1}`);
    if (qid === 0 && entries < ADMIN_QUEUE_MIN_ENTRIES)
      return invalid(connectOffset.sqsize, false, `an admin queue of ${entries} entries is too small`);
    // A host without a name is let in where any host is: SPDK's tools connect like that.
    const unterminated = `is not terminated within ${NQN_MAX_LENGTH} bytes`;
    if (subnqn === null) return invalid(connectDataOffset.subnqn, true, `SUBNQN ${unterminated}`);
    if (hostnqn === null) return invalid(connectDataOffset.hostnqn, true, `HOSTNQN ${unterminated}`);
    const { listenAddress, peerAddress } = qpair;
    return {
      ...{ subnqn, hostnqn, cntlid, qid, qpair: qpair.id, thread: this.group.thread.name },
      hostid: Buffer.from(hostid).toString('hex'),
      ...{ trtype: listenAddress.trtype, adrfam: listenAddress.adrfam },
      ...{ traddr: listenAddress.traddr, trsvcid: listenAddress.trsvcid },
      ...{ peer_adrfam: peerAddress.adrfam, peer_traddr: peerAddress.traddr },
      peer_trsvcid: peerAddress.trsvcid,
      psk_identity: qpair.pskIdentity,
    };
  }

  private decide(
    request: NvmfRequest,
    question: ConnectQuestion,
    answer: ConnectAnswer,
    authentication: Authentication | null,
  ): void {
    const { qpair } = request;
    this.deciding.delete(qpair);
    if ('status' in answer) {
      this.refuse(request, answer.status, answer.dw0, answer.reason);
      return;
    }
    const { grant } = answer;
    if (qpair.disconnecting || !this.attach(request, question, grant, authentication)) {
      const gone: QpairGone = { controller: grant.id, qid: question.qid };
      this.group.reactor.control.notify('nvmf', 'qpairGone', gone);
      this.group.complete(request, qpair.disconnecting ? Status.ABORTED_SQ_DELETION : Status.CONTROLLER_BUSY);
      return;
    }
    request.dw0 = connectSuccess(grant.cntlid, grant.authenticate ? connectAuthreq.atr : 0);
    this.group.complete(request, Status.SUCCESS);
  }

  /** Makes the queue pair one of the controller's. False if that or its subsystem is going, or `authentication` lacks. */
  private attach(
    request: NvmfRequest,
    question: ConnectQuestion,
    grant: ControllerGrant,
    authentication: Authentication | null,
  ): boolean {
    const { group } = this;
    const { qpair } = request;
    const subsystem = group.subsystems.get(grant.subsystem);
    if (subsystem === undefined || (grant.authenticate && authentication === null)) return false;
    const controller = group.controllers.get(grant.id) ?? new NvmfController(grant, subsystem);
    // A reset or shutdown may have begun since: it does not know of this queue, and would wait for it in vain.
    if (controller.state.closing || (question.qid !== 0 && !controller.state.takesQueues)) return false;
    group.controllers.set(grant.id, controller);
    controller.qpairs.set(question.qid, qpair);
    qpair.qid = question.qid;
    qpair.sqSize = (request.cdw(11) & 0xffff) + 1;
    qpair.sqFlowControlDisabled = ((request.cdw(11) >>> 16) & connectAttribute.disableSqFlowControl) !== 0;
    // Connect itself has taken the first entry; without flow control SQHD is FFFFh.
    qpair.sqhd = qpair.sqFlowControlDisabled ? 0xffff : 1 % qpair.sqSize;
    if (question.qid === 0) controller.admin = new AdminSession(controller, group, qpair, request.cdw(12));
    if (authentication === null) qpair.controller = controller;
    else authentication.demand(qpair, controller);
    group.countQpair(question.qid);
    group.activity.began(controller, qpair);
    return true;
  }
}
