import type { FileZones } from './kernel-zones.ts';

/** What every reactor needs to work on a file. The descriptor is open in the whole process. */
export interface FileContext {
  /** As an absolute path, for saving and for messages. */
  readonly filename: string;
  readonly fd: number;
  readonly readonly: boolean;
  readonly blockDevice: boolean;
  /** Opened with O_DIRECT: the page cache has no part in it. */
  readonly direct: boolean;
  /**
   * One Int32, shared by the reactors: not 0 once writing back has failed. The kernel forgets data that it could
   * not write, and tells so once: a later flush must not claim that they are on stable storage.
   */
  readonly flushFailed: SharedArrayBuffer;
  /** One Int32: not 0 once holes turned out to be impossible in this file. */
  readonly noHoles: SharedArrayBuffer;
  /** Of a zoned block device, else null. */
  readonly zones: FileZones | null;
  /** One Int32: not 0 once the file system turned out to have no way to zero a range. */
  readonly noZeroRange: SharedArrayBuffer;
}
