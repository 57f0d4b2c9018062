import { createDiffieHellman } from 'node:crypto';
import { dhchapGroup, groupLength } from './algorithms.ts';

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

/** An ephemeral key pair. Takes milliseconds: not for a reactor's thread. */
export function generateDhKeys(group: number): DhKeyPair {
  const dh = createDiffieHellman(groupPrime(group), GENERATOR);
  const publicKey = padded(dh.generateKeys(), groupLength(group));
  return { privateKey: new Uint8Array(dh.getPrivateKey()), publicKey };
}

/**
 * g^xy mod p, with leading zeros to the length of the prime; null for a peer's value that is not within 2 … p - 2 or
 * not in the group. Takes up to a second for the largest group: not for a reactor's thread.
 */
export function sharedDhSecret(group: number, privateKey: Uint8Array, peer: Uint8Array): Uint8Array | null {
  const dh = createDiffieHellman(groupPrime(group), GENERATOR);
  dh.setPrivateKey(privateKey);
  try {
    return padded(dh.computeSecret(peer), groupLength(group));
  } catch {
    return null;
  }
}
