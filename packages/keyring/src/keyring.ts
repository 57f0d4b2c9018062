import { errnoError } from '@spdk-ts/rpc';
import { checkKeyFile, readKeyFile } from './key-file.ts';

/** A key that somebody uses. Its content is read from its file whenever it is needed, and not kept. */
export interface Key {
  readonly name: string;
  /** The content. Throws an RPC error that says why it cannot be read: -126 if the key has been removed. */
  read(): string;
  /** The user needs it no more. */
  put(): void;
}

/** Names may be long, but not without end. */
const NAME_MAX = 255;

class FileKey {
  readonly name: string;
  readonly path: string;
  removed = false;
  /** The keyring counts as one user. */
  refcnt = 1;

  constructor(name: string, path: string) {
    this.name = name;
    this.path = path;
  }
}

/** Keys by name, each in a file that only the user of this process can read. */
export class Keyring {
  private readonly keys = new Map<string, FileKey>();
  /** Removed, and still in use. */
  private readonly leaving = new Set<FileKey>();

  /** Adds a key in a file. Throws an RPC error: -17 if the name is taken, or as `checkKeyFile` does. */
  addFile(name: string, path: string): void {
    if (name === '' || name.length > NAME_MAX)
      throw errnoError('EINVAL', `name has ${name.length} characters: give 1 to ${NAME_MAX}`);
    const known = this.keys.get(name);
    if (known !== undefined)
      throw errnoError('EEXIST', `name: there is a key "${name}" already, in ${known.path}`);
    checkKeyFile(path);
    this.keys.set(name, new FileKey(name, path));
  }

  /** Takes a key out. Who uses it cannot read it any more. Throws an RPC error -126 if there is none. */
  remove(name: string): void {
    const key = this.find(name);
    this.keys.delete(name);
    key.removed = true;
    this.leaving.add(key);
    this.put(key);
  }

  private find(name: string): FileKey {
    const key = this.keys.get(name);
    if (key === undefined)
      throw errnoError('ENOKEY', `there is no key "${name}"; keyring_get_keys lists those that exist`);
    return key;
  }

  private put(key: FileKey): void {
    if (--key.refcnt === 0) this.leaving.delete(key);
  }

  /** Whether there is a key of that name. */
  has(name: string): boolean {
    return this.keys.has(name);
  }

  /** Holds a key for a user. Throws an RPC error -126 if there is none. */
  get(name: string): Key {
    const key = this.find(name);
    key.refcnt++;
    let held = true;
    return {
      name,
      read: () => {
        if (key.removed) throw errnoError('ENOKEY', `key "${name}" has been removed from the keyring`);
        return readKeyFile(key.path);
      },
      put: () => {
        if (held) this.put(key);
        held = false;
      },
    };
  }

  /** What keyring_get_keys shows. */
  list(): {
    name: string;
    module: string;
    removed: boolean;
    probed: boolean;
    refcnt: number;
    path?: string;
  }[] {
    return [...this.keys.values(), ...this.leaving].map(({ name, path, removed, refcnt }) => ({
      ...{ name, module: 'keyring_file', removed, probed: false, refcnt },
      ...(!removed && { path }),
    }));
  }

  /** The calls that make it again: names and paths. */
  config(): { method: string; params: Record<string, unknown> }[] {
    return [...this.keys.values()].map(({ name, path }) => ({
      method: 'keyring_file_add_key',
      params: { name, path },
    }));
  }
}
