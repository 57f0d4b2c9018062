import { formatUuid } from '@spdk-ts/nvme-spec';
import { holds } from '../reservations.ts';
import { checkTarget, type RpcRegistrar } from './rpc-common.ts';
import type { NamespaceRecord } from './subsystem.ts';
import type { NvmfTarget } from './target.ts';

/** Answers the methods that are about namespaces: who sees them, through which listener, and who has reserved them. */
export function registerNamespaceRpcs(rpc: RpcRegistrar, target: NvmfTarget): void {
  rpc.register('nvmf_subsystem_add_ns', async (params) => {
    checkTarget(params);
    return await target.addNamespace(params.nqn, params.namespace);
  });
  rpc.register('nvmf_subsystem_remove_ns', async (params) => {
    checkTarget(params);
    await target.removeNamespace(params.nqn, params.nsid);
  });
  rpc.register('nvmf_subsystem_set_ns_ana_group', async (params) => {
    checkTarget(params);
    await target.setNamespaceAnaGroup(params.nqn, params.nsid, params.anagrpid);
  });
  rpc.register('nvmf_subsystem_listener_set_ana_state', async (params) => {
    checkTarget(params);
    await target.setAnaState(params.nqn, params.listen_address, params.ana_state, params.anagrpid);
  });
  rpc.register('nvmf_ns_add_host', async (params) => {
    checkTarget(params);
    await target.setVisible(params.nqn, params.nsid, params.host, true);
  });
  rpc.register('nvmf_ns_remove_host', async (params) => {
    checkTarget(params);
    await target.setVisible(params.nqn, params.nsid, params.host, false);
  });
  rpc.register('nvmf_ns_get_reservations', (params) => {
    checkTarget(params);
    const namespaces = target.subsystem(params.nqn).sortedNamespaces;
    return namespaces
      .filter(({ nsid }) => params.nsid === undefined || params.nsid === nsid)
      .map(reservationInfo);
  });
}

function reservationInfo({ nsid, reservations }: NamespaceRecord) {
  const { state, max_registrants, file } = reservations;
  const { generation, rtype, ptpl, registrants } = state;
  return {
    ...{ nsid, generation, rtype, ptpl, num_registrants: registrants.length, max_registrants },
    ...(file !== undefined && { ptpl_file: file }),
    registrants: registrants.map(({ hostid, rkey }) => ({
      hostid: formatUuid(Buffer.from(hostid, 'hex')),
      rkey: `0x${rkey.toString(16)}`,
      holder: holds(state, hostid),
    })),
  };
}
