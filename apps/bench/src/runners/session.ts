import { availableParallelism } from 'node:os';
import type { Launch } from '../child.ts';
import type { Noise, NoiseLimits } from '../machine/quiet.ts';
import type { Metrics } from '../metrics.ts';
import type { Programs } from '../programs/programs.ts';
import type { Row, Side } from '../scenario/types.ts';
import type { Scope } from '../scope.ts';
import { Skip } from '../skip.ts';

/** What the runners share. */
export interface Session {
  readonly scope: Scope;
  readonly programs: Programs;
  readonly noise: NoiseLimits;
  /** Bind programs with all their threads to the row's CPUs. */
  readonly pin: boolean;
  /** The initiator of `nvmf` rows. */
  readonly initiator: 'auto' | 'spdk' | 'ours';
  /** Path of the file of a row's file bdevs, filled with data; `in_memory`: on a file system that is. */
  file(bytes: number, in_memory: boolean): Promise<string>;
}

/** What one sample has found. */
export interface Attempt {
  readonly metrics: Metrics;
  readonly noise: Noise;
  /** Why it cannot be believed; null if it can. */
  readonly disturbance: string | null;
}

/**
 * Takes one sample of a side. Throws Skip if the side cannot run the row here, and an Error if it failed. All it
 * started has ended when it settles.
 */
export type Take = (session: Session, row: Row, side: Side) => Promise<Attempt>;

/** `launch`, bound to CPUs if the session binds. Throws Skip for CPUs that there are not. */
export function bound(session: Session, launch: Launch, cores: readonly number[]): Launch {
  const missing = cores.find((core) => core >= availableParallelism());
  if (missing !== undefined)
    throw new Skip(`there is no CPU ${missing}: ${availableParallelism()} are usable`);
  return session.pin && process.platform === 'linux' ? { ...launch, cores } : launch;
}

/** The launch with what a side adds to its environment. */
export const withEnv = (launch: Launch, { env }: Side): Launch => ({
  ...launch,
  env: { ...launch.env, ...env },
});
