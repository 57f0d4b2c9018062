import { availableParallelism, cpus, release, totalmem, type } from 'node:os';
import { shellWords } from './child.ts';
import { describeCommit } from './programs/ours.ts';
import { ownRoot } from './programs/programs.ts';
import type { Machine } from './result.ts';

/** The machine, as far as a reader of figures wants to know it. */
export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown CPU',
    cpus: availableParallelism(),
    memory_gib: Math.round(totalmem() / 2 ** 30),
    kernel: `${type()} ${release()}`,
    node: process.version,
    commit: describeCommit(ownRoot),
  };
}

/** Paths of this machine stand in reports as their last part. */
export const hidePaths = (text: string): string =>
  text.replace(/(?<![\w.…])\/(?:[^\s/'"=,:]+\/)+([^\s/'"=,:]*)/g, '…/$1');

/** The command line as another reader would write it. */
export const describeCommand = (argv: readonly string[]): string =>
  hidePaths(shellWords(['spdk-ts', 'bench', ...argv]));
