import { createHmac, hkdfSync } from 'node:crypto';
import { readWrittenKey, type WrittenKey, writeKey } from './secret-text.ts';

/**
 * Pre-shared keys of NVMe/TCP over TLS 1.3 (TCP Transport 1.1, 3.6.1): the configured PSK, as people write it down; the
 * retained PSK, bound to a host; the TLS PSK, bound to a host, a subsystem and a cipher suite.
 */

const PREFIX = 'NVMeTLSkey-1';
const LENGTHS = [32, 48];

/** Cipher suites by the hash specifier of identities: 01 and 02. */
export const pskHash = { sha256: 1, sha384: 2 } as const;

const names = ['', 'sha256', 'sha384'] as const;
const lengths = [0, 32, 48];

const nameOf = (hash: number): 'sha256' | 'sha384' => {
  const name = names[hash];
  if (name === undefined || name === '')
    throw new RangeError(`${hash} is no hash of a PSK identity: they are 1 and 2`);
  return name;
};

/**
 * Reads a configured PSK in the interchange format, `NVMeTLSkey-1:xx:base64:`, where xx is the hash function that
 * makes it a retained PSK, 00 for none. Throws an Error that says what is wrong with it.
 */
export function parseInterchangePsk(text: string): WrittenKey {
  const psk = readWrittenKey(text, PREFIX, LENGTHS);
  if (psk.hash > pskHash.sha384)
    throw new Error(`the digits behind "${PREFIX}:" must be 00, 01 or 02 (none, SHA-256, SHA-384)`);
  if (psk.hash !== 0 && lengths[psk.hash] !== psk.key.length)
    throw new Error(
      `a key of hash ${String(psk.hash).padStart(2, '0')} has ${lengths[psk.hash]} bytes, this one ${psk.key.length}`,
    );
  return psk;
}

/** The interchange format of a configured PSK. */
export function formatInterchangePsk(psk: WrittenKey): string {
  return writeKey(PREFIX, psk.hash, psk.key);
}

/** HKDF-Extract with a salt of zeros, then HKDF-Expand-Label (RFC 5869; RFC 8446, 7.1). */
export function hkdfExpandLabel(
  hash: 'sha256' | 'sha384',
  secret: Uint8Array,
  label: string,
  context: string,
  length: number,
): Uint8Array {
  const fullLabel = Buffer.from(`tls13 ${label}`);
  const text = Buffer.from(context);
  if (text.length > 255) throw new RangeError(`a context of ${text.length} bytes: at most 255 are possible`);
  const info = Buffer.concat([
    Buffer.of(length >>> 8, length & 0xff, fullLabel.length),
    fullLabel,
    Buffer.of(text.length),
    text,
  ]);
  return new Uint8Array(hkdfSync(hash, secret, new Uint8Array(0), info, length));
}

/** The retained PSK of a host: the configured one itself where its hash is 00. */
export function retainedPsk(psk: WrittenKey, hostnqn: string): Uint8Array {
  if (psk.hash === 0) return psk.key;
  return hkdfExpandLabel(nameOf(psk.hash), psk.key, 'HostNQN', hostnqn, psk.key.length);
}

/** Which cipher suite's hash a PSK belongs to, by its length. */
export function pskHashOf(psk: Uint8Array): number {
  return psk.length === lengths[pskHash.sha384] ? pskHash.sha384 : pskHash.sha256;
}

export interface TlsPsk {
  /** PSK identity, as the ClientHello has it. */
  readonly identity: string;
  readonly key: Uint8Array;
}

const specifier = (hash: number): string => String(hash).padStart(2, '0');

/** The digest that identities of version 1 end with. */
export function pskDigest(hash: number, retained: Uint8Array, hostnqn: string, subnqn: string): string {
  return createHmac(nameOf(hash), retained).update(`${hostnqn} ${subnqn} NVMe-over-Fabrics`).digest('base64');
}

/**
 * The TLS PSK and its identity for a retained PSK. Version 0 is `NVMe0Rxx HOSTNQN SUBNQN`, version 1 has the PSK's digest
 * behind that. Throws RangeError where the identity of version 0 has more than 255 bytes: it is then too long to
 * derive a key from.
 */
export function tlsPsk(version: 0 | 1, retained: Uint8Array, hostnqn: string, subnqn: string): TlsPsk {
  const hash = pskHashOf(retained);
  const names = `NVMe${version}R${specifier(hash)} ${hostnqn} ${subnqn}`;
  const digest = version === 1 ? pskDigest(hash, retained, hostnqn, subnqn) : '';
  const identity = version === 1 ? `${names} ${digest}` : names;
  const context = version === 1 ? `${specifier(hash)} ${digest}` : identity;
  const key = hkdfExpandLabel(nameOf(hash), retained, 'nvme-tls-psk', context, lengths[hash]!);
  return { identity, key };
}
