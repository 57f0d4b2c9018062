import { errnoError } from '@spdk-ts/rpc';
import { limitsInfo, waitingInfo } from './limits-control.ts';
import { checkTarget, type RpcRegistrar } from './rpc-common.ts';
import type { NvmfTarget } from './target.ts';

/** Answers the methods about limits, and those of multicast DNS, which there is none of. */
export function registerLimitRpcs(rpc: RpcRegistrar, target: NvmfTarget): void {
  rpc.register('spdk_ts_nvmf_set_limits', async (params) => {
    checkTarget(params);
    const { tgt_name: _, ...given } = params;
    await target.setLimits(given);
  });
  rpc.register('spdk_ts_nvmf_get_limits', async (params) => {
    checkTarget(params);
    const usage = await target.usage();
    const { limits, counts } = target;
    const { icreq_timeout_ms, connect_timeout_ms, stall_timeout_ms, transfer_timeout_ms } = limits;
    return {
      limits: limitsInfo(target, usage),
      waiting: waitingInfo(usage),
      ...{ icreq_timeout_ms, connect_timeout_ms, stall_timeout_ms, transfer_timeout_ms },
      dropped_connections: counts.dropped_connections,
    };
  });
  rpc.register('nvmf_publish_mdns_prr', (params) => {
    checkTarget(params);
    throw errnoError(
      'ENOTSUP',
      'this target speaks no multicast DNS; have avahi-daemon publish _nvme-disc._tcp, or give hosts the address',
    );
  });
  // As SPDK, which says true as well when nothing was published.
  rpc.register('nvmf_stop_mdns_prr', (params) => checkTarget(params));
}
