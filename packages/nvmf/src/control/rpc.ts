import { TICK_RATE } from '@spdk-ts/env';
import { dhchapGroup, dhchapHash } from '@spdk-ts/nvme-auth/identifiers';
import { formatUuid } from '@spdk-ts/nvme-spec';
import { errnoError, RpcError, rpcCode } from '@spdk-ts/rpc';
import { anaStateOf } from '../ana.ts';
import type { TransportAddress } from '../qpair.ts';
import { namespaceInfo } from './namespaces-control.ts';
import { checkTarget, type RpcRegistrar } from './rpc-common.ts';
import { registerLimitRpcs } from './rpc-limits.ts';
import { registerNamespaceRpcs } from './rpc-namespaces.ts';
import type { QpairRecord, Subsystem } from './subsystem.ts';
import type { NvmfTarget } from './target.ts';
import { transportInfo } from './transport-options.ts';

const addressInfo = ({ trtype, adrfam, traddr, trsvcid }: TransportAddress): TransportAddress => ({
  ...{ trtype, adrfam, traddr, trsvcid },
});

function authInfo({ state, hash, dhgroup }: NonNullable<QpairRecord['auth']>) {
  const nameOf = (ids: Readonly<Record<string, number>>, id: number): string =>
    Object.entries(ids).find(([, value]) => value === id)?.[0] ?? 'unknown';
  return { state, digest: nameOf(dhchapHash, hash), dhgroup: nameOf(dhchapGroup, dhgroup) };
}

function subsystemInfo(subsystem: Subsystem) {
  const { nqn, subtype, allow_any_host, options } = subsystem;
  const common = {
    nqn,
    subtype,
    listen_addresses: subsystem.listeners.map(({ address }) => addressInfo(address)),
    allow_any_host,
    hosts: [...subsystem.hosts].map(([host, keys]) => ({ nqn: host, ...keys })),
  };
  if (subtype === 'Discovery') return common;
  const { serial_number, model_number, admin_label, max_namespaces, passthrough } = options;
  const { min_cntlid, max_cntlid, dmrsl, wzsl } = options;
  return {
    ...common,
    ...{ serial_number, model_number },
    ...(admin_label !== undefined && { admin_label }),
    ...{ max_namespaces, passthrough, min_cntlid, max_cntlid, dmrsl, wzsl },
    namespaces: subsystem.sortedNamespaces.map((ns) => namespaceInfo(ns, options.ana_reporting)),
  };
}

/** Answers the methods `nvmf_*` for a target. */
export function registerNvmfRpcs(rpc: RpcRegistrar, target: NvmfTarget): void {
  registerTargetRpcs(rpc, target);
  registerSubsystemRpcs(rpc, target);
  registerNamespaceRpcs(rpc, target);
  registerAccessRpcs(rpc, target);
  registerViewRpcs(rpc, target);
  registerDiscoveryRpcs(rpc, target);
  registerLimitRpcs(rpc, target);
}

function registerTargetRpcs(rpc: RpcRegistrar, target: NvmfTarget): void {
  rpc.register('nvmf_set_max_subsystems', ({ max_subsystems }) => {
    target.max_subsystems = max_subsystems;
  });
  rpc.register('nvmf_set_crdt', ({ crdt1 = 0, crdt2 = 0, crdt3 = 0 }) => {
    target.crdt = [crdt1, crdt2, crdt3];
  });
  rpc.register('nvmf_set_config', async ({ discovery_filter, ...params }) => {
    // The deprecated spelling is a comma-separated text.
    const old = discovery_filter?.split(',').filter((name) => name !== 'match_any');
    const filters = params.discovery_filters ?? (old as typeof params.discovery_filters);
    await target.configure({ ...params, ...(filters !== undefined && { discovery_filters: filters }) });
  });
  rpc.register('nvmf_create_transport', async (params) => {
    checkTarget(params);
    await target.createTransport(params);
  });
  rpc.register('nvmf_get_transports', (params) => {
    checkTarget(params);
    const { trtype } = params;
    const all = [...target.transports.values()].map(transportInfo);
    if (trtype === undefined) return all;
    const found = all.filter((transport) => transport.trtype === trtype.toUpperCase());
    if (found.length === 0) throw errnoError('ENODEV', `there is no transport of type "${trtype}"`);
    return found;
  });
  rpc.register('nvmf_get_stats', async (params) => {
    checkTarget(params);
    return { tick_rate: TICK_RATE, poll_groups: await target.stats() };
  });
}

