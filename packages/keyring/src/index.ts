/** Keys by name. They lie in files; what this package tells of them are names and paths, never contents. */
export { checkKeyFile, readKeyFile } from './key-file.ts';
export { type Key, Keyring } from './keyring.ts';
export { type KeyringRegistrar, registerKeyringRpcs } from './rpc.ts';
