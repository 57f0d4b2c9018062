/**
 * The vfio-user protocol (version 0.1; QEMU's docs/interop/vfio-user.rst): codecs of all messages for both sides, and the
 * channel that carries them. Numbers are little-endian, as on every machine that this runs on; 64-bit fields are
 * plain numbers below 2^52, and messages with larger ones are refused. What is malformed is refused with a
 * {@link VfioUserError} that has the errno for the reply.
 */
export * from './channel.ts';
export * from './client.ts';
export * from './descriptors.ts';
export * from './device-info.ts';
export * from './dma.ts';
export * from './errors.ts';
export * from './header.ts';
export * from './irqs.ts';
export * from './protocol.ts';
export * from './region-access.ts';
export * from './server.ts';
export * from './version.ts';
