export { RemoteError } from './call-link.ts';
export type { ControlLink, ControlService, ReactorPlugin, ReactorService } from './control-link.ts';
export type { ReactorHost, ReactorInfo } from './host.ts';
export { IoChannel, IoDevice } from './io-channel.ts';
export { LocalHost, type LocalHostOptions } from './local-host.ts';
export { NodeLoop, type ReactorMode, reactorModes } from './node-loop.ts';
export { Poller, type PollerState, type PollFunction } from './poller.ts';
export { type MessageHandler, Reactor, type ReactorParts, type Sleeper } from './reactor.ts';
export type {
  PollerStats,
  ReactorStats,
  ThreadChannels,
  ThreadPollers,
  ThreadStats,
} from './statistics.ts';
export { Thread } from './thread.ts';
export {
  defaultUring,
  FIXED_FILE,
  Uring,
  type UringHandler,
  UringOp,
  type UringOptions,
  uringLimits,
} from './uring.ts';
export type { UringMemory } from './uring-buffers.ts';
export type { UringFeature } from './uring-features.ts';
export { WorkerHost, type WorkerHostOptions } from './worker-host.ts';
