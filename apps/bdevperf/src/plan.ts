import type { BdevDescription } from '@spdk-ts/bdev';
import { hideMetadata, supportedIoTypes } from '@spdk-ts/bdev';
import { formatSize } from '@spdk-ts/load';
import { type JobConfig, placeConfigs } from './job-config.ts';
import type { PerfOptions } from './options.ts';
import type { JobSpec } from './protocol.ts';
import { isMixed, isRandom, neededIoTypes, verifies } from './workload.ts';

/** A verify job or a random map has a bit for each place. */
const PLACES_MAX = 2 ** 32 - 1;
/** Memory for the buffers of one job, bytes. */
const BUFFERS_MAX = 2 ** 31;

/** The jobs of one reactor. */
export interface ReactorPlan {
  readonly reactor: number;
  readonly jobs: readonly JobSpec[];
}

/** What planning needs to know of the process. */
export interface Surroundings {
  readonly reactors: readonly { readonly index: number; readonly lcore: number }[];
  readonly bdevs: readonly BdevDescription[];
  allocateRegionId(): number;
  readonly seed: number;
}

/** Finds a bdev by name, or says which there are. */
export function findBdev(name: string, bdevs: readonly BdevDescription[]): BdevDescription {
  const found = bdevs.find((bdev) => bdev.name === name || bdev.aliases.includes(name) || bdev.uuid === name);
  if (found !== undefined) return found;
  const names = bdevs.map((bdev) => bdev.name).join(', ');
  throw new Error(`Unable to find bdev '${name}'; there ${names === '' ? 'is none' : `are ${names}`}`);
}

/** Decides which job runs where, with which numbers. Throws an Error that names what does not fit. */
export function planRun(
  configs: readonly JobConfig[],
  options: PerfOptions,
  around: Surroundings,
): ReactorPlan[] {
  const cores = around.reactors.map(({ lcore }) => lcore);
  const placed = placeConfigs(configs, cores);
  const plans = around.reactors.map(({ index }) => ({ reactor: index, jobs: [] as JobSpec[] }));
  let index = 0;
  configs.forEach((config, number) => {
    const core = placed[number]!;
    const plan = plans[cores.indexOf(core)]!;
    const shared = options.thread_per_core;
    const thread = {
      thread: shared ? core : number,
      thread_name: shared ? `lcore_${core}` : config.name,
      cpumask: shared ? [core] : maskOf(config.cores, cores),
    };
    for (const name of config.bdevs) {
      const found = findBdev(name, around.bdevs);
      const bdev = options.hide_metadata ? hideMetadata(found) : found;
      plan.jobs.push({
        index,
        ...thread,
        ...jobNumbers(config, bdev, options),
        seed: mix(around.seed, index),
        region: around.allocateRegionId(),
      });
      index++;
    }
  });
  return plans.filter((plan) => plan.jobs.length > 0);
}

const maskOf = (wanted: readonly number[], cores: readonly number[]): readonly number[] =>
  wanted.length === 0 ? cores : wanted;

/** Seeds that are near each other make jobs that are not. */
function mix(seed: number, index: number): number {
  let x = Math.imul((seed + 1) ^ Math.imul(index + 1, 0x9e3779b1), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return x ^ (x >>> 16);
}

type JobNumbers = Omit<JobSpec, 'index' | 'thread' | 'thread_name' | 'cpumask' | 'seed' | 'region'>;

function jobNumbers(config: JobConfig, bdev: BdevDescription, options: PerfOptions): JobNumbers {
  const { io_size, workload, queue_depth } = config;
  const { name, block_size, num_blocks } = bdev;
  if (bdev.dif_type !== 0 && bdev.md_interleave)
    throw new Error(
      `the blocks of bdev ${name} hold protection information, which jobs do not make; give -N to have it made below`,
    );
  if (io_size % block_size !== 0)
    throw new Error(
      `IO size (${io_size}) is not a multiple of the block size of bdev ${name} (${block_size}): try -o ${formatSize(block_size)}`,
    );
  const types = supportedIoTypes(bdev.io_types);
  for (const type of neededIoTypes(workload))
    if (type !== 'reset' && types[type as keyof typeof types] !== true)
      throw new Error(`bdev ${name} does not support ${type}, which the workload ${workload} needs`);
  const io_blocks = io_size / block_size;
  const ios_base = Math.floor(config.offset_blocks / io_blocks);
  const end = config.length_blocks > 0 ? config.offset_blocks + config.length_blocks : num_blocks;
  if (end > num_blocks)
    throw new Error(
      `the job '${config.name}' goes up to block ${end}, but bdev ${name} has only ${num_blocks} blocks`,
    );
  const length = config.length_blocks > 0 ? config.length_blocks : num_blocks - config.offset_blocks;
  const size_in_ios = Math.floor(length / io_blocks);
  if (size_in_ios < 1)
    throw new Error(
      `not even one I/O of ${formatSize(io_size)} fits in bdev ${name}${config.length_blocks > 0 || config.offset_blocks > 0 ? "'s part that the job works on" : ` (${formatSize(num_blocks * block_size)})`}`,
    );
  const random_map = options.random_map && isRandom(workload);
  if ((random_map || verifies(workload)) && size_in_ios > PLACES_MAX)
    throw new Error(
      `bdev ${name} has too many places of ${formatSize(io_size)} for ${random_map ? '-D' : workload}: use a larger -o`,
    );
  const depth = verifies(workload) ? Math.min(queue_depth, size_in_ios) : queue_depth;
  const memory = depth * io_size * (verifies(workload) ? 2 : 1);
  if (memory > BUFFERS_MAX)
    throw new Error(
      `queue depth ${depth} with I/Os of ${formatSize(io_size)} needs ${Math.ceil(memory / 2 ** 20)} MiB of buffers for each job; ${BUFFERS_MAX / 2 ** 20} MiB is the limit`,
    );
  if (options.zcopy && !bdev.reads_in_place)
    throw new Error(`-Z needs a bdev that answers reads with a place in its own memory: ${name} does not`);
  return {
    ...{
      name,
      bdev_id: bdev.id,
      hide_metadata: bdev.hides_metadata,
      workload,
      queue_depth,
      io_size,
      io_blocks,
      block_size,
      ios_base,
      size_in_ios,
    },
    rw_percentage: sharesOf(config),
    zipf_theta: isRandom(workload) ? options.zipf_theta : 0,
    random_map,
    unique_writes: options.unique_writes,
    zcopy: options.zcopy,
    continue_on_failure: options.continue_on_failure,
    timeout_us: options.timeout_s * 1_000_000,
    abort: options.abort,
  };
}

function sharesOf({ workload, rw_percentage }: JobConfig): number {
  if (isMixed(workload)) return rw_percentage;
  return workload === 'read' || workload === 'randread' ? 100 : 0;
}
