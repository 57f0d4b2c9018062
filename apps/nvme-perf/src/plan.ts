import type { IoQueueParams, NamespaceInfo } from '@spdk-ts/nvme';
import type { ReactorHost } from '@spdk-ts/reactor';
import type { PerfOptions } from './options.ts';
import type { Attached, LaneSpec } from './protocol.ts';
import { isRandom, readShare } from './workload.ts';

/** Memory for the buffers of one lane, bytes. */
const BUFFERS_MAX = 2 ** 31;

/** A namespace, and whose it is. */
export interface Entry {
  readonly attached: Attached;
  readonly namespace: NamespaceInfo;
}

/** Which namespace is loaded from which reactor: all from all, or in turn until each has had one. */
export function associate(
  entries: number,
  reactors: number,
  every: boolean,
): [entry: number, reactor: number][] {
  if (every)
    return Array.from({ length: reactors }, (_, reactor) =>
      Array.from({ length: entries }, (_, entry): [number, number] => [entry, reactor]),
    ).flat();
  const count = Math.max(entries, reactors);
  return Array.from({ length: entries === 0 ? 0 : count }, (_, i) => [i % entries, i % reactors]);
}

/** Why a namespace cannot be loaded with these options, or an empty text. */
export function unfit({ namespace }: Entry, options: PerfOptions): string {
  const { unusable, block_size, num_blocks, nsid } = namespace;
  const { io_size } = options;
  if (unusable !== '') return `NSID ${nsid}: ${unusable}`;
  if (io_size % block_size !== 0)
    return `IO size ${io_size} (-o) is not a multiple of nsid ${nsid} sector size ${block_size}`;
  if (num_blocks * block_size < io_size)
    return `nsid ${nsid} is smaller than one I/O of ${io_size} bytes (-o)`;
  if (io_size / block_size > 65_536)
    return `an I/O of ${io_size} bytes (-o) has more than 65536 blocks of ${block_size}`;
  return '';
}

/** Decides which lane runs where, with which numbers; asks for the queues. Rejects with an Error that names what does not fit. */
export async function planLanes(
  host: ReactorHost,
  options: PerfOptions,
  entries: readonly Entry[],
  print: (line: string) => void,
): Promise<LaneSpec[][]> {
  const fit = entries.filter((entry) => {
    const why = unfit(entry, options);
    if (why !== '') print(`WARNING: ${entry.attached.name}: ${why}. Skipping this namespace.`);
    return why === '';
  });
  if (fit.length === 0) throw new Error('there is no namespace to run on');
  if (options.queue_depth * options.io_size > BUFFERS_MAX)
    throw new Error(`-q ${options.queue_depth} with -o ${options.io_size} needs more than 2 GiB of buffers`);
  const plans: LaneSpec[][] = host.reactors.map(() => []);
  let index = 0;
  for (const [number, reactor] of associate(fit.length, host.reactors.length, options.use_every_core)) {
    const entry = fit[number]!;
    const name = `${entry.attached.name} NSID ${entry.namespace.nsid}`;
    print(`Associating ${name} with lcore ${host.reactors[reactor]!.lcore}`);
    const queues: IoQueueParams[] = [];
    for (let i = 0; i < options.num_qpairs; i++)
      queues.push((await host.call(0, 'nvme_perf', 'queue', entry.attached.controller)) as IoQueueParams);
    const region = host.allocateRegionId();
    plans[reactor]!.push({
      ...laneNumbers(entry.namespace, options),
      index,
      name,
      queues,
      region,
      seed: options.seed + index,
    });
    index++;
  }
  return plans;
}

type LaneNumbers = Omit<LaneSpec, 'index' | 'name' | 'queues' | 'region' | 'seed'>;

function laneNumbers({ nsid, block_size, num_blocks }: NamespaceInfo, options: PerfOptions): LaneNumbers {
  const { io_size, workload, number_ios, number_ios_percent } = options;
  const io_blocks = io_size / block_size;
  const size_in_ios = Math.floor(num_blocks / io_blocks);
  const share = Math.ceil((size_in_ios * number_ios_percent) / 100);
  return {
    ...{ nsid, io_size, io_blocks, size_in_ios },
    queue_depth: options.queue_depth,
    io_unit_size: options.io_unit_size,
    alignment: options.alignment,
    random: isRandom(workload),
    read_share: readShare(workload, options.rw_percentage),
    zipf_theta: options.zipf_theta,
    fua: options.fua,
    ios_max: number_ios_percent > 0 ? share : number_ios,
    continue_on_error: options.continue_on_error,
  };
}
