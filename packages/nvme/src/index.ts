export { reportsAna } from './ana.ts';
export { AsyncEvents, getLogPage } from './async-events.ts';
export { type CommandFault, CommandFaults } from './command-faults.ts';
export {
  type CommandData,
  type CommandFields,
  CommandSender,
  Commands,
  type Completion,
} from './commands.ts';
export { Connection, connect, Namespace } from './connect.ts';
export { type ControllerEvent, type ControllerState, NvmeController } from './controller.ts';
export {
  addressKey,
  type DiscoveryLog,
  type ReadLog,
  readDiscoveryLog,
  readReferrals,
  recordTransportId,
  splitDiscoveryLog,
} from './discovery.ts';
export { type Discovered, DiscoveryService } from './discovery-service.ts';
export { describeStatus, hostStatus, NvmeError, type NvmeErrorCode } from './errors.ts';
export { EventStream } from './event-stream.ts';
export {
  type AuthParams,
  authenticateQueue,
  type IoQueueParams,
  openIoQueue,
  reopenIoQueue,
} from './io-queue.ts';
export type {
  CommandLimits,
  KeyValueNamespace,
  NamespaceProtection,
  ZonedNamespace,
} from './namespace-kinds.ts';
export {
  activeNamespaces,
  describeNamespace,
  identify,
  type NamespaceInfo,
  unmapZeroes,
} from './namespaces.ts';
export { defaultHostnqn, type NvmeTarget, resolveTarget } from './node-identity.ts';
export { defaultNvmeOptions, type NvmeOptions, nvmeOptions } from './options.ts';
export { PciQpair } from './pci/pci-qpair.ts';
export { NvmePollGroup, type TransportStatistics } from './poll-group.ts';
export { NvmeQpair, QpairState, SubmitError } from './qpair.ts';
export { NvmeRequest, type NvmeRequestOwner, RequestState } from './request.ts';
export { TcpQpair } from './tcp/tcp-qpair.ts';
export { formatTransportId, makeTransportId, parseTransportId, type TransportId } from './transport-id.ts';
