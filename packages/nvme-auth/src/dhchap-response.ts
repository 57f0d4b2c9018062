import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { hashName } from './algorithms.ts';

/** What a response is made of, beside the key and the challenge. */
export interface ResponseInput {
  /** Hash function of the exchange. */
  readonly hash: number;
  /** The transformed key. */
  readonly key: Uint8Array;
  readonly challenge: Uint8Array;
  /** g^xy mod p, or null with the null group. */
  readonly secret: Uint8Array | null;
  readonly seqnum: number;
  readonly t_id: number;
  readonly sc_c: number;
}

/** The augmented challenge (Base 2.0, 8.13.5.3): bound to the Diffie-Hellman secret, if there is one. */
export function augmentChallenge(hash: number, challenge: Uint8Array, secret: Uint8Array | null): Uint8Array {
  if (secret === null) return challenge;
  const name = hashName(hash);
  return createHmac(name, createHash(name).update(secret).digest()).update(challenge).digest();
}

function response(input: ResponseInput, role: string, nqn: string, peer: string): Uint8Array {
  const { hash, key, challenge, secret, seqnum, t_id, sc_c } = input;
  const numbers = Buffer.alloc(7);
  numbers.writeUInt32LE(seqnum, 0);
  numbers.writeUInt16LE(t_id, 4);
  numbers.writeUInt8(sc_c, 6);
  return createHmac(hashName(hash), key)
    .update(augmentChallenge(hash, challenge, secret))
    .update(numbers)
    .update(role)
    .update(nqn)
    .update(Buffer.of(0))
    .update(peer)
    .digest();
}

/** R1: what the host answers to the controller's challenge C1. */
export function hostResponse(input: ResponseInput, hostnqn: string, subnqn: string): Uint8Array {
  return response(input, 'HostHost', hostnqn, subnqn);
}

/** R2: what the controller answers to the host's challenge C2. */
export function controllerResponse(input: ResponseInput, hostnqn: string, subnqn: string): Uint8Array {
  return response(input, 'Controller', subnqn, hostnqn);
}

/** Compares in a time that does not tell where they differ. */
export function equalSecrets(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
