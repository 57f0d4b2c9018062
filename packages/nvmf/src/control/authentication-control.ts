import { randomBytes, randomInt } from 'node:crypto';
import {
  controllerResponse,
  type DhKeyPair,
  DhPool,
  equalSecrets,
  hashLength,
  hostResponse,
  transformDhchapSecret,
} from '@spdk-ts/nvme-auth';
import { authFailure } from '@spdk-ts/nvme-spec';
import type {
  AuthChallengeAnswer,
  AuthChallengeQuestion,
  AuthProgress,
  AuthReplyAnswer,
  AuthReplyQuestion,
} from '../snapshot.ts';
import { type HostKeys, readSecret } from './host-keys-control.ts';
import type { ControllerRecord } from './subsystem.ts';

/** A challenge that is out, and what its reply is checked with. */
interface Challenge {
  readonly hash: number;
  readonly dhgroup: number;
  readonly seqnum: number;
  readonly cval: Uint8Array;
  readonly keys: DhKeyPair | null;
}

const nothing = new Uint8Array(0);
const failure = (explanation: number, reason: string): AuthReplyAnswer => ({ failure: explanation, reason });

/** What authentication needs to know of the target. */
export interface AuthenticationTarget {
  controller(id: number): ControllerRecord | undefined;
  /** The keys of a controller's host, or undefined if it is not on the subsystem's list. */
  keysOf(controller: ControllerRecord): HostKeys | undefined;
}

/**
 * The secret half of DH-HMAC-CHAP (Base 2.0, 8.13.5): makes challenges, and checks replies. Keys are read when they are
 * needed, and go nowhere from here.
 */
export class AuthenticationControl {
  private readonly target: AuthenticationTarget;
  private readonly pool = new DhPool();
  private readonly challenges = new Map<string, Challenge>();
  private seqnum = randomInt(1, 2 ** 32 - 1);

  constructor(target: AuthenticationTarget) {
    this.target = target;
  }

  private nextSeqnum(): number {
    this.seqnum = this.seqnum === 0xffff_ffff ? 1 : this.seqnum + 1;
    return this.seqnum;
  }

  private key({ controller, qid }: { controller: number; qid: number }): string {
    return `${controller} ${qid}`;
  }

  /** A new challenge, in place of any other of the queue pair. Rejects with the reason if there can be none. */
  async challenge(question: AuthChallengeQuestion): Promise<AuthChallengeAnswer> {
    const { hash, dhgroup } = question;
    const cval = new Uint8Array(randomBytes(hashLength(hash)));
    const keys = dhgroup === 0 ? null : await this.pool.generate(dhgroup);
    const seqnum = this.nextSeqnum();
    const record = this.target.controller(question.controller)?.qpairs.get(question.qid);
    if (record === undefined) throw new Error('the queue pair is gone');
    record.auth = { state: 'reply', hash, dhgroup };
    this.challenges.set(this.key(question), { hash, dhgroup, seqnum, cval, keys });
    return { seqnum, cval, dhv: keys === null ? nothing : keys.publicKey };
  }

  /** Decides upon a reply. A challenge can be replied to once. */
  async reply(question: AuthReplyQuestion): Promise<AuthReplyAnswer> {
    const key = this.key(question);
    const challenge = this.challenges.get(key);
    this.challenges.delete(key);
    const controller = this.target.controller(question.controller);
    if (challenge === undefined || controller === undefined)
      return failure(authFailure.failed, 'there is no challenge');
    if (question.cval !== null && equalSecrets(question.cval, challenge.cval))
      return failure(authFailure.failed, 'the host sent our challenge back');
    let secret: Uint8Array | null = null;
    if (challenge.keys !== null) {
      const { privateKey, publicKey } = challenge.keys;
      if (equalSecrets(question.dhv, publicKey))
        return failure(authFailure.incorrectPayload, 'the host sent our DH value back');
      secret = await this.pool.derive(challenge.dhgroup, privateKey, question.dhv);
      if (secret === null) return failure(authFailure.incorrectPayload, 'its DH value is not in the group');
    }
    const keys = this.target.keysOf(controller);
    if (keys === undefined || keys.dhchap === null)
      return failure(authFailure.failed, 'the host has no DH-HMAC-CHAP key');
    try {
      return this.verify(question, challenge, secret, controller, keys);
    } catch (error) {
      return failure(authFailure.failed, (error as Error).message);
    }
  }

  private verify(
    question: AuthReplyQuestion,
    { hash, seqnum, cval }: Challenge,
    secret: Uint8Array | null,
    { hostnqn, subsystem }: ControllerRecord,
    { dhchap, ctrlr }: HostKeys,
  ): AuthReplyAnswer {
    const common = { hash, secret, t_id: question.tId, sc_c: 0 };
    const key = transformDhchapSecret(readSecret(dhchap!), hostnqn);
    const expected = hostResponse({ ...common, key, challenge: cval, seqnum }, hostnqn, subsystem.nqn);
    if (!equalSecrets(question.rval, expected))
      return failure(authFailure.failed, 'its response is not the one that its key makes');
    if (question.cval === null) return { rval: null };
    if (ctrlr === null)
      return failure(
        authFailure.failed,
        'it wants the controller to prove itself, which has no dhchap_ctrlr_key',
      );
    const own = transformDhchapSecret(readSecret(ctrlr), subsystem.nqn);
    const input = { ...common, key: own, challenge: question.cval, seqnum: question.seqnum };
    return { rval: new Uint8Array(controllerResponse(input, hostnqn, subsystem.nqn)) };
  }

  /** A queue pair has come further: remembered for who looks at it. */
  progress({ controller, qid, state }: AuthProgress): void {
    const record = this.target.controller(controller)?.qpairs.get(qid);
    if (record !== undefined)
      record.auth = { hash: record.auth?.hash ?? 0, dhgroup: record.auth?.dhgroup ?? -1, state };
  }

  /** A queue pair is gone. */
  forget(place: { controller: number; qid: number }): void {
    this.challenges.delete(this.key(place));
  }

  stop(): Promise<void> {
    return this.pool.stop();
  }
}
