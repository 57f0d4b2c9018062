/**
 * The host's side of DH-HMAC-CHAP, for tests: written from Base 2.0, 8.13.5, on node:crypto and Buffers alone, so that it
 * shares no mistake with the target's.
 */
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { generateDhKeys, sharedDhSecret } from '@spdk-ts/nvme-auth';

/** How the test's queue takes authentication commands: statuses and data as they come. */
export interface AuthExchange {
  send(message: Buffer): Promise<{ status: number }>;
  receive(length: number): Promise<{ status: number; data: Uint8Array }>;
}

export interface DhchapOptions {
  readonly hostnqn: string;
  readonly subnqn: string;
  /** `DHHC-1:…`. */
  readonly secret: string;
  /** The controller is to prove that it has this one. */
  readonly ctrlSecret?: string;
  /** What is offered, by number. */
  readonly hashes?: readonly number[];
  readonly groups?: readonly number[];
  readonly tId?: number;
  /** Spoils messages on their way out: called with the name of each. */
  readonly spoil?: (name: 'negotiate' | 'reply' | 'success2', message: Buffer) => Buffer;
  /** Sees every message of both directions. */
  readonly record?: (message: Buffer) => void;
}

export type DhchapResult =
  | { readonly ok: true; readonly hash: number; readonly group: number }
  /** A failure that the target told, or that this host found. */
  | { readonly ok: false; readonly explanation: number; readonly by: 'target' | 'host' };

const hashes = ['', 'sha256', 'sha384', 'sha512'];

/** Primes of RFC 7919 are long; tests take them from the target's package and check the exchange with them. */
export type PrimeOf = (group: number) => Buffer;

function keyOf(secret: string, nqn: string): Buffer {
  const [, digits, base64] = secret.split(':');
  const raw = Buffer.from(base64!, 'base64');
  const key = raw.subarray(0, raw.length - 4);
  if (digits === '00') return key;
  return createHmac(hashes[Number(digits)]!, key).update(`${nqn}NVMe-over-Fabrics`).digest();
}

function respond(
  hash: string,
  key: Buffer,
  challenge: Buffer,
  shared: Buffer | null,
  numbers: { seqnum: number; tId: number },
  text: string,
): Buffer {
  const augmented =
    shared === null
      ? challenge
      : createHmac(hash, createHash(hash).update(shared).digest()).update(challenge).digest();
  const fixed = Buffer.alloc(7);
  fixed.writeUInt32LE(numbers.seqnum, 0);
  fixed.writeUInt16LE(numbers.tId, 4);
  return createHmac(hash, key)
    .update(Buffer.concat([augmented, fixed, Buffer.from(text)]))
    .digest();
}

function negotiation(tId: number, hashIds: readonly number[], groupIds: readonly number[]): Buffer {
  const out = Buffer.alloc(72);
  out.writeUInt16LE(tId, 4);
  out[7] = 1;
  out[8] = 1;
  out[10] = hashIds.length;
  out[11] = groupIds.length;
  out.set(hashIds, 12);
  out.set(groupIds, 42);
  return out;
}

/** Thrown when a command of the exchange does not succeed. */
export class AuthStatusError extends Error {
  readonly status: number;
  constructor(what: string, status: number) {
    super(`${what}: status ${status.toString(16)}`);
    this.status = status;
  }
}

/** Authenticates a queue. Throws {@link AuthStatusError} if a command fails. */
export async function authenticate(
  exchange: AuthExchange,
  options: DhchapOptions,
  primeOf: PrimeOf,
): Promise<DhchapResult> {
  const { hostnqn, subnqn, secret, ctrlSecret, tId = 0x4711 } = options;
  const { spoil = (_, message) => message, record = () => {} } = options;
  const send = async (name: 'negotiate' | 'reply' | 'success2', message: Buffer): Promise<void> => {
    const out = spoil(name, message);
    record(out);
    const { status } = await exchange.send(out);
    if (status !== 0) throw new AuthStatusError(name, status);
  };
  const receive = async (): Promise<Buffer> => {
    const { status, data } = await exchange.receive(2048);
    if (status !== 0) throw new AuthStatusError('receive', status);
    record(Buffer.from(data));
    return Buffer.from(data);
  };
  const failed = (message: Buffer): DhchapResult | null =>
    message[0] === 0 && message[1] === 0xf1 ? { ok: false, explanation: message[7]!, by: 'target' } : null;

  await send(
    'negotiate',
    negotiation(tId, options.hashes ?? [1, 2, 3], options.groups ?? [0, 1, 2, 3, 4, 5]),
  );
  const challenge = await receive();
  const early = failed(challenge);
  if (early !== null) return early;
  if (challenge[0] !== 1 || challenge[1] !== 1 || challenge.readUInt16LE(4) !== tId)
    throw new Error('no challenge');
  const hl = challenge[6]!;
  const hashId = challenge[8]!;
  const group = challenge[9]!;
  const dhvlen = challenge.readUInt16LE(10);
  const c1 = challenge.subarray(16, 16 + hl);
  const hash = hashes[hashId]!;

  let shared: Buffer | null = null;
  let own: Buffer = Buffer.alloc(0);
  if (group !== 0) {
    const length = primeOf(group).length;
    if (dhvlen !== length) throw new Error(`a DH value of ${dhvlen} bytes`);
    const { privateKey, publicKey } = generateDhKeys(group);
    own = Buffer.from(publicKey);
    shared = Buffer.from(sharedDhSecret(group, privateKey, challenge.subarray(16 + hl, 16 + hl + dhvlen))!);
  }
  const reply = Buffer.alloc(16 + 2 * hl + own.length);
  reply[0] = 1;
  reply[1] = 2;
  reply.writeUInt16LE(tId, 4);
  reply[6] = hl;
  reply[8] = ctrlSecret === undefined ? 0 : 1;
  reply.writeUInt16LE(own.length, 10);
  const seqnum = ctrlSecret === undefined ? 0 : 0x0badcafe;
  reply.writeUInt32LE(seqnum, 12);
  const s1 = { seqnum: challenge.readUInt32LE(12), tId };
  respond(hash, keyOf(secret, hostnqn), c1, shared, s1, `HostHost${hostnqn}\0${subnqn}`).copy(reply, 16);
  const c2 = randomBytes(hl);
  if (ctrlSecret !== undefined) c2.copy(reply, 16 + hl);
  own.copy(reply, 16 + 2 * hl);
  await send('reply', reply);

  const verdict = await receive();
  const late = failed(verdict);
  if (late !== null) return late;
  if (verdict[0] !== 1 || verdict[1] !== 3 || verdict.readUInt16LE(4) !== tId) throw new Error('no success1');
  if (ctrlSecret !== undefined) {
    const text = `Controller${subnqn}\0${hostnqn}`;
    const r2 = respond(hash, keyOf(ctrlSecret, subnqn), c2, shared, { seqnum, tId }, text);
    if (verdict[8] !== 1 || Buffer.compare(r2, verdict.subarray(16, 16 + hl)) !== 0) {
      const failure = Buffer.alloc(8);
      failure[1] = 0xf0;
      failure.writeUInt16LE(tId, 4);
      failure.set([1, 1], 6);
      await exchange.send(failure);
      return { ok: false, explanation: 1, by: 'host' };
    }
    const success2 = Buffer.alloc(16);
    success2.set([1, 4]);
    success2.writeUInt16LE(tId, 4);
    await send('success2', success2);
  }
  return { ok: true, hash: hashId, group };
}
