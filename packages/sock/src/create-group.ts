import { native } from '@spdk-ts/native';
import type { Reactor } from '@spdk-ts/reactor';
import { PosixSockGroup } from './posix-group.ts';
import { defaultSockOptions, type SockGroup, type SockOptions } from './sock.ts';
import { UringSockGroup } from './uring-group.ts';

/** What was asked for, by reactor; the best there is where nothing was. */
const chosen = new WeakMap<Reactor, string>();

/** What new groups of a reactor's ring have, where it is not the default. */
const ringOptions = new WeakMap<Reactor, Partial<SockOptions>>();

/** Sets options of a reactor's new groups over io_uring. */
export function setSockOptions(reactor: Reactor, options: Partial<SockOptions>): void {
  ringOptions.set(reactor, options);
}

/** Makes a reactor's new groups be of an implementation, where it has that one. */
export function setSockImplementation(reactor: Reactor, name: string): void {
  chosen.set(reactor, name);
}

/** A group for a reactor: by io_uring if it has a ring and nothing else was asked for, else by node:net. */
export function createSockGroup(reactor: Reactor, options?: Partial<SockOptions>): SockGroup {
  if (native !== null && reactor.ring !== null && chosen.get(reactor) !== 'posix')
    return new UringSockGroup(reactor, native, reactor.ring, {
      ...defaultSockOptions,
      ...ringOptions.get(reactor),
      ...options,
    });
  return new PosixSockGroup(reactor, { ...defaultSockOptions, ...options });
}
