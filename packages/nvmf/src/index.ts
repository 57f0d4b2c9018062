export type { ConfigCall } from './control/config.ts';
export { type RpcRegistrar, registerNvmfRpcs } from './control/rpc.ts';
export {
  type ListenerParams,
  NvmfTarget,
  type NvmfTargetParts,
  type TargetConfig,
} from './control/target.ts';
export { NvmfController } from './controller.ts';
export { getPollGroup, nvmfReactorPlugin, type PollGroupStats } from './plugin.ts';
export { NvmfPollGroup } from './poll-group.ts';
export { NvmfQpair, type TransportAddress } from './qpair.ts';
export { NvmfRequest, Transfer } from './request.ts';
export { createTcpTransportType, TcpTransport, tcpTransportType } from './tcp/index.ts';
export type { NvmfTransport, NvmfTransportType, TransportOptions } from './transport.ts';

/** The target's plugin for reactors: after those of the block device layer and its modules. */
export const nvmfReactorEntry: string = new URL('./reactor.js', import.meta.url).href;
