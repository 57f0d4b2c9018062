/**
 * What a script of a script bdev exports, and what it is given. The script is a JavaScript module whose default export is
 * a {@link Script}; each reactor loads it and opens an instance of its own.
 */

/** What a bdev was made with. */
export interface ScriptOptions {
  readonly name: string;
  /** Bytes of a block. */
  readonly block_size: number;
  readonly num_blocks: number;
  /** The `params` of bdev_script_create; empty if there were none. */
  readonly params: Readonly<Record<string, unknown>>;
}

/** What {@link Script.open} is given. */
export interface ScriptContext extends ScriptOptions {
  /** Memory that the bdev's instances on all reactors share, of `memory_bytes`, zeroed at first; kept over reloads. */
  readonly memory: SharedArrayBuffer;
  /** Index of the reactor that this instance serves. */
  readonly reactor: number;
  /** After a reload: what {@link ScriptInstance.handOver} of the version before returned. */
  readonly state: unknown;
  /** Writes a line to the log. */
  log(text: string): void;
}

/** One I/O. It is reused: keep none of it once the I/O has ended. Offsets and lengths are in bytes, whole blocks. */
export interface ScriptIo {
  /** Where in the bdev. */
  readonly offset: number;
  readonly length: number;
  /** The data in memory, in order: for `read` to fill, for `write` to take. Empty for what carries none. */
  readonly pieces: readonly Uint8Array[];
  /** A write is to be on stable storage when it ends. */
  readonly fua: boolean;
}

/**
 * Does an I/O. It has ended when this returns, or when the promise does that this returns. What it throws fails this I/O
 * only: `sct` and `sc` are an NVMe status, a `code` such as ENOSPC or EIO becomes one (ENOMEM and EAGAIN: it is tried
 * again later); any other error is a failure without a reason, and logged.
 */
export type ScriptFunction = (io: ScriptIo) => void | Promise<void>;

/** A bdev on one reactor. What it has no function for, the bdev does not support (zeroes are written by `write` then). */
export interface ScriptInstance {
  read: ScriptFunction;
  write?: ScriptFunction;
  flush?: ScriptFunction;
  unmap?: ScriptFunction;
  writeZeroes?: ScriptFunction;
  /**
   * The script was changed, and no I/O is at work: returns what the next version is to be given. This instance goes on
   * if that version cannot be opened.
   */
  handOver?(): unknown;
  /** The bdev is gone, or the next version has taken over. */
  close?(): void;
}

/** Default export of a script. */
export interface Script {
  /** How much memory the instances share; none if absent. */
  memory_bytes?: number | ((options: ScriptOptions) => number);
  open(context: ScriptContext): ScriptInstance | Promise<ScriptInstance>;
}
