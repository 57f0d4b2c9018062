/** The control half. What runs on reactors is `@spdk-ts/nvmf/data-plane`, which no control thread need load. */
export type { ConfigCall } from './control/config.ts';
export type { ListenerParams } from './control/listeners.ts';
export { registerNvmfRpcs } from './control/rpc.ts';
export type { RpcRegistrar } from './control/rpc-common.ts';
export { NvmfTarget, type NvmfTargetParts, type TargetConfig } from './control/target.ts';

/** The target's plugin for reactors: after those of the block device layer and its modules. */
export const nvmfReactorEntry: string = new URL('./reactor.js', import.meta.url).href;
