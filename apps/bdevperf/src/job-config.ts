import type { Workload } from './workload.ts';

/** Jobs as the command line or a job file describes them: one section, one logical thread. */
export interface JobConfig {
  /** The thread's name. */
  readonly name: string;
  /** Bdevs, each of them a job of its own. */
  readonly bdevs: readonly string[];
  /** Cores that the thread may run on; empty: all. */
  readonly cores: readonly number[];
  readonly io_size: number;
  readonly queue_depth: number;
  readonly workload: Workload;
  readonly rw_percentage: number;
  readonly offset_blocks: number;
  /** 0: up to the end. */
  readonly length_blocks: number;
}

/** What a bdev is, as far as jobs ask. */
export interface BdevFacts {
  readonly id: number;
  readonly name: string;
  readonly block_size: number;
  readonly num_blocks: number;
}

/** Parameters of a run without a job file. */
export interface TestParameters {
  readonly queue_depth: number;
  readonly io_size: number;
  readonly workload: Workload;
  readonly rw_percentage: number;
}

/**
 * The jobs of a run without a job file: SPDK's rule. One job for each bdev, on the cores in turn; with
 * `every_core` (-C) one on every core for each bdev, each on its share of the blocks.
 */
export function planJobs(
  bdevs: readonly BdevFacts[],
  cores: readonly number[],
  every_core: boolean,
  parameters: TestParameters,
): JobConfig[] {
  const configs: JobConfig[] = [];
  for (const { name, num_blocks } of bdevs) {
    const share = every_core ? Math.floor(num_blocks / cores.length) : 0;
    for (let i = 0; i < (every_core ? cores.length : 1); i++) {
      const core = cores[configs.length % cores.length]!;
      const range = { offset_blocks: share * i, length_blocks: share };
      configs.push({ name, bdevs: [name], cores: [core], ...parameters, ...range });
    }
  }
  return configs;
}

/**
 * The core for each of the configs in turn: those that may run on several take them one after the other, as
 * SPDK's reactors are given threads. Throws an Error that names a config with none of our cores.
 */
export function placeConfigs(configs: readonly JobConfig[], cores: readonly number[]): number[] {
  let next = 0;
  return configs.map((config) => {
    for (let i = 0; i < cores.length; i++) {
      const core = cores[(next + i) % cores.length]!;
      if (config.cores.length > 0 && !config.cores.includes(core)) continue;
      next = (next + i + 1) % cores.length;
      return core;
    }
    const wanted = config.cores.join(',');
    throw new Error(`job '${config.name}' is to run on core ${wanted}, but -m has only ${cores.join(',')}`);
  });
}
