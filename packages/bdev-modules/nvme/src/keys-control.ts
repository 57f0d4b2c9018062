import type { ModuleKey, ModuleKeyring } from '@spdk-ts/bdev';
import type { NvmeOptions } from '@spdk-ts/nvme';
import { errnoError } from '@spdk-ts/rpc';

/** Names of keys in the keyring, as calls have them. */
export interface KeyNames {
  readonly psk?: string;
  readonly dhchap_key?: string;
  readonly dhchap_ctrlr_key?: string;
}

const parameters = ['psk', 'dhchap_key', 'dhchap_ctrlr_key'] as const;

export type KeyOptions = Pick<NvmeOptions, (typeof parameters)[number]>;
export type DhchapKeys = Pick<KeyOptions, 'dhchap_key' | 'dhchap_ctrlr_key'>;

/** Keys of the keyring that controllers use, by the call that names them: held there for as long as that is in force. */
export class KeysInUse {
  private readonly keyring: ModuleKeyring | undefined;
  private readonly held = new Map<KeyNames, ModuleKey[]>();

  constructor(keyring: ModuleKeyring | undefined) {
    this.keyring = keyring;
  }

  /** The keys that a call names, which are held until it is released. Throws an RPC error -126 that names the parameter. */
  take(call: KeyNames): KeyOptions {
    const held: ModuleKey[] = [];
    this.held.set(call, held);
    try {
      const [psk, dhchap_key, dhchap_ctrlr_key] = parameters.map((parameter) =>
        this.read(call, parameter, held),
      );
      return { psk: psk!, dhchap_key: dhchap_key!, dhchap_ctrlr_key: dhchap_ctrlr_key! };
    } catch (error) {
      this.release(call);
      throw error;
    }
  }

  private read(call: KeyNames, parameter: (typeof parameters)[number], held: ModuleKey[]): string {
    const name = call[parameter];
    if (name === undefined) return '';
    if (this.keyring === undefined || !this.keyring.has(name))
      throw errnoError('ENOKEY', `${parameter}: there is no key "${name}"; add it with keyring_file_add_key`);
    const key = this.keyring.get(name);
    held.push(key);
    return key.read().trim();
  }

  /** The call is not in force any more. */
  release(call: KeyNames): void {
    for (const key of this.held.get(call) ?? []) key.put();
    this.held.delete(call);
  }
}
