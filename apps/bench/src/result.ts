import type { Order } from './order.ts';
import type { Sample } from './sampling.ts';
import type { Row } from './scenario/types.ts';

/** What a report is made of, and what --json writes: everything measured, nothing reckoned from it. */
export interface Result {
  readonly format: 'spdk-ts-bench-1';
  readonly scenario: { readonly name: string; readonly title: string; readonly about: string };
  readonly per_iteration: boolean;
  readonly machine: Machine;
  readonly settings: Settings;
  readonly started: string;
  /** Null while rows are missing: the run goes on or was interrupted. */
  readonly ended: string | null;
  readonly rows: readonly RowResult[];
}

export interface Machine {
  readonly cpu: string;
  readonly cpus: number;
  readonly memory_gib: number;
  readonly kernel: string;
  readonly node: string;
  /** The bench's own commit. */
  readonly commit: string;
}

export interface Settings {
  readonly seed: number;
  readonly order: Order;
  readonly pin: boolean;
  /** Null: no sample was rejected. */
  readonly busy_max: number | null;
  /** The command line, without this machine's paths. */
  readonly command: string;
}

export interface SideResult {
  readonly name: string;
  /** Program, version, and what the side adds. */
  readonly about: string;
  /** Why it could not run here; null if it ran. */
  readonly skipped: string | null;
  readonly samples: readonly Sample[];
}

export interface RowResult {
  readonly row: RowFacts;
  readonly sides: readonly SideResult[];
  /** Why the row was not run; null if it was. */
  readonly skipped: string | null;
  /** Why the row was broken off; null if it was not. */
  readonly failed: string | null;
  readonly rejections: readonly { readonly side: string; readonly round: number; readonly reason: string }[];
  readonly rounds_lost: number;
}

export type RowFacts = Omit<Row, 'sides'>;
