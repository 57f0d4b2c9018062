export type { CommandHost, CommandQueue } from './command-queue.ts';
export { CutRelay } from './cut-relay.ts';
export { type AuthExchange, authenticate, type DhchapOptions, type DhchapResult } from './dhchap.ts';
export { Load, type LoadOptions } from './load.ts';
export { type Pdu, PduStream, type TlsKey } from './pdu-stream.ts';
export {
  CC_ENABLED,
  DEFAULT_HOSTID,
  DEFAULT_HOSTNQN,
  type HostOptions,
  pattern,
  RawHost,
  read,
  type WriteWay,
  write,
} from './raw-host.ts';
export {
  type Completion,
  type ConnectAttempt,
  type QueueOptions,
  RawQueue,
  StatusError,
} from './raw-queue.ts';
