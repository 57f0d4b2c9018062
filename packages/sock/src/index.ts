export { createSockGroup, hasSockImplementation, type SockImplementation } from './create-group.ts';
export { PosixSockGroup } from './posix-group.ts';
export * from './sock.ts';
export { UringSockGroup } from './uring-group.ts';
