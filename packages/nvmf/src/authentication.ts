import { Logger } from '@spdk-ts/log';
import { groupLength, hashLength } from '@spdk-ts/nvme-auth/identifiers';
import {
  AUTH_SUCCESS2_SIZE,
  type AuthReply,
  authFailure,
  authFailureMessage,
  authHeader,
  authId,
  authProtocol,
  authType,
  decodeAuthNegotiate,
  decodeAuthReply,
  encodeAuthChallenge,
  encodeAuthFailure,
  encodeAuthSuccess1,
  fabricsType,
} from '@spdk-ts/nvme-spec';
import type { NvmfController } from './controller.ts';
import { gather } from './memory-queue.ts';
import type { NvmfPollGroup } from './poll-group.ts';
import type { NvmfQpair } from './qpair.ts';
import { QpairAuthentication } from './qpair-authentication.ts';
import type { NvmfRequest } from './request.ts';
import { respond } from './respond.ts';
import type {
  AuthChallengeAnswer,
  AuthChallengeQuestion,
  AuthReplyAnswer,
  AuthReplyQuestion,
} from './snapshot.ts';
import { Status } from './status.ts';

const log = new Logger('nvmf_auth');

/** Longer messages than any that a host may send. */
const MESSAGE_MAX = 4096;
const FAILURE_DELAY_US = 100_000;

/**
 * DH-HMAC-CHAP, the controller's side (Base 2.0, 8.13.5): Authentication Send and Receive on any queue. The order and the
 * form of messages are checked here; keys, challenges and everything computed with them stay with the control thread
 * and its helper, so that no reactor stands still for them.
 */
export class Authentication {
  private readonly group: NvmfPollGroup;

  constructor(group: NvmfPollGroup) {
    this.group = group;
  }

  /** From now on a queue pair of `controller` must authenticate itself before anything else. */
  demand(qpair: NvmfQpair, controller: NvmfController): void {
    qpair.auth = new QpairAuthentication(this.group, qpair, controller);
  }

  /** Authentication Send or Receive. */
  execute(request: NvmfRequest): void {
    if ((request.nsid & 0xff) === fabricsType.authenticationSend) this.send(request);
    else this.receive(request);
  }

  private send(request: NvmfRequest): void {
    const auth = this.begin(request);
    if (auth === null) return;
    const { group } = this;
    if (request.length < authHeader.size || request.length > MESSAGE_MAX) {
      this.fail(auth, request, authFailure.incorrectPayload, `a message of ${request.length} bytes`);
      return;
    }
    const message = gather(group.reactor.regions, request, request.length);
    const header = authHeader.decode(message);
    const kind = (header.authType << 8) | header.authId;
    if (kind === NEGOTIATE) this.negotiate(auth, request, message);
    else if (kind === REPLY) this.reply(auth, request, message);
    else if (kind === SUCCESS2) this.success2(auth, request, message);
    else if (kind === FAILURE2) this.failure2(auth, request, message);
    else this.outOfOrder(auth, request, `message ${header.authType}/${header.authId}`);
  }

  private receive(request: NvmfRequest): void {
    const auth = this.begin(request);
    if (auth === null) return;
    if (auth.state === 'challenge') this.challenge(auth, request);
    else if (auth.state === 'success1') this.success1(auth, request);
    else if (auth.state === 'failure1') this.failure1(auth, request, auth.failure);
    else {
      log.notice(`${nameOf(auth)}: nothing to receive in state ${auth.state}`);
      this.failure1(auth, request, authFailure.incorrectProtocolMessage);
    }
  }

