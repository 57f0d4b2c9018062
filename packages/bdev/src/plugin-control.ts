import type { ReactorHost } from '@spdk-ts/reactor';
import type { Method } from '@spdk-ts/rpc-schema';
import type { BdevRegistry } from './registry-control.ts';
import type { RpcRegistrar } from './rpc-control.ts';

/** Version of what this package offers to modules; a change that breaks modules raises it. */
export const BDEV_PLUGIN_API = 1;

/** Something that a module can or cannot do on this machine. */
export interface ModuleCapability {
  /** Such as `bdev_uring`. */
  readonly name: string;
  /** Why it is not available; empty if it is. */
  readonly unavailable: string;
}

/** What a bdev module's package exports by default: its control half and where its reactor half is. */
export interface BdevControlPlugin {
  /** Lower case, digits and underscores. Bdevs of the module carry it. */
  readonly name: string;
  /** The {@link BDEV_PLUGIN_API} it was written for. Modules from outside of the framework must say it. */
  readonly api?: number;
  /** Descriptions of its RPC methods, which are in the schema when `setup` is called. */
  readonly methods?: readonly Method[];
  /** URL of the module whose default export is the reactor half's ReactorPlugin. Loaded after the bdev layer's. */
  readonly reactorEntry: string;
  /** Registers the module with the registry, and its methods with the RPC server. */
  setup(context: BdevPluginContext): void | Promise<void>;
  /** What it found on this machine, for framework_get_capabilities. May be called before `setup`, and more than once. */
  capabilities?(host: ReactorHost): readonly ModuleCapability[] | Promise<readonly ModuleCapability[]>;
}

/** A key that a module uses: what it is, read anew each time, and that it is not used any more. */
export interface ModuleKey {
  /** Throws an Error that says why it cannot be read. */
  read(): string;
  put(): void;
}

/** Keys by name: of the framework's keyring. */
export interface ModuleKeyring {
  has(name: string): boolean;
  /** Holds a key. Throws an Error if there is none of that name. */
  get(name: string): ModuleKey;
}

export interface BdevPluginContext {
  readonly host: ReactorHost;
  readonly bdevs: BdevRegistry;
  readonly rpc: RpcRegistrar;
  /** Absent where nothing has keys, in tests say. */
  readonly keyring?: ModuleKeyring;
}
