import {
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyPairKeyObjectResult,
} from 'node:crypto';
import { dhchapGroup, groupLength } from './algorithms.ts';
import { exponentOf, privateKeyInfo, publicKeyInfo, publicValueOf } from './dh-der.ts';

/**
 * The groups of RFC 7919, appendix A. Node.js names only those of RFC 3526, so their primes are made by the RFC's
 * formula,
 *
 *     p = 2^b - 2^(b-64) + (floor(2^(b-130) e) + X) 2^64 - 1
 *
 * from which OpenSSL recognizes them: it then knows that they are safe, and how long a private exponent need be.
 */
const offsets = new Map<number, bigint>([
  [dhchapGroup.ffdhe2048, 560_316n],
  [dhchapGroup.ffdhe3072, 2_625_351n],
  [dhchapGroup.ffdhe4096, 5_736_041n],
  [dhchapGroup.ffdhe6144, 15_705_020n],
  [dhchapGroup.ffdhe8192, 10_965_728n],
]);

const GENERATOR = 2;
/** Bits beyond those wanted, so that the truncated terms of the series do not reach them. */
const GUARD_BITS = 64n;

/** floor(2^bits e), by the series of 1/k!. */
function scaledE(bits: bigint): bigint {
  let sum = 0n;
  let term = 1n << (bits + GUARD_BITS);
  for (let k = 1n; term > 0n; k++) {
    sum += term;
    term /= k;
  }
  return sum >> GUARD_BITS;
}

const primes = new Map<number, Buffer>();

/** The prime of a group, big-endian. Throws RangeError for the null group and for numbers that are no group. */
export function groupPrime(group: number): Buffer {
  const known = primes.get(group);
  if (known !== undefined) return known;
  const offset = offsets.get(group);
  if (offset === undefined) throw new RangeError(`${group} is no Diffie-Hellman group: they are 1 to 5`);
  const bytes = groupLength(group);
  const b = BigInt(8 * bytes);
  const p = (1n << b) - (1n << (b - 64n)) + ((scaledE(b - 130n) + offset) << 64n) - 1n;
  const prime = Buffer.from(p.toString(16), 'hex');
  primes.set(group, prime);
  return prime;
}

export interface DhKeyPair {
  readonly privateKey: Uint8Array;
  /** g^x mod p, big-endian, with leading zeros to the length of the prime. */
  readonly publicKey: Uint8Array;
}

function padded(bytes: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length);
  out.set(bytes, length - bytes.length);
  return out;
}

/** What the types of Node.js 20 leave out of generateKeyPairSync. */
const generateDhPair = generateKeyPairSync as unknown as (
  type: 'dh',
  options: { prime: Buffer; generator: number },
) => KeyPairKeyObjectResult;

/**
 * An ephemeral key pair. Takes milliseconds: not for a reactor's thread. (By key objects: the class DiffieHellman tests its
 * prime anew each time, in newer versions of OpenSSL for minutes.)
 */
export function generateDhKeys(group: number): DhKeyPair {
  const pair = generateDhPair('dh', { prime: groupPrime(group), generator: GENERATOR });
  const value = publicValueOf(pair.publicKey.export({ type: 'spki', format: 'der' }));
  const exponent = exponentOf(pair.privateKey.export({ type: 'pkcs8', format: 'der' }));
  return { privateKey: new Uint8Array(exponent), publicKey: padded(value, groupLength(group)) };
}

/** 2 … p - 2: of a safe prime, all else are the elements of its small subgroups (NIST SP 800-56A, 5.6.2.3.1). */
function isInRange(value: Uint8Array, prime: Uint8Array): boolean {
  const number = BigInt(`0x${Buffer.from(value).toString('hex') || '0'}`);
  return number >= 2n && number <= BigInt(`0x${Buffer.from(prime).toString('hex')}`) - 2n;
}

/**
 * g^xy mod p, with leading zeros to the length of the prime; null for a peer's value that is not within 2 … p - 2 or
 * not in the group. Takes up to a second for the largest group: not for a reactor's thread.
 */
export function sharedDhSecret(group: number, privateKey: Uint8Array, peer: Uint8Array): Uint8Array | null {
  const prime = groupPrime(group);
  if (!isInRange(peer, prime)) return null;
  try {
    const own = privateKeyInfo(prime, GENERATOR, privateKey);
    const theirs = publicKeyInfo(prime, GENERATOR, peer);
    const secret = diffieHellman({
      privateKey: createPrivateKey({ key: own, format: 'der', type: 'pkcs8' }),
      publicKey: createPublicKey({ key: theirs, format: 'der', type: 'spki' }),
    });
    return padded(secret, groupLength(group));
  } catch {
    return null;
  }
}