  /** What every command of the two must be like; null: it has been completed. */
  private begin(request: NvmfRequest): QpairAuthentication | null {
    const { group } = this;
    const { qpair } = request;
    const cdw10 = request.cdw(10);
    const controller = qpair.controller ?? qpair.auth?.controller ?? null;
    if (controller === null || qpair.auth?.busy === true) {
      group.complete(request, Status.SEQUENCE_ERROR);
      return null;
    }
    const { secp, spsp0, spsp1 } = authProtocol;
    const protocol = cdw10 >>> 24 === secp && ((cdw10 >>> 8) & 0xff) === spsp0;
    if (!protocol || ((cdw10 >>> 16) & 0xff) !== spsp1 || request.cdw(11) !== request.length) {
      group.complete(request, Status.INVALID_FIELD);
      return null;
    }
    // A live queue: it authenticates itself again.
    qpair.auth ??= new QpairAuthentication(group, qpair, controller);
    if (qpair.auth.state === 'completed') qpair.auth.expect('negotiate');
    return qpair.auth;
  }

  /** A message of the host was wrong: the command succeeds, what it receives next is the failure. */
  private fail(auth: QpairAuthentication, request: NvmfRequest, explanation: number, why: string): void {
    log.warn(`${nameOf(auth)}: authentication failed: ${why}`);
    auth.failure = explanation;
    auth.expect('failure1');
    this.group.complete(request, Status.SUCCESS);
  }

  private outOfOrder(auth: QpairAuthentication, request: NvmfRequest, what: string): void {
    const why = `${what} in state ${auth.state}`;
    this.fail(auth, request, authFailure.incorrectProtocolMessage, why);
  }

  private negotiate(auth: QpairAuthentication, request: NvmfRequest, message: Uint8Array): void {
    if (auth.state !== 'negotiate') {
      this.outOfOrder(auth, request, 'AUTH_Negotiate');
      return;
    }
    auth.tId = authHeader.decode(message).tId;
    const wrong = auth.choose(decodeAuthNegotiate(message));
    if (wrong !== null) {
      this.fail(auth, request, ...wrong);
      return;
    }
    auth.rval = null;
    auth.expect('challenge');
    this.group.complete(request, Status.SUCCESS);
  }

  /** Asks the control thread; the answer arrives on this reactor, unless the queue is going. */
  private ask<A>(
    auth: QpairAuthentication,
    request: NvmfRequest,
    method: string,
    question: object,
    answered: (answer: A | null) => void,
  ): void {
    const { group } = this;
    auth.busy = true;
    const back = (answer: A | null): void =>
      group.thread.send(() => {
        auth.busy = false;
        if (request.qpair.disconnecting) group.complete(request, Status.ABORTED_SQ_DELETION);
        else answered(answer);
      });
    group.reactor.control.call('nvmf', method, question).then(
      (answer) => back(answer as A | null),
      (error: Error) => {
        log.error(`${nameOf(auth)}: ${error.message}`);
        back(null);
      },
    );
  }

  private challenge(auth: QpairAuthentication, request: NvmfRequest): void {
    const { hash, dhgroup } = auth;
    const length = 16 + hashLength(hash) + groupLength(dhgroup);
    if (request.length < length) {
      log.notice(`${nameOf(auth)}: ${request.length} bytes are too few for a challenge of ${length}`);
      this.failure1(auth, request, authFailure.incorrectPayload);
      return;
    }
    const question: AuthChallengeQuestion = { ...placeOf(auth), hash, dhgroup };
    this.ask<AuthChallengeAnswer>(auth, request, 'authChallenge', question, (answer) => {
      if (answer === null) {
        this.failure1(auth, request, authFailure.failed);
        return;
      }
      const { seqnum, cval, dhv } = answer;
      const { tId } = auth;
      auth.expect('reply');
      respond(
        this.group,
        request,
        encodeAuthChallenge({ tId, hashId: hash, dhgId: dhgroup, seqnum, cval, dhv }),
      );
    });
  }

  private reply(auth: QpairAuthentication, request: NvmfRequest, message: Uint8Array): void {
    if (auth.state !== 'reply') {
      this.outOfOrder(auth, request, 'DH-HMAC-CHAP_Reply');
      return;
    }
    const reply = decodeAuthReply(message, hashLength(auth.hash), groupLength(auth.dhgroup));
    const wrong = unfitReply(auth, reply);
    if (reply === null || wrong !== null) {
      this.fail(auth, request, authFailure.incorrectPayload, wrong!);
      return;
    }
    const question: AuthReplyQuestion = { ...placeOf(auth), ...reply };
    this.ask<AuthReplyAnswer>(auth, request, 'authReply', question, (answer) => {
      if (answer === null) this.fail(auth, request, authFailure.failed, 'it cannot be decided');
      else if ('failure' in answer) this.fail(auth, request, answer.failure, answer.reason);
      else {
        auth.rval = answer.rval;
        auth.expect('success1');
        this.group.complete(request, Status.SUCCESS);
      }
    });
  }

