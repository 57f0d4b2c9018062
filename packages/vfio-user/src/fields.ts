import { invalid } from './errors.ts';
import { ADDRESS_LIMIT } from './protocol.ts';

/** A DataView over bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A 64-bit field as a number; throws EINVAL from 2^52 on. */
export function readU64(view: DataView, offset: number, name: string): number {
  const value = view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 2 ** 32;
  if (value >= ADDRESS_LIMIT) throw invalid(`${name} 0x${value.toString(16)} is not below 2^52`);
  return value;
}

export function writeU64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value % 2 ** 32, true);
  view.setUint32(offset + 4, Math.floor(value / 2 ** 32), true);
}

/** Throws EINVAL unless a payload has exactly `bytes`. */
export function exactly(payload: Uint8Array, bytes: number, what: string): DataView {
  if (payload.length !== bytes) throw invalid(`${what} has ${payload.length} bytes instead of ${bytes}`);
  return viewOf(payload);
}

/** Throws EINVAL unless a payload has `bytes` at least. */
export function atLeast(payload: Uint8Array, bytes: number, what: string): DataView {
  if (payload.length < bytes) throw invalid(`${what} has ${payload.length} bytes, fewer than ${bytes}`);
  return viewOf(payload);
}

/** Throws EINVAL unless the size that a message gives for its reply or itself holds `bytes`. */
export function checkArgsz(argsz: number, bytes: number, what: string): void {
  if (argsz < bytes) throw invalid(`argsz ${argsz} of ${what} is less than ${bytes}`);
}
