import type { ScriptOptions } from './api.ts';

/** Name of the service on reactors. */
export const SERVICE = 'bdev_script';

/** `context` of a bdev's description. */
export interface DescriptionContext {
  /** Number of the instances that the reactors have opened. */
  readonly key: number;
}

/** Asks one reactor how much memory a script wants. */
export interface InspectParams {
  readonly url: string;
  readonly options: ScriptOptions;
}

/** Opens a script's instances. */
export interface OpenParams extends InspectParams {
  readonly key: number;
  readonly memory: SharedArrayBuffer;
}

/** Loads another version beside the one that works. */
export interface LoadParams {
  readonly key: number;
  readonly url: string;
}
