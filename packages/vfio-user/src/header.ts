import { Errno, VfioUserError } from './errors.ts';
import { viewOf } from './fields.ts';
import { HEADER_BYTES, HeaderFlag } from './protocol.ts';

/** A message's header; `size` counts it and the payload, `error` is an errno number or 0. */
export interface Header {
  readonly id: number;
  readonly command: number;
  readonly size: number;
  readonly flags: number;
  readonly error: number;
}

const KNOWN_FLAGS = HeaderFlag.typeMask | HeaderFlag.noReply | HeaderFlag.error;

/**
 * Reads a header. Throws a fatal VfioUserError if the size is none that a message of at most `maxBytes` has, or its type
 * is unknown: where the next message begins is then not known either.
 */
export function parseHeader(bytes: Uint8Array, maxBytes: number): Header {
  const view = viewOf(bytes);
  const size = view.getUint32(4, true);
  const flags = view.getUint32(8, true);
  const type = flags & HeaderFlag.typeMask;
  if (size < HEADER_BYTES || size > maxBytes)
    throw new VfioUserError(
      Errno.EINVAL,
      `a message of ${size} bytes: there are ${HEADER_BYTES} … ${maxBytes}`,
      true,
    );
  if (type > HeaderFlag.reply || (flags & ~KNOWN_FLAGS) !== 0)
    throw new VfioUserError(Errno.EINVAL, `header flags 0x${flags.toString(16)} are unknown`, true);
  const error = view.getUint32(12, true);
  return { id: view.getUint16(0, true), command: view.getUint16(2, true), size, flags, error };
}

/** A message: its header, and the payload behind it. */
export function encodeMessage(
  header: { readonly id: number; readonly command: number; readonly flags: number; readonly error?: number },
  payload: Uint8Array = nothing,
): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  const view = viewOf(bytes);
  view.setUint16(0, header.id, true);
  view.setUint16(2, header.command, true);
  view.setUint32(4, bytes.length, true);
  view.setUint32(8, header.flags, true);
  view.setUint32(12, header.error ?? 0, true);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

const nothing = new Uint8Array(0);

/** A command. */
export function encodeCommand(
  id: number,
  command: number,
  payload: Uint8Array = nothing,
  noReply = false,
): Uint8Array {
  return encodeMessage({ id, command, flags: noReply ? HeaderFlag.noReply : HeaderFlag.command }, payload);
}

/** The reply to a command that went well. */
export function encodeReply(id: number, command: number, payload: Uint8Array = nothing): Uint8Array {
  return encodeMessage({ id, command, flags: HeaderFlag.reply }, payload);
}

/** The reply to a command that did not: a header alone, with an errno number. */
export function encodeErrorReply(id: number, command: number, errno: number): Uint8Array {
  return encodeMessage({ id, command, flags: HeaderFlag.reply | HeaderFlag.error, error: errno });
}
