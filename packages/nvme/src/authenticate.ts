import { randomBytes } from 'node:crypto';
import {
  controllerResponse,
  DhPool,
  dhchapGroup,
  dhchapHash,
  equalSecrets,
  groupLength,
  hashLength,
  hostResponse,
  parseDhchapSecret,
  type ResponseInput,
  transformDhchapSecret,
} from '@spdk-ts/nvme-auth';
import {
  type AuthChallenge,
  authFailure,
  authFailureMessage,
  authHeader,
  authId,
  authReceive,
  authSend,
  authType,
  decodeAuthChallenge,
  decodeAuthSuccess1,
  encodeAuthFailure,
  encodeAuthNegotiate,
  encodeAuthReply,
  encodeAuthSuccess2,
} from '@spdk-ts/nvme-spec';
import type { Commands } from './commands.ts';
import { NvmeError } from './errors.ts';
import type { AuthParams } from './io-queue.ts';

/** More than the longest message: a challenge with a value of the largest group, 1024 bytes. */
const MESSAGE_BYTES = 2048;

/** Shared by all queues of a thread: the mathematics are not for a reactor. */
const pool = new DhPool();
let transactions = 0;

/**
 * DH-HMAC-CHAP (Base 2.0, 8.13.5) on a queue that has been connected. Rejects with an {@link NvmeError}: EAUTH if either side does
 * not believe the other, EINVAL for a key that is none.
 */
export async function authenticate(commands: Commands, params: AuthParams): Promise<void> {
  await new Exchange(commands, params).run();
}

class Exchange {
  private readonly commands: Commands;
  private readonly params: AuthParams;
  private readonly tId: number;
  /** What is offered, by number. */
  private readonly hashes: readonly number[];
  private readonly groups: readonly number[];

  constructor(commands: Commands, params: AuthParams) {
    this.commands = commands;
    this.params = params;
    transactions = (transactions + 1) & 0xffff;
    this.tId = transactions;
    this.hashes = params.dhchap_digests.map((name) => dhchapHash[name]);
    this.groups = params.dhchap_dhgroups.map((name) => dhchapGroup[name]);
  }

  async run(): Promise<void> {
    const { hashes, groups } = this;
    const { hostnqn, subnqn, dhchap_key, dhchap_ctrlr_key } = this.params;
    const key = keyOf('dhchap_key', dhchap_key, hostnqn);
    const ctrlrKey = dhchap_ctrlr_key === '' ? null : keyOf('dhchap_ctrlr_key', dhchap_ctrlr_key, subnqn);
    await this.send(encodeAuthNegotiate({ tId: this.tId, scC: 0, hashes, groups }), 'AUTH_Negotiate');
    const challenge = decodeAuthChallenge(await this.receive(authId.challenge));
    if (challenge === null || challenge.tId !== this.tId)
      throw await this.refuse(authFailure.incorrectPayload);
    const { hashId: hash, seqnum } = challenge;
    if (!hashes.includes(hash) || challenge.cval.length !== hashLength(hash))
      throw await this.refuse(authFailure.hashNotUsable);
    const { secret, dhv } = await this.agree(challenge);
    const common = { hash, secret, t_id: this.tId, sc_c: 0 };
    const rval = hostResponse({ ...common, key, challenge: challenge.cval, seqnum }, hostnqn, subnqn);
    const own = ctrlrKey === null ? null : new Uint8Array(randomBytes(hashLength(hash)));
    const ownSeqnum = own === null ? 0 : 1 + (randomBytes(4).readUInt32LE() % 0xffff_fffe);
    await this.send(encodeAuthReply({ tId: this.tId, rval, cval: own, seqnum: ownSeqnum, dhv }), 'the reply');
    const success = decodeAuthSuccess1(await this.receive(authId.success1));
    if (success === null || success.tId !== this.tId) throw await this.refuse(authFailure.incorrectPayload);
    if (own === null || ctrlrKey === null) return;
    const input: ResponseInput = { ...common, key: ctrlrKey, challenge: own, seqnum: ownSeqnum };
    const wanted = controllerResponse(input, hostnqn, subnqn);
    if (success.rval === null || !equalSecrets(success.rval, wanted))
      throw await this.refuse(authFailure.failed);
    await this.send(encodeAuthSuccess2(this.tId), 'Success2');
  }

  /** Our half of the Diffie-Hellman exchange, and its secret. */
  private async agree({
    dhgId,
    dhv,
  }: AuthChallenge): Promise<{ secret: Uint8Array | null; dhv: Uint8Array }> {
    if (!this.groups.includes(dhgId)) throw await this.refuse(authFailure.dhGroupNotUsable);
    if (dhgId === dhchapGroup.null) return { secret: null, dhv: new Uint8Array(0) };
    if (dhv.length > groupLength(dhgId)) throw await this.refuse(authFailure.dhGroupNotUsable);
    const { privateKey, publicKey } = await pool.generate(dhgId);
    const secret = await pool.derive(dhgId, privateKey, dhv);
    if (secret === null) throw await this.refuse(authFailure.incorrectPayload);
    return { secret, dhv: publicKey };
  }

  private async send(message: Uint8Array, what: string): Promise<void> {
    const name = `Authentication Send (${what})`;
    await this.commands.succeed(authSend(message.length), { out: message, what: name });
  }

  private async receive(wanted: number): Promise<Uint8Array> {
    const data = { in: MESSAGE_BYTES, may_be_short: true, what: 'Authentication Receive' };
    const { data: message } = await this.commands.succeed(authReceive(MESSAGE_BYTES), data);
    if (message.length < authFailureMessage.size) throw await this.refuse(authFailure.incorrectPayload);
    const head = authHeader.decode(message);
    if (head.authType === authType.dhchap && head.authId === wanted) return message;
    if (head.authId !== authId.failure1) throw await this.refuse(authFailure.incorrectProtocolMessage);
    const { rce } = authFailureMessage.decode(message);
    throw this.error(`the controller refuses: ${explain(rce)}`);
  }

  /** Tells the controller why it is not believed. */
  private async refuse(explanation: number): Promise<NvmeError> {
    const message = encodeAuthFailure(authId.failure2, this.tId, explanation);
    await this.send(message, 'Failure2').catch(() => {}); // what counts is that we leave
    return this.error(`the controller is not believed: ${explain(explanation)}`);
  }

  private error(why: string): NvmeError {
    return new NvmeError('EAUTH', `${this.commands.qpair.name}: DH-HMAC-CHAP: ${why}`);
  }
}

function keyOf(name: string, text: string, nqn: string): Uint8Array {
  try {
    return transformDhchapSecret(parseDhchapSecret(text.trim()), nqn);
  } catch (error) {
    throw new NvmeError('EINVAL', `${name}: ${(error as Error).message}`);
  }
}

const explanations: Readonly<Record<number, string>> = {
  [authFailure.failed]: 'authentication failed (the keys differ)',
  [authFailure.protocolNotUsable]: 'no common authentication protocol',
  [authFailure.secureChannelMismatch]: 'secure channel concatenation differs',
  [authFailure.hashNotUsable]: 'no common hash function',
  [authFailure.dhGroupNotUsable]: 'no common Diffie-Hellman group',
  [authFailure.incorrectPayload]: 'a message with a wrong payload',
  [authFailure.incorrectProtocolMessage]: 'a message out of order',
};

const explain = (explanation: number): string => explanations[explanation] ?? `explanation ${explanation}`;