function registerSubsystemRpcs(rpc: RpcRegistrar, target: NvmfTarget): void {
  rpc.register('nvmf_get_subsystems', (params) => {
    checkTarget(params);
    const { nqn } = params;
    const all = [...target.subsystems.values()];
    const wanted = nqn === undefined ? all : all.filter((subsystem) => subsystem.nqn === nqn);
    if (nqn !== undefined && wanted.length === 0)
      throw errnoError('ENODEV', `there is no subsystem "${nqn}"; without nqn all are shown`);
    return wanted.map(subsystemInfo);
  });
  rpc.register('nvmf_create_subsystem', async (params) => {
    checkTarget(params);
    await target.createSubsystem(params);
  });
  rpc.register('nvmf_delete_subsystem', async (params) => {
    checkTarget(params);
    await target.deleteSubsystem(params.nqn);
  });
}

function registerAccessRpcs(rpc: RpcRegistrar, target: NvmfTarget): void {
  rpc.register('nvmf_subsystem_add_listener', async (params) => {
    checkTarget(params);
    await target.addListener(params.nqn, params);
  });
  rpc.register('nvmf_subsystem_remove_listener', async (params) => {
    checkTarget(params);
    await target.removeListener(params.nqn, params.listen_address);
  });
  rpc.register('nvmf_subsystem_add_host', async (params) => {
    checkTarget(params);
    const { nqn, host, tgt_name: _, ...keys } = params;
    await target.addHost(nqn, host, keys);
  });
  rpc.register('nvmf_subsystem_set_keys', async (params) => {
    checkTarget(params);
    const { nqn, host, tgt_name: _, ...keys } = params;
    await target.setKeys(nqn, host, keys);
  });
  rpc.register('nvmf_subsystem_remove_host', async (params) => {
    checkTarget(params);
    await target.removeHost(params.nqn, params.host, params.timeout_ms);
  });
  rpc.register('nvmf_subsystem_allow_any_host', async (params) => {
    checkTarget(params);
    await target.allowAnyHost(params.nqn, params.allow_any_host);
  });
}

function registerViewRpcs(rpc: RpcRegistrar, target: NvmfTarget): void {
  rpc.register('nvmf_subsystem_get_controllers', (params) => {
    checkTarget(params);
    const subsystem = target.subsystem(params.nqn);
    return [...subsystem.controllers.values()].map(({ cntlid, hostnqn, hostid, qpairs }) => ({
      cntlid,
      cntrltype: subsystem.subtype === 'Discovery' ? 'discovery' : 'io',
      hostnqn,
      hostid: formatUuid(Buffer.from(hostid, 'hex')),
      num_io_qpairs: [...qpairs.keys()].filter((qid) => qid > 0).length,
    }));
  });
  rpc.register('nvmf_subsystem_get_qpairs', (params) => {
    checkTarget(params);
    const controllers = [...target.subsystem(params.nqn).controllers.values()];
    return controllers.flatMap(({ cntlid, hostnqn, state, qpairs }) =>
      [...qpairs.values()].map(({ qid, thread, listen, peer, auth }) => ({
        ...{ cntlid, qid, state: state.closing ? 'deactivating' : 'enabled', thread, hostnqn },
        listen_address: addressInfo(listen),
        peer_address: addressInfo(peer),
        ...(auth !== null && { auth: authInfo(auth) }),
      })),
    );
  });
  rpc.register('nvmf_subsystem_get_listeners', (params) => {
    checkTarget(params);
    const { listeners, options } = target.subsystem(params.nqn);
    const groups = Array.from({ length: options.max_namespaces }, (_, i) => i + 1);
    return listeners.map(({ address, ana }) => ({
      address: addressInfo(address),
      ...(options.ana_reporting && {
        ana_states: groups.map((ana_group) => ({ ana_group, ana_state: anaStateOf(ana, ana_group) })),
      }),
    }));
  });
}

function registerDiscoveryRpcs(rpc: RpcRegistrar, target: NvmfTarget): void {
  rpc.register('nvmf_discovery_add_referral', (params) => {
    checkTarget(params);
    target.referrals.add(params.address, params.subnqn, params.secure_channel);
  });
  rpc.register('nvmf_discovery_remove_referral', (params) => {
    checkTarget(params);
    const { traddr, trsvcid = '' } = params.address;
    if (!target.referrals.remove(params.address, params.subnqn))
      throw new RpcError(
        rpcCode.internalError,
        `Unable to remove a referral: there is none to ${traddr}:${trsvcid}; nvmf_discovery_get_referrals lists them`,
        { parameter: 'address' },
      );
  });
  rpc.register('nvmf_discovery_get_referrals', (params) => {
    checkTarget(params);
    return target.referrals.all.map(({ address, secure_channel, subnqn }) => ({
      ...{ address: addressInfo(address), secure_channel, subnqn },
    }));
  });
}
