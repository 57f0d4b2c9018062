import { anaStateOf } from '../ana.ts';
import { limitsConfig } from './limits-control.ts';
import { namespaceConfig } from './namespaces-control.ts';
import type { ListenerRecord, Subsystem } from './subsystem.ts';
import type { NvmfTarget } from './target.ts';
import { transportConfig } from './transport-options.ts';

/** A call that restores a part of the configuration. */
export interface ConfigCall {
  readonly method: string;
  readonly params: Record<string, unknown>;
}

/** The calls that make the target again as it is, in SPDK's order. */
export function targetConfig(target: NvmfTarget): ConfigCall[] {
  const { max_subsystems, settings } = target;
  const limits = limitsConfig(target.limits) as Record<string, unknown>;
  const [crdt1, crdt2, crdt3] = target.crdt;
  return [
    { method: 'nvmf_set_max_subsystems', params: { max_subsystems } },
    { method: 'nvmf_set_crdt', params: { crdt1, crdt2, crdt3 } },
    {
      method: 'nvmf_set_config',
      params: { ...settings, admin_cmd_passthru: { identify_ctrlr: false, ...settings.admin_cmd_passthru } },
    },
    ...(Object.keys(limits).length > 0 ? [{ method: 'spdk_ts_nvmf_set_limits', params: limits }] : []),
    ...[...target.transports.values()].map((options) => ({
      method: 'nvmf_create_transport',
      params: transportConfig(options),
    })),
    ...target.referrals.all.map(({ address, secure_channel, subnqn }) => ({
      method: 'nvmf_discovery_add_referral',
      params: { address, secure_channel, subnqn },
    })),
    ...[...target.subsystems.values()].filter(({ ending }) => !ending).flatMap(subsystemConfig),
  ];
}

function subsystemConfig(subsystem: Subsystem): ConfigCall[] {
  const { nqn, options, allow_any_host } = subsystem;
  const { admin_label, static_controllers, ...rest } = options;
  const creation: ConfigCall = {
    method: 'nvmf_create_subsystem',
    params: {
      nqn,
      allow_any_host,
      ...rest,
      ...(admin_label !== undefined && { admin_label }),
      ...(static_controllers && { static_controllers }),
    },
  };
  const listeners = subsystem.listeners.map(({ address, secure_channel, ana, sock_impl }) => ({
    method: 'nvmf_subsystem_add_listener',
    params: {
      ...{ nqn, listen_address: { ...address }, secure_channel },
      ...(ana.others !== 'optimized' && { ana_state: ana.others }),
      ...(sock_impl !== undefined && { sock_impl }),
    },
  }));
  const hosts = [...subsystem.hosts].map(([host, keys]) => ({
    method: 'nvmf_subsystem_add_host',
    params: { nqn, host, ...keys },
  }));
  if (subsystem.subtype === 'Discovery') {
    const closed = { method: 'nvmf_subsystem_allow_any_host', params: { nqn, allow_any_host } };
    return [...listeners, ...hosts, ...(allow_any_host ? [] : [closed])];
  }
  const namespaces = subsystem.sortedNamespaces.flatMap((record) => [
    {
      method: 'nvmf_subsystem_add_ns',
      params: { nqn, namespace: namespaceConfig(record, options.ana_reporting) },
    },
    ...[...record.hosts].map((host) => ({
      method: 'nvmf_ns_add_host',
      params: { nqn, nsid: record.nsid, host },
    })),
  ]);
  const states = subsystem.listeners.flatMap((listener) => anaConfig(nqn, listener));
  return [creation, ...listeners, ...states, ...hosts, ...namespaces];
}

/** States of single ANA groups, before there is a namespace that hosts could use through them. */
function anaConfig(nqn: string, { address, ana }: ListenerRecord): ConfigCall[] {
  const groups = [...ana.groups.keys()].filter((anagrpid) => anaStateOf(ana, anagrpid) !== ana.others);
  return groups.map((anagrpid) => ({
    method: 'nvmf_subsystem_listener_set_ana_state',
    params: { nqn, listen_address: { ...address }, ana_state: anaStateOf(ana, anagrpid), anagrpid },
  }));
}
