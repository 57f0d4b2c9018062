export { createSockGroup } from './create-group.ts';
export { PosixSockGroup } from './posix-group.ts';
export * from './sock.ts';
export { UringSockGroup } from './uring-group.ts';

/** Names of the implementations, the fastest first. */
export const sockImplementations = ['uring', 'posix'] as const;

/** URL of the reactor half. */
export const sockReactorEntry: string = new URL('./reactor.js', import.meta.url).href;
