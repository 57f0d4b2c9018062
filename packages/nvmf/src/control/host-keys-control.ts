import type { Key, Keyring } from '@spdk-ts/keyring';
import {
  parseDhchapSecret,
  parseInterchangePsk,
  pskHash,
  pskHashOf,
  retainedPsk,
  type TlsPsk,
  tlsPsk,
  type WrittenKey,
} from '@spdk-ts/nvme-auth';
import { invalidParams } from '@spdk-ts/rpc';
import type { HostOptions } from './subsystem.ts';

/** Identities longer than this are refused by OpenSSL, and make the context of a key too long. */
const IDENTITY_MAX = 255;

const parameters = ['psk', 'dhchap_key', 'dhchap_ctrlr_key'] as const;
type Parameter = (typeof parameters)[number];

/** Keys of one host for one subsystem: held in the keyring as long as the host is on the subsystem's list. */
export interface HostKeys {
  readonly dhchap: Key | null;
  readonly ctrlr: Key | null;
  readonly psk: Key | null;
  /** What TLS connections of the host are established with. */
  readonly tls: readonly TlsPsk[];
}

function take<T>(keyring: Keyring, parameter: Parameter, name: string, read: (text: string) => T): [Key, T] {
  if (!keyring.has(name))
    throw invalidParams(
      `${parameter}: there is no key "${name}" in the keyring; add it with keyring_file_add_key`,
      parameter,
    );
  const key = keyring.get(name);
  try {
    return [key, read(key.read())];
  } catch (error) {
    key.put();
    throw invalidParams(`${parameter}: key "${name}" cannot be used: ${(error as Error).message}`, parameter);
  }
}

/** The TLS keys of both versions of identities. Throws an Error that says why there are none. */
function tlsKeys(text: string, hostnqn: string, subnqn: string): TlsPsk[] {
  const retained = retainedPsk(parseInterchangePsk(text), hostnqn);
  if (pskHashOf(retained) !== pskHash.sha256)
    throw new Error(
      'it has 48 bytes, which belong to TLS_AES_256_GCM_SHA384, and the TLS of Node.js takes pre-shared keys with ' +
        'TLS_AES_128_GCM_SHA256 only; make one of 32 bytes (nvme gen-tls-key --hmac 1)',
    );
  const keys = [tlsPsk(0, retained, hostnqn, subnqn), tlsPsk(1, retained, hostnqn, subnqn)];
  const possible = keys.filter(({ identity }) => identity.length <= IDENTITY_MAX);
  if (possible.length === 0)
    throw new Error(
      `its identity has ${keys[0]!.identity.length} characters, of which ${IDENTITY_MAX} are possible: the NQNs are too long`,
    );
  return possible;
}

/** Holds the keys that a host's options name. Throws an RPC error -32602 that names the parameter. */
export function holdHostKeys(
  keyring: Keyring,
  options: HostOptions,
  hostnqn: string,
  subnqn: string,
): HostKeys {
  const { psk, dhchap_key, dhchap_ctrlr_key } = options;
  if (dhchap_ctrlr_key !== undefined && dhchap_key === undefined)
    throw invalidParams(
      'dhchap_ctrlr_key needs dhchap_key: the host proves itself first',
      'dhchap_ctrlr_key',
    );
  const held: Key[] = [];
  const get = <T>(parameter: Parameter, name: string, read: (text: string) => T): [Key, T] => {
    const taken = take(keyring, parameter, name, read);
    held.push(taken[0]);
    return taken;
  };
  try {
    const dhchap = dhchap_key === undefined ? null : get('dhchap_key', dhchap_key, parseDhchapSecret)[0];
    const ctrlr =
      dhchap_ctrlr_key === undefined ? null : get('dhchap_ctrlr_key', dhchap_ctrlr_key, parseDhchapSecret)[0];
    if (psk === undefined) return { dhchap, ctrlr, psk: null, tls: [] };
    const [key, tls] = get('psk', psk, (text) => tlsKeys(text, hostnqn, subnqn));
    return { dhchap, ctrlr, psk: key, tls };
  } catch (error) {
    for (const key of held) key.put();
    throw error;
  }
}

/** A DH-HMAC-CHAP secret as it is now. Throws an Error that says why it cannot be had. */
export function readSecret(key: Key): WrittenKey {
  return parseDhchapSecret(key.read());
}
