import { invalidParams } from '@spdk-ts/rpc';
import { defaultLimits, type Limits } from '../limits.ts';
import type { GroupUsage } from '../plugin.ts';
import type { NvmfTarget } from './target.ts';

const EVENTS_MAX = 256;
/** The well-known discovery subsystem is always there, and not counted. */
const OWN_SUBSYSTEMS = 1;

/** Limits with some of them changed. Throws an RPC error -32602 that names the parameter. */
export function changedLimits(now: Limits, given: Partial<Limits>): Limits {
  for (const [name, value] of Object.entries(given))
    if (value < 1) throw invalidParams(`${name} is ${value}: give at least 1`, name);
  if ((given.async_events ?? 1) > EVENTS_MAX)
    throw invalidParams(`async_events is ${given.async_events}: give at most ${EVENTS_MAX}`, 'async_events');
  return { ...now, ...given };
}

/** Those that are not as they are by default: the parameters that make them again. */
export function limitsConfig(limits: Limits): Partial<Limits> {
  const changed = Object.entries(limits).filter(
    ([name, value]) => value !== defaultLimits[name as keyof Limits],
  );
  return Object.fromEntries(changed);
}

/** One line of spdk_ts_nvmf_get_limits. */
interface LimitInfo {
  readonly name: string;
  readonly scope: 'target' | 'subsystem' | 'namespace' | 'controller' | 'queue';
  readonly limit: number;
  readonly current: number;
  readonly refused?: number;
}

const most = (values: Iterable<number>): number => Math.max(0, ...values);
const sum = (usage: readonly GroupUsage[], key: keyof GroupUsage): number =>
  usage.reduce((total, group) => total + group[key], 0);

/** Every limit with what there is of it: of the target, or the most that one of its parts has. */
export function limitsInfo(target: NvmfTarget, usage: readonly GroupUsage[]): LimitInfo[] {
  const { limits, counts } = target;
  const subsystems = [...target.subsystems.values()];
  const transports = [...target.transports.values()];
  const controllers = subsystems.flatMap((subsystem) => [...subsystem.controllers.values()]);
  const namespaces = subsystems.flatMap((subsystem) => [...subsystem.namespaces.values()]);
  const line = (
    name: string,
    scope: LimitInfo['scope'],
    limit: number,
    current: number,
    refused?: number,
  ): LimitInfo => ({ name, scope, limit, current, ...(refused !== undefined && { refused }) });
  return [
    line('connections', 'target', limits.connections, counts.connections, counts.refused_connections),
    line(
      'pending_connections',
      'target',
      limits.pending_connections,
      counts.pending_connections,
      counts.refused_pending_connections,
    ),
    line('controllers', 'target', limits.controllers, controllers.length, target.refused_controllers),
    line('subsystems', 'target', target.max_subsystems, subsystems.length - OWN_SUBSYSTEMS),
    line('referrals', 'target', limits.referrals, target.referrals.all.length),
    line('buffers', 'target', sum(usage, 'buffers'), sum(usage, 'buffers_used')),
    line('hosts', 'subsystem', limits.hosts, most(subsystems.map(({ hosts }) => hosts.size))),
    line(
      'listeners',
      'subsystem',
      limits.listeners,
      most(subsystems.map(({ listeners }) => listeners.length)),
    ),
    line(
      'namespaces',
      'subsystem',
      most(subsystems.map(({ options }) => options.max_namespaces)),
      most(subsystems.map(({ namespaces }) => namespaces.size)),
    ),
    line(
      'registrants',
      'namespace',
      most(namespaces.map(({ reservations }) => reservations.max_registrants)),
      most(namespaces.map(({ reservations }) => reservations.state.registrants.length)),
    ),
    line(
      'io_queues',
      'controller',
      most(transports.map((options) => options.max_io_qpairs_per_ctrlr)),
      most(controllers.map(({ state }) => state.ioQueues)),
    ),
    line('async_events', 'controller', limits.async_events, most(usage.map((group) => group.async_events))),
    line(
      'commands',
      'queue',
      most(transports.map((options) => Math.max(options.max_queue_depth, options.max_aq_depth))),
      most(usage.map((group) => group.commands)),
    ),
  ];
}

/** What waits on all reactors for something that has run out. */
export function waitingInfo(usage: readonly GroupUsage[]) {
  return { buffers: sum(usage, 'waiting_for_buffers'), bdev_io: sum(usage, 'waiting_for_bdev_io') };
}
