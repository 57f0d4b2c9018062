import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Launch } from '../child.ts';
import { cpuMask } from '../programs/program.ts';
import { ownRoot } from '../programs/programs.ts';
import { memoryArgs } from '../programs/spdk.ts';
import type { Row, Workload } from '../scenario/types.ts';
import { Skip } from '../skip.ts';
import { type ListenAddress, transportId } from './listen-address.ts';
import type { Session } from './session.ts';

/** What an initiator is asked to do. */
export interface Load {
  readonly workload: Workload;
  readonly size: number;
  readonly depth: number;
  readonly connections: number;
  readonly rw_percentage: number;
  readonly time_s: number;
  readonly warmup_s: number;
}

const OUR_INITIATOR = join(ownRoot, 'apps/nvme-perf/bin/nvme-perf.js');
/** Memory of SPDK's tools beside their buffers. */
const OWN_MIB = 256;

/** The options of spdk_nvme_perf, which ours has too. Both sides of a row meet the same initiator. */
export function initiatorLaunch(session: Session, row: Row, load: Load, where: ListenAddress): Launch {
  const { workload, size, depth, connections, time_s, warmup_s } = load;
  const mixed = workload === 'rw' || workload === 'randrw' ? ['-M', `${load.rw_percentage}`] : [];
  const args = [
    ...['-c', cpuMask(row.initiator_cores), '-q', `${depth}`, '-P', `${connections}`, '-o', `${size}`],
    ...['-w', workload, ...mixed, '-t', `${time_s}`, '-a', `${warmup_s}`, '-LL', '-r', transportId(where)],
  ];
  const { spdk } = session.programs;
  if (session.initiator !== 'ours' && spdk !== null) {
    const memory = memoryArgs(OWN_MIB + (depth * size * 1.25) / 2 ** 20);
    return { argv: [spdk.path('build/bin/spdk_nvme_perf'), ...memory, ...shareable(where), ...args] };
  }
  if (session.initiator !== 'spdk' && existsSync(OUR_INITIATOR))
    return { argv: [process.execPath, OUR_INITIATOR, '--transport-stats', ...args] };
  throw new Skip('no initiator: give SPDK, whose spdk_nvme_perf does it, with --spdk DIR');
}

/** DPDK lends its memory to another process only with a descriptor for each segment. */
const shareable = ({ trtype }: ListenAddress): string[] => (trtype === 'VFIOUSER' ? ['-g'] : []);

/** SPDK's bdevperf in front of the target, which writes patterns and checks them. */
export function verifierLaunch(session: Session, row: Row, time_s: number, config: string): Launch {
  const { spdk } = session.programs;
  if (spdk === null) throw new Skip('no verifier: give SPDK, whose bdevperf does it, with --spdk DIR');
  const load = ['-q', '32', '-o', `${row.size}`, '-w', 'verify', '-t', `${time_s}`];
  const program = spdk.path('build/examples/bdevperf');
  return {
    argv: [
      ...[program, '-m', cpuMask(row.initiator_cores), '-c', config, ...memoryArgs(512), ...load],
      ...['--no-pci', '--disable-cpumask-locks', '--silence-noticelog', '--no-rpc-server'],
    ],
  };
}
