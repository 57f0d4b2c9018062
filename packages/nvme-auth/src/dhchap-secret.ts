import { createHmac } from 'node:crypto';
import { hashName } from './algorithms.ts';
import { readWrittenKey, type WrittenKey, writeKey } from './secret-text.ts';

const PREFIX = 'DHHC-1';
const LENGTHS = [32, 48, 64];
const HASH_MAX = 3;

/**
 * Reads a secret in the form of Base 2.0, 8.13.5.8: `DHHC-1:xx:base64:`, where xx is the hash function that transforms
 * it, 00 for none. Throws an Error that says what is wrong with it.
 */
export function parseDhchapSecret(text: string): WrittenKey {
  const secret = readWrittenKey(text, PREFIX, LENGTHS);
  if (secret.hash > HASH_MAX)
    throw new Error(
      `the digits behind "${PREFIX}:" must be 00, 01, 02 or 03 (none, SHA-256, SHA-384, SHA-512)`,
    );
  return secret;
}

/** The written form of a secret. */
export function formatDhchapSecret(secret: WrittenKey): string {
  return writeKey(PREFIX, secret.hash, secret.key);
}

/** The key that responses are made with (8.13.5.7): bound to the NQN of the one that answers with it. */
export function transformDhchapSecret(secret: WrittenKey, nqn: string): Uint8Array {
  if (secret.hash === 0) return secret.key;
  return createHmac(hashName(secret.hash), secret.key).update(nqn).update('NVMe-over-Fabrics').digest();
}
