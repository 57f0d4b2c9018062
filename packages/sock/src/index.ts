export { PosixSockGroup } from './posix-group.ts';
export * from './sock.ts';
