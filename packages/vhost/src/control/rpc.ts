import type { RpcServer } from '@spdk-ts/rpc';
import type { VhostTarget } from './target-control.ts';

/** What registers handlers: the part of RpcServer that is needed. */
export type VhostRegistrar = Pick<RpcServer, 'register'>;

/** Answers the methods `vhost_*`. */
export function registerVhostRpcs(rpc: VhostRegistrar, target: VhostTarget): void {
  rpc.register('vhost_create_blk_controller', async (params) => {
    await target.create(params);
    return true;
  });
  rpc.register('vhost_delete_controller', async ({ ctrlr }) => {
    await target.delete(ctrlr);
    return true;
  });
  rpc.register('vhost_get_controllers', ({ name }) => target.list(name));
  rpc.register('vhost_controller_set_coalescing', async ({ ctrlr, delay_base_us, iops_threshold }) => {
    await target.setCoalescing(ctrlr, { delay_base_us, iops_threshold });
    return true;
  });
}
