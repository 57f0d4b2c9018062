/**
 * Constants and codecs of the NVMe specifications; no behaviour, no I/O. Section numbers in this package are of
 * the Base 2.0, NVM Command Set 1.0 and TCP Transport 1.0 specifications; fields added by Base 2.1 are included.
 *
 * What may sit on the path of an I/O (`sqe`, `cqe`, `sgl`, `*-command`, `tcp-*`) takes a DataView and a byte
 * offset and allocates nothing. Data structures of control commands are `struct` tables with `encode` and `decode`.
 * Numbers are what a programmer counts with: fields that the specification makes 0's based become plain counts
 * where a function reads or writes them, and stay raw where a structure shows them.
 */
export * from './admin-command.ts';
export * from './async-event.ts';
export * from './auth.ts';
export * from './bytes.ts';
export * from './cap.ts';
export * from './connect.ts';
export * from './copy-command.ts';
export * from './cqe.ts';
export * from './crc32c.ts';
export * from './dsm-command.ts';
export * from './features.ts';
export * from './identifiers.ts';
export * from './identify-command-set.ts';
export * from './identify-controller.ts';
export * from './identify-controller-bits.ts';
export * from './identify-lists.ts';
export * from './identify-namespace.ts';
export * from './identify-zns.ts';
export * from './kv-command.ts';
export * from './log-ana.ts';
export * from './log-discovery.ts';
export * from './log-effects.ts';
export * from './log-health.ts';
export * from './log-reservation.ts';
export * from './nqn.ts';
export * from './opcodes.ts';
export * from './property.ts';
export * from './registers.ts';
export * from './reservation-command.ts';
export * from './rw-command.ts';
export * from './sgl.ts';
export * from './sqe.ts';
export * from './status.ts';
export * from './status-codes.ts';
export * from './status-text.ts';
export type { Field, Struct, StructValue } from './struct.ts';
export * from './tcp-check.ts';
export * from './tcp-data.ts';
export * from './tcp-ic.ts';
export * from './tcp-pdu.ts';
export * from './tcp-term-req.ts';
export * from './transport.ts';
export * from './unique-ids.ts';
export * from './zone-command.ts';
