import { invalid } from './errors.ts';
import { atLeast, checkArgsz, exactly, viewOf } from './fields.ts';
import { IrqAction, IrqData } from './protocol.ts';

/** DEVICE_GET_IRQ_INFO's reply: `count` interrupts of the kind `index`. */
export interface IrqInfo {
  readonly flags: number;
  readonly index: number;
  readonly count: number;
}

const INFO_BYTES = 16;
const SET_BYTES = 20;

/** The kind asked for. */
export function parseIrqInfoQuery(payload: Uint8Array): number {
  const view = exactly(payload, INFO_BYTES, 'DEVICE_GET_IRQ_INFO');
  checkArgsz(view.getUint32(0, true), INFO_BYTES, 'DEVICE_GET_IRQ_INFO');
  return view.getUint32(8, true);
}

export function parseIrqInfo(payload: Uint8Array): IrqInfo {
  const view = atLeast(payload, INFO_BYTES, 'reply to DEVICE_GET_IRQ_INFO');
  return { flags: view.getUint32(4, true), index: view.getUint32(8, true), count: view.getUint32(12, true) };
}

function encodeInfo(flags: number, index: number, count: number): Uint8Array {
  const bytes = new Uint8Array(INFO_BYTES);
  const view = viewOf(bytes);
  view.setUint32(0, INFO_BYTES, true);
  view.setUint32(4, flags, true);
  view.setUint32(8, index, true);
  view.setUint32(12, count, true);
  return bytes;
}

export function encodeIrqInfoQuery(index: number): Uint8Array {
  return encodeInfo(0, index, 0);
}
export function encodeIrqInfo(info: IrqInfo): Uint8Array {
  return encodeInfo(info.flags, info.index, info.count);
}

/** DEVICE_SET_IRQS: one of IrqData, one of IrqAction, for interrupts start … start + count - 1 of a kind. */
export interface IrqSet {
  readonly data: number;
  readonly action: number;
  readonly index: number;
  readonly start: number;
  readonly count: number;
  /** With IrqData.bool: a byte for each interrupt. */
  readonly bools: Uint8Array;
}

const oneOf = (bits: number, choice: number): boolean =>
  bits !== 0 && (bits & (bits - 1)) === 0 && bits < choice;

/**
 * Reads SET_IRQS. What the device has is `counts`, interrupts of each kind. `descriptors` came with it: none, or one
 * for each interrupt.
 */
export function parseIrqSet(payload: Uint8Array, counts: readonly number[], descriptors: number): IrqSet {
  const view = atLeast(payload, SET_BYTES, 'DEVICE_SET_IRQS');
  checkArgsz(view.getUint32(0, true), SET_BYTES, 'DEVICE_SET_IRQS');
  const flags = view.getUint32(4, true);
  const data = flags & 7;
  const action = flags & 0x38;
  if (!oneOf(data, 8) || !oneOf(action, 64) || flags >>> 6 !== 0)
    throw invalid(`flags 0x${flags.toString(16)} of DEVICE_SET_IRQS are not one kind of data and one action`);
  const [index, start, count] = [8, 12, 16].map((at) => view.getUint32(at, true)) as [number, number, number];
  const have = counts[index];
  if (have === undefined) throw invalid(`there are no interrupts of kind ${index}`);
  if (start + count > have)
    throw invalid(`interrupts ${start} … ${start + count - 1} of kind ${index}: there are ${have}`);
  if (count === 0 && (data !== IrqData.none || action !== IrqAction.trigger || start !== 0))
    throw invalid('DEVICE_SET_IRQS of no interrupts');
  const bools = payload.subarray(SET_BYTES);
  if (bools.length !== (data === IrqData.bool ? count : 0))
    throw invalid(`DEVICE_SET_IRQS of ${count} interrupts brings ${bools.length} bytes`);
  if (descriptors !== 0 && (data !== IrqData.eventfd || descriptors !== count))
    throw invalid(`DEVICE_SET_IRQS of ${count} interrupts brings ${descriptors} descriptors`);
  return { data, action, index, start, count, bools };
}

export function encodeIrqSet(set: Omit<IrqSet, 'bools'> & { readonly bools?: Uint8Array }): Uint8Array {
  const bools = set.bools ?? new Uint8Array(0);
  const bytes = new Uint8Array(SET_BYTES + bools.length);
  const view = viewOf(bytes);
  view.setUint32(0, bytes.length, true);
  view.setUint32(4, set.data | set.action, true);
  view.setUint32(8, set.index, true);
  view.setUint32(12, set.start, true);
  view.setUint32(16, set.count, true);
  bytes.set(bools, SET_BYTES);
  return bytes;
}
