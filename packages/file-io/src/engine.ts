import type { FileOperation } from './operation.ts';

/** Who is told of an engine's answers: on the channel's reactor, within an iteration or before it. */
export interface EngineOwner {
  /** A request of the operation with this index has ended: bytes, 0 for what transfers none, or a negative errno. */
  answered(index: number, result: number): void;
}

/** A way to give requests on one file to the system. Each is answered once, never from within the call. */
export interface FileEngine {
  /** A write with force unit access is on stable storage when it has ended. */
  readonly writesThrough: boolean;
  /** It can make holes. */
  readonly punches: boolean;
  /** It can let the file system zero ranges. */
  readonly zeroesRanges: boolean;
  /** An operation begins: false if there is no room for it now. */
  begin(operation: FileOperation): boolean;
  /** Reads or writes the rest of the I/O's data, or the first part of it. */
  transfer(operation: FileOperation): void;
  /** Writes zeroes over the rest of the range, or over the first part of it. */
  writeZeroes(operation: FileOperation): void;
  /** Makes the next `count` bytes a hole (phase PUNCH) or zeroes (phase ZERO_RANGE). Answered with 0. */
  allocate(operation: FileOperation): void;
  /** Waits until what was written is on stable storage. */
  sync(operation: FileOperation): void;
  /** Asks for an early end of what is under way: false if there is no way to ask. */
  cancel(operation: FileOperation): boolean;
  /** The operation has ended. */
  end(operation: FileOperation): void;
  /** The channel goes. Nothing is under way. */
  destroy(): void;
}

/** Makes the engine of one channel. */
export type EngineFactory = (owner: EngineOwner) => FileEngine;

const FALLOC_KEEP_SIZE = 1;
/** Modes of fallocate: ranges that read as zeroes afterwards, without their disk space and with it. */
export const PUNCH_HOLE: number = 2 | FALLOC_KEEP_SIZE;
export const ZERO_RANGE: number = 16 | FALLOC_KEEP_SIZE;
/** The flag of a write that is on stable storage when it has ended. */
export const RWF_DSYNC = 2;
/** Most that one request transfers, bytes. */
export const TRANSFER_BYTES_MAX: number = 2 ** 30;
