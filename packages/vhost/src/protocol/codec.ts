import { CONFIG_BYTES_MAX, HEADER_BYTES, Request, TABLE_REGIONS_MAX, VERSION } from './constants.ts';
import { VhostUserError } from './errors.ts';

/*
 * Payloads of messages, in the machine's byte order, which is little-endian wherever this runs.
 */

/** A message as it came. */
export interface Message {
  readonly request: number;
  readonly flags: number;
  readonly payload: Uint8Array;
  /** Descriptors that came with it. Who takes one out of the list owns it; the others are closed. */
  readonly descriptors: number[];
}

const names = new Map<number, string>(Object.entries(Request).map(([name, number]) => [number, name]));

/** The name of a request, for what is said about it. */
export const requestName = (request: number): string => names.get(request) ?? `request ${request}`;

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Addresses beyond are no numbers that could be added up exactly. */
const HIGH_WORD_END = 2 ** 20;

/** A 64-bit field. Throws VhostUserError if it is not below 2^52. */
function wide(view: DataView, at: number, name: string): number {
  const high = view.getUint32(at + 4, true);
  if (high >= HIGH_WORD_END)
    throw new VhostUserError(
      `${name} is 0x${view.getBigUint64(at, true).toString(16)}: it must be below 2^52`,
    );
  return view.getUint32(at, true) + high * 2 ** 32;
}

/** Throws VhostUserError unless a payload has this many bytes. */
function sized({ payload, request }: Message, bytes: number): DataView {
  if (payload.length !== bytes)
    throw new VhostUserError(
      `${requestName(request)} has a payload of ${payload.length} bytes: it must have ${bytes}`,
    );
  return viewOf(payload);
}

/** A set of bits, as its two words. */
export interface Bits {
  readonly low: number;
  readonly high: number;
}

export function readBits(message: Message): Bits {
  const view = sized(message, 8);
  return { low: view.getUint32(0, true), high: view.getUint32(4, true) };
}

/** The payload of SET_VRING_KICK and its like: a ring and flags. */
export const readWord = (message: Message): number => sized(message, 8).getUint32(0, true);

export interface VringState {
  readonly index: number;
  readonly num: number;
}
export function readState(message: Message): VringState {
  const view = sized(message, 8);
  return { index: view.getUint32(0, true), num: view.getUint32(4, true) };
}

/** Where the parts of a ring are, in the front-end's own address space. */
export interface VringAddress {
  readonly index: number;
  readonly flags: number;
  readonly descriptor: number;
  readonly used: number;
  readonly available: number;
}
export function readAddress(message: Message): VringAddress {
  const view = sized(message, 40);
  return {
    index: view.getUint32(0, true),
    flags: view.getUint32(4, true),
    descriptor: wide(view, 8, 'the address of the descriptors'),
    used: wide(view, 16, 'the address of the used ring'),
    available: wide(view, 24, 'the address of the available ring'),
  };
}

/** A piece of the guest's memory: where the guest sees it, where the front-end does, where it is behind the descriptor. */
export interface MemoryRegion {
  readonly guest_address: number;
  readonly size: number;
  readonly user_address: number;
  readonly mmap_offset: number;
}

function readRegion(view: DataView, at: number): MemoryRegion {
  const region = {
    guest_address: wide(view, at, 'guest address'),
    size: wide(view, at + 8, 'size of a memory region'),
    user_address: wide(view, at + 16, 'user address'),
    mmap_offset: wide(view, at + 24, 'mmap offset'),
  };
  if (region.user_address + region.size > 2 ** 52)
    throw new VhostUserError(`the memory region at user address ${region.user_address} ends beyond 2^52`);
  return region;
}

/** The regions of a SET_MEM_TABLE: as many as there are descriptors with it. */
export function readMemoryTable(message: Message): MemoryRegion[] {
  const { payload, descriptors } = message;
  const count = payload.length >= 8 ? viewOf(payload).getUint32(0, true) : -1;
  if (count < 0 || count > TABLE_REGIONS_MAX || payload.length < 8 + 32 * count)
    throw new VhostUserError(
      `SET_MEM_TABLE of ${payload.length} bytes says that it has ${count} regions: at most ${TABLE_REGIONS_MAX}, of 32 bytes`,
    );
  if (descriptors.length !== count)
    throw new VhostUserError(
      `SET_MEM_TABLE has ${count} regions and ${descriptors.length} descriptors: one for each is needed`,
    );
  const view = viewOf(payload);
  return Array.from({ length: count }, (_, i) => readRegion(view, 8 + 32 * i));
}

/** The region of ADD_MEM_REG and REM_MEM_REG. */
export const readMemoryRegion = (message: Message): MemoryRegion => readRegion(sized(message, 40), 8);

/** What of the configuration space a GET_CONFIG or SET_CONFIG is about. */
export interface ConfigRange {
  readonly offset: number;
  readonly size: number;
  readonly flags: number;
}
export function readConfig({ payload, request }: Message): ConfigRange {
  const bytes = payload.length;
  const view = viewOf(payload);
  const offset = bytes >= 12 ? view.getUint32(0, true) : 0;
  const size = bytes >= 12 ? view.getUint32(4, true) : 0;
  if (bytes < 12 || offset + size > CONFIG_BYTES_MAX || bytes !== 12 + size)
    throw new VhostUserError(
      `${requestName(request)} of ${bytes} bytes is about ${size} bytes at ${offset}: it brings as many as it is about, ` +
        `and the configuration space has ${CONFIG_BYTES_MAX}`,
    );
  return { offset, size, flags: view.getUint32(8, true) };
}

export interface InflightDescription {
  readonly mmap_size: number;
  readonly mmap_offset: number;
  readonly num_queues: number;
  readonly queue_size: number;
}
export function readInflight(message: Message): InflightDescription {
  // The sender's structure may be padded to 24 bytes.
  const view = message.payload.length === 24 ? viewOf(message.payload) : sized(message, 20);
  return {
    mmap_size: wide(view, 0, 'size of the in-flight area'),
    mmap_offset: wide(view, 8, 'offset of the in-flight area'),
    num_queues: view.getUint16(16, true),
    queue_size: view.getUint16(18, true),
  };
}

export function bitsPayload({ low, high }: Bits): Uint8Array {
  const payload = new Uint8Array(8);
  const view = viewOf(payload);
  view.setUint32(0, low, true);
  view.setUint32(4, high, true);
  return payload;
}

export const numberPayload = (value: number): Uint8Array => bitsPayload({ low: value, high: 0 });

export const statePayload = ({ index, num }: VringState): Uint8Array =>
  bitsPayload({ low: index, high: num });

export function configPayload({ offset, flags }: ConfigRange, space: Uint8Array): Uint8Array {
  const payload = new Uint8Array(12 + space.length);
  const view = viewOf(payload);
  view.setUint32(0, offset, true);
  view.setUint32(4, space.length, true);
  view.setUint32(8, flags, true);
  payload.set(space, 12);
  return payload;
}

export function inflightPayload(description: InflightDescription, bytes: number): Uint8Array {
  const payload = new Uint8Array(bytes);
  const view = viewOf(payload);
  view.setBigUint64(0, BigInt(description.mmap_size), true);
  view.setBigUint64(8, BigInt(description.mmap_offset), true);
  view.setUint16(16, description.num_queues, true);
  view.setUint16(18, description.queue_size, true);
  return payload;
}

/** A message, ready to be sent; `flags` beside the version. */
export function encode(request: number, flags: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  const view = viewOf(bytes);
  view.setUint32(0, request, true);
  view.setUint32(4, flags | VERSION, true);
  view.setUint32(8, payload.length, true);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}
