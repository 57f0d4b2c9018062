/** The target that is tested where no address is given: ours, with a namespace of each kind that it can serve. */
import { DEFAULT_HOSTNQN } from '../host/index.ts';
import { address, freePort, type Json, listenAddress, Target } from '../linux-guest/target.ts';
import type { Address } from './bench.ts';

const NQN = 'nqn.2026-11.io.spdk-ts:conformance';
const CLOSED_NQN = 'nqn.2026-11.io.spdk-ts:closed';
const MiB = 1 << 20;

/** Keep alive by the second, so that an expiry can be waited for; limits that can be exceeded. */
const transport = { trtype: 'TCP', kas: 10, min_kato: 2000 };
const limits = { dmrsl: 65_536, wzsl: 8 };

/** Bdevs, and what they are for. Those that the target does not make, or does not serve, are told. */
const bdevs: readonly { name: string; method: string; params: Json; options?: Json }[] = [
  { name: 'Plain', method: 'bdev_malloc_create', params: { block_size: 512, num_blocks: (64 * MiB) / 512 } },
  {
    name: 'Large',
    method: 'bdev_malloc_create',
    params: { block_size: 4096, num_blocks: (32 * MiB) / 4096 },
  },
  {
    name: 'Protected',
    method: 'bdev_malloc_create',
    params: { block_size: 512, num_blocks: 8192, md_size: 8, md_interleave: true, dif_type: 1 },
  },
  {
    name: 'Zoned',
    method: 'bdev_malloc_create',
    params: { block_size: 4096, num_blocks: 4096, zone_size: 512, max_open_zones: 4, max_active_zones: 6 },
  },
  { name: 'Keys', method: 'bdev_malloc_kv_create', params: { block_size: 512, num_blocks: 8192 } },
];

export interface OwnTarget {
  readonly address: Address;
  readonly target: Target;
  /** Namespaces that the target does not serve, and why. */
  readonly unserved: readonly string[];
}

export async function startOwn(): Promise<OwnTarget> {
  const target = await Target.start();
  const port = await freePort();
  const unserved: string[] = [];
  await target.rpc('nvmf_create_transport', transport);
  const subsystem = { serial_number: 'CONFORM0000000000001', ...limits };
  await target.rpc('nvmf_create_subsystem', {
    nqn: NQN,
    allow_any_host: true,
    ana_reporting: true,
    ...subsystem,
  });
  await target.rpc('nvmf_create_subsystem', { nqn: CLOSED_NQN, serial_number: 'CONFORM0000000000002' });
  for (const { name, method, params } of bdevs) {
    try {
      await target.rpc(method, { name, ...params });
      await target.rpc('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: name } });
    } catch (error) {
      unserved.push(`${name}: ${(error as Error).message}`);
    }
  }
  for (const nqn of [NQN, CLOSED_NQN, 'nqn.2014-08.org.nvmexpress.discovery'])
    await target.rpc('nvmf_subsystem_add_listener', { nqn, listen_address: listenAddress(port) });
  return {
    address: { host: address, port, subnqn: NQN, hostnqn: DEFAULT_HOSTNQN, closedSubnqn: CLOSED_NQN },
    target,
    unserved,
  };
}