  private success1(auth: QpairAuthentication, request: NvmfRequest): void {
    const message = encodeAuthSuccess1(auth.tId, hashLength(auth.hash), auth.rval);
    if (request.length < message.length) {
      this.failure1(auth, request, authFailure.incorrectPayload);
      return;
    }
    // The host has proved itself; if it wants the same of us, its verdict is still due.
    if (auth.rval === null) this.succeed(auth);
    else auth.expect('success2');
    respond(this.group, request, message);
  }

  private success2(auth: QpairAuthentication, request: NvmfRequest, message: Uint8Array): void {
    if (!this.isVerdict(auth, request, message, AUTH_SUCCESS2_SIZE, 'DH-HMAC-CHAP_Success2')) return;
    this.succeed(auth);
    this.group.complete(request, Status.SUCCESS);
  }

  private failure2(auth: QpairAuthentication, request: NvmfRequest, message: Uint8Array): void {
    if (!this.isVerdict(auth, request, message, authFailureMessage.size, 'AUTH_Failure2')) return;
    const { rce } = authFailureMessage.decode(message);
    log.warn(`${nameOf(auth)}: the host does not take the controller for the right one (explanation ${rce})`);
    auth.settle('error');
    auth.disconnectAfter(FAILURE_DELAY_US, 'the host could not authenticate the controller');
    this.group.complete(request, Status.SUCCESS);
  }

  private isVerdict(
    auth: QpairAuthentication,
    request: NvmfRequest,
    message: Uint8Array,
    size: number,
    what: string,
  ): boolean {
    const { tId } = authHeader.decode(message);
    if (auth.state !== 'success2') this.outOfOrder(auth, request, what);
    else if (message.length !== size)
      this.fail(auth, request, authFailure.incorrectPayload, `${what} has ${message.length} bytes`);
    else if (tId !== auth.tId)
      this.fail(auth, request, authFailure.incorrectPayload, `transaction ${tId} is not ${auth.tId}`);
    else return true;
    return false;
  }

  private succeed(auth: QpairAuthentication): void {
    auth.rval = null;
    auth.settle('completed');
    auth.qpair.controller = auth.controller;
  }

  /** Tells the host that it has failed, and why; then its connection ends. */
  private failure1(auth: QpairAuthentication, request: NvmfRequest, explanation: number): void {
    auth.settle('error');
    auth.disconnectAfter(FAILURE_DELAY_US, 'authentication failed');
    if (request.length < authFailureMessage.size) this.group.complete(request, Status.INVALID_FIELD);
    else respond(this.group, request, encodeAuthFailure(authId.failure1, auth.tId, explanation));
  }
}

const NEGOTIATE = (authType.common << 8) | authId.negotiate;
const FAILURE2 = (authType.common << 8) | authId.failure2;
const REPLY = (authType.dhchap << 8) | authId.reply;
const SUCCESS2 = (authType.dhchap << 8) | authId.success2;

function unfitReply({ tId }: QpairAuthentication, reply: AuthReply | null): string | null {
  if (reply === null) return 'DH-HMAC-CHAP_Reply has wrong lengths';
  if (reply.tId !== tId) return `transaction ${reply.tId} is not ${tId}`;
  return reply.cval !== null && reply.seqnum === 0 ? 'a challenge with sequence number 0' : null;
}

const nameOf = ({ controller, qpair }: QpairAuthentication): string =>
  `${controller.subsystem.nqn}: host ${controller.hostnqn} qid ${qpair.qid}`;

const placeOf = ({ controller, qpair, tId }: QpairAuthentication) => ({
  controller: controller.id,
  qid: qpair.qid,
  tId,
});
