import { native } from '@spdk-ts/native';
import type { Reactor } from '@spdk-ts/reactor';
import { PosixSockGroup } from './posix-group.ts';
import type { SockGroup, SockOptions } from './sock.ts';
import { UringSockGroup } from './uring-group.ts';

/** Names of the implementations. */
export type SockImplementation = 'posix' | 'uring';

/** True if this reactor can have an implementation. */
export function hasSockImplementation(reactor: Reactor, name: string): boolean {
  return name === 'posix' || (name === 'uring' && native !== null && reactor.ring !== null);
}

/** A reactor's sockets by the best implementation that it has: io_uring with the addon, else node:net. */
export function createSockGroup(reactor: Reactor, options?: SockOptions): SockGroup {
  if (native !== null && reactor.ring !== null)
    return new UringSockGroup(reactor, native, reactor.ring, options);
  return new PosixSockGroup(reactor, options);
}
