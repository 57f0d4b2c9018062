/** What runs on reactors: poll groups, and what a transport is made of. */
export { NvmfController } from './controller.ts';
export { getPollGroup, nvmfReactorPlugin, type PollGroupStats } from './plugin.ts';
export { NvmfPollGroup } from './poll-group.ts';
export { NvmfQpair, type TransportAddress } from './qpair.ts';
export { NvmfRequest, Transfer } from './request.ts';
export { createTcpTransportType, TcpTransport, tcpTransportType } from './tcp/index.ts';
export type { NvmfTransport, NvmfTransportType, TransportOptions } from './transport.ts';
export { vfioUserTransportType } from './vfio-user/transport-type.ts';
export { VfioUserTransport } from './vfio-user/vfio-user-transport.ts';
