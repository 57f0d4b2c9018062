import type { Launch } from '../child.ts';

/** What a target or a bdevperf is started with. */
export interface StartOptions {
  readonly cores: readonly number[];
  /** Path of its RPC socket. */
  readonly socket: string;
  /** Memory of the bdevs and of the I/O in flight: SPDK takes its memory at the start. */
  readonly memory_bytes: number;
  readonly args: readonly string[];
  /** Path of a JSON configuration; absent: it is configured over RPC. */
  readonly config?: string;
}

/** An implementation of the target and of bdevperf. Both methods throw Skip if it cannot run here. */
export interface Program {
  /** One line: what it is, and which version. */
  readonly version: string;
  target(options: StartOptions): Launch;
  bdevperf(options: StartOptions): Launch;
}

export const cpuMask = (cores: readonly number[]): string =>
  `0x${cores.reduce((mask, core) => mask | (1n << BigInt(core)), 0n).toString(16)}`;
