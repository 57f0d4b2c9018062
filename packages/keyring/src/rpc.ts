import type { RpcServer } from '@spdk-ts/rpc';
import type { Keyring } from './keyring.ts';

/** What registers handlers: the part of RpcServer that is needed. */
export type KeyringRegistrar = Pick<RpcServer, 'register'>;

/** Answers the methods `keyring_*`. */
export function registerKeyringRpcs(rpc: KeyringRegistrar, keyring: Keyring): void {
  rpc.register('keyring_file_add_key', ({ name, path }) => {
    keyring.addFile(name, path);
  });
  rpc.register('keyring_file_remove_key', ({ name }) => {
    keyring.remove(name);
  });
  rpc.register('keyring_get_keys', () => keyring.list());
}
