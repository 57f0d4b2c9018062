import { join } from 'node:path';
import type { RpcClient } from '@spdk-ts/rpc';
import type { BdevPlan, RpcCall } from '../bdev-spec.ts';
import type { Child } from '../child.ts';
import type { Row, Side } from '../scenario/types.ts';
import { planOf } from './bdevperf.ts';
import { freeAddress, type ListenAddress, SUBSYSTEM_NQN } from './listen-address.ts';
import { configure, connectRpc } from './rpc.ts';
import { bound, type Session, withEnv } from './session.ts';

/** A target that listens, with one namespace for each bdev. */
export interface RunningTarget {
  readonly child: Child;
  readonly client: RpcClient;
  readonly plan: BdevPlan;
  readonly where: ListenAddress;
}

/** The calls that export bdevs at an address, apart from those that make them. */
export function exportCalls(plan: BdevPlan, side: Side, listen_address: ListenAddress): RpcCall[] {
  const nqn = SUBSYSTEM_NQN;
  return [
    { method: 'nvmf_create_transport', params: { trtype: listen_address.trtype, ...side.transport } },
    { method: 'nvmf_create_subsystem', params: { nqn, allow_any_host: true, serial_number: 'BENCH0' } },
    ...plan.names.map((bdev_name) => ({
      method: 'nvmf_subsystem_add_ns',
      params: { nqn, namespace: { bdev_name } },
    })),
    { method: 'nvmf_subsystem_add_listener', params: { nqn, listen_address } },
  ];
}

/** Starts a side's target on the row's CPUs and configures it over RPC. The scope ends it; `child.stop` before. */
export async function startTarget(session: Session, row: Row, side: Side): Promise<RunningTarget> {
  const plan = await planOf(session, row, side);
  const program = await session.programs.of(side);
  const socket = join(session.scope.directory, 'target.sock');
  const options = { cores: row.cores, socket, memory_bytes: plan.memory_bytes, args: side.args };
  const launch = withEnv(program.target(options), side);
  const child = session.scope.spawn(bound(session, launch, row.cores));
  try {
    const client = await connectRpc(child, socket);
    const where = await freeAddress(row.trtype, session.scope);
    await configure(client, [...side.calls, ...plan.calls, ...exportCalls(plan, side, where)]);
    return { child, client, plan, where };
  } catch (error) {
    await child.stop();
    throw error;
  }
}
