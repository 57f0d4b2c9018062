import type { ReactorHost } from '@spdk-ts/reactor';
import type { BdevRegistry } from './registry-control.ts';
import type { RpcRegistrar } from './rpc-control.ts';

/** What a bdev module's package exports by default: its control half and where its reactor half is. */
export interface BdevControlPlugin {
  readonly name: string;
  /** URL of the module whose default export is the reactor half's ReactorPlugin. Loaded after the bdev layer's. */
  readonly reactorEntry: string;
  /** Registers the module with the registry, and its methods with the RPC server. */
  setup(context: BdevPluginContext): void | Promise<void>;
}

export interface BdevPluginContext {
  readonly host: ReactorHost;
  readonly bdevs: BdevRegistry;
  readonly rpc: RpcRegistrar;
}
