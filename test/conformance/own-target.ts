/** The target that is tested where no address is given: ours, with a namespace of each kind that it can serve. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DEFAULT_HOSTNQN } from '../host/index.ts';
import { address, freePort, type Json, listenAddress, Target } from '../linux-guest/target.ts';
import type { Address, PciAddress, TcpAddress } from './bench.ts';

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

export interface OwnTarget<At extends Address = Address> {
  readonly address: At;
  readonly target: Target;
  /** Namespaces that the target does not serve, and why. */
  readonly unserved: readonly string[];
}

/** PCI functions: one a host, and as many hosts as a check may have, beside the witness and who is shared. */
const ENDPOINTS = 18;

/** A target with the subsystem, whose namespaces are all there, and no listener yet. */
async function startSubsystem(): Promise<Omit<OwnTarget, 'address'>> {
  const target = await Target.start();
  const unserved: string[] = [];
  const subsystem = { serial_number: 'CONFORM0000000000001', ...limits };
  await target.rpc('nvmf_create_subsystem', {
    nqn: NQN,
    allow_any_host: true,
    ana_reporting: true,
    ...subsystem,
  });
  for (const { name, method, params } of bdevs) {
    try {
      await target.rpc(method, { name, ...params });
      await target.rpc('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: name } });
    } catch (error) {
      unserved.push(`${name}: ${(error as Error).message}`);
    }
  }
  return { target, unserved };
}

/** Over TCP, with a subsystem that is closed to the suite, and a discovery controller. */
export async function startOwn(): Promise<OwnTarget<TcpAddress>> {
  const { target, unserved } = await startSubsystem();
  const port = await freePort();
  await target.rpc('nvmf_create_transport', transport);
  await target.rpc('nvmf_create_subsystem', { nqn: CLOSED_NQN, serial_number: 'CONFORM0000000000002' });
  for (const nqn of [NQN, CLOSED_NQN, 'nqn.2014-08.org.nvmexpress.discovery'])
    await target.rpc('nvmf_subsystem_add_listener', { nqn, listen_address: listenAddress(port) });
  return {
    address: { host: address, port, subnqn: NQN, hostnqn: DEFAULT_HOSTNQN, closedSubnqn: CLOSED_NQN },
    target,
    unserved,
  };
}

/** Over vfio-user: PCI functions of one subsystem. */
export async function startOwnPci(): Promise<OwnTarget<PciAddress>> {
  const { target, unserved } = await startSubsystem();
  await target.rpc('spdk_ts_nvmf_set_limits', { listeners: ENDPOINTS });
  await target.rpc('nvmf_create_transport', { trtype: 'VFIOUSER' });
  const endpoints: string[] = [];
  for (let i = 0; i < ENDPOINTS; i++) {
    const traddr = join(target.folder, `function${i}`);
    mkdirSync(traddr);
    await target.rpc('nvmf_subsystem_add_listener', {
      nqn: NQN,
      listen_address: { trtype: 'VFIOUSER', traddr },
    });
    endpoints.push(join(traddr, 'cntrl'));
  }
  return { address: { endpoints }, target, unserved };
}
