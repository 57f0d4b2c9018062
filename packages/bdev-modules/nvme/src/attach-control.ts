import { BdevError, Errno } from '@spdk-ts/bdev';
import { DifCheck } from '@spdk-ts/dif';
import { makeTransportId, type NvmeOptions, type NvmeTarget, resolveTarget } from '@spdk-ts/nvme';
import type { KeyNames, KeyOptions, KeysInUse } from './keys-control.ts';
import { type MultipathOptions, multipathOptions } from './multipath-control.ts';
import { checkTimeouts, type NvmeModuleOptions } from './options-control.ts';

const SECOND_MS = 1000;
const IO_QUEUES_MAX = 65_536;

/** Parameters of bdev_nvme_attach_controller. */
export interface AttachCall extends Partial<Omit<NvmeModuleOptions, 'multipath_opts'>>, KeyNames {
  readonly name: string;
  readonly trtype: string;
  readonly traddr: string;
  readonly adrfam?: string;
  readonly trsvcid?: string;
  readonly subnqn?: string;
  readonly hostnqn?: string;
  readonly hostaddr?: string;
  readonly hdgst?: boolean;
  readonly ddgst?: boolean;
  readonly prchk_reftag?: boolean;
  readonly prchk_guard?: boolean;
  readonly fabrics_connect_timeout_us?: number;
  readonly multipath?: 'disable' | 'failover' | 'multipath';
  readonly multipath_opts?: Partial<MultipathOptions>;
  readonly num_io_queues?: number;
  readonly max_bdevs?: number;
  readonly disable_sq_flow_control?: boolean;
}

/** An AttachCall that has been checked. */
export interface Attachment {
  readonly call: AttachCall;
  readonly options: NvmeModuleOptions;
  readonly target: NvmeTarget;
  /** It is of the configuration: nobody else attaches it anew. */
  readonly saved: boolean;
}

const invalid = (explanation: string): never => {
  throw new BdevError(Errno.EINVAL, explanation);
};

/**
 * Checks what a controller is to be attached with. The keys that the call names are held from now on. Rejects with BdevError EINVAL, or an
 * RPC error -126 for a key that there is not.
 */
export async function prepareAttachment(
  call: AttachCall,
  base: NvmeModuleOptions,
  keys: KeysInUse,
  saved: boolean,
): Promise<Attachment> {
  const { num_io_queues = 1, max_bdevs = 1 } = call;
  if (max_bdevs === 0) invalid('max_bdevs cannot be zero');
  if (num_io_queues < 1 || num_io_queues > IO_QUEUES_MAX)
    invalid(`num_io_queues is ${num_io_queues}: give 1 to ${IO_QUEUES_MAX}`);
  const multipath_opts = multipathOptions(call.multipath_opts, base.multipath_opts);
  const options = { ...base, ...timeoutsOf(call), multipath_opts };
  checkTimeouts(options);
  const taken = keys.take(call);
  try {
    return { call, options, target: await targetOf(call, options, taken), saved };
  } catch (error) {
    keys.release(call);
    throw error;
  }
}

function timeoutsOf(call: AttachCall): Partial<NvmeModuleOptions> {
  const { ctrlr_loss_timeout_sec, reconnect_delay_sec, fast_io_fail_timeout_sec } = call;
  return {
    ...(ctrlr_loss_timeout_sec !== undefined && { ctrlr_loss_timeout_sec }),
    ...(reconnect_delay_sec !== undefined && { reconnect_delay_sec }),
    ...(fast_io_fail_timeout_sec !== undefined && { fast_io_fail_timeout_sec }),
  };
}

async function targetOf(call: AttachCall, options: NvmeModuleOptions, keys: KeyOptions): Promise<NvmeTarget> {
  const {
    ctrlr_loss_timeout_sec: loss,
    reconnect_delay_sec,
    timeout_us,
    timeout_admin_us,
    action_on_timeout,
  } = options;
  const given: Partial<NvmeOptions> = {
    ...keys,
    ...{ header_digest: call.hdgst ?? false, data_digest: call.ddgst ?? false },
    disable_sq_flow_control: call.disable_sq_flow_control ?? false,
    keep_alive_timeout_ms: options.keep_alive_timeout_ms,
    timeout_ms: action_on_timeout === 'none' ? 0 : Math.ceil(timeout_us / 1000),
    ctrlr_loss_timeout_ms: loss < 0 ? -1 : loss * SECOND_MS,
    reconnect_delay_ms: reconnect_delay_sec * SECOND_MS,
    ...(timeout_admin_us > 0 && { admin_timeout_ms: Math.ceil(timeout_admin_us / 1000) }),
    ...(call.num_io_queues !== undefined && { num_io_queues: call.num_io_queues }),
    ...(call.fabrics_connect_timeout_us && {
      connect_timeout_ms: Math.ceil(call.fabrics_connect_timeout_us / 1000),
    }),
  };
  try {
    return await resolveTarget(makeTransportId(call), given);
  } catch (error) {
    throw new BdevError(Errno.EINVAL, (error as Error).message);
  }
}

/** What controllers are to check of protection information: a set of DifCheck. */
export const checksOf = ({ prchk_reftag = false, prchk_guard = false }: AttachCall): number =>
  (prchk_reftag ? DifCheck.REFTAG : 0) | (prchk_guard ? DifCheck.GUARD : 0);
