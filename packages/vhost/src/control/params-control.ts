import { formatCpumask, parseCpuset } from '@spdk-ts/env';
import { native, nativeUnavailable } from '@spdk-ts/native';
import type { ReactorInfo } from '@spdk-ts/reactor';
import { type ErrnoName, errno, RpcError, rpcCode, strerror } from '@spdk-ts/rpc';
import type { Coalescing } from '../description.ts';

/** Parameters of vhost_create_blk_controller. */
export interface BlkControllerParams {
  readonly ctrlr: string;
  readonly dev_name: string;
  readonly readonly?: boolean;
  readonly packed_ring?: boolean;
  readonly cpumask?: string;
  readonly transport?: string;
}

/** The only transport, as SPDK calls it. */
export const TRANSPORT = 'vhost_user_blk';
/** SPDK's: iops_threshold must make a request in 10 ms. A delay of more than a second would look like a dead disk. */
const IOPS_MIN = 100;
const DELAY_MAX_US = 1_000_000;

/** SPDK answers these methods with -32602 and the text of the errno, to which the explanation is added. */
export function refusal(name: ErrnoName, explanation: string, parameter?: string): RpcError {
  const data = parameter === undefined ? undefined : { parameter };
  return new RpcError(rpcCode.invalidParams, `${strerror(errno[name])}: ${explanation}`, data);
}

/** What can be told of the parameters alone. Throws an RPC error. */
export function checkController({ ctrlr, transport }: BlkControllerParams): void {
  if (native === null)
    throw refusal('ENOTSUP', `vhost-user needs the native addon, which is ${nativeUnavailable}`);
  if (ctrlr === '' || ctrlr.includes('/') || ctrlr === '.' || ctrlr === '..')
    throw refusal('EINVAL', `ctrlr "${ctrlr}" is no name of a socket in a directory`, 'ctrlr');
  if (transport !== undefined && transport.toLowerCase() !== TRANSPORT)
    throw refusal(
      'EINVAL',
      `transport "${transport}" is not there: leave it out, or give ${TRANSPORT}`,
      'transport',
    );
}

/** The cores of a mask. Throws an RPC error if one has no reactor. */
export function coresOf(mask: string | undefined, reactors: readonly ReactorInfo[]): number[] {
  const all = reactors.map(({ lcore }) => lcore).sort((a, b) => a - b);
  if (mask === undefined) return all;
  let cores: number[];
  try {
    cores = parseCpuset(mask);
  } catch (error) {
    throw refusal('EINVAL', `cpumask: ${(error as Error).message}`, 'cpumask');
  }
  if (!cores.every((core) => all.includes(core)))
    throw refusal(
      'EINVAL',
      `cpumask ${mask} has cores without a reactor: reactors are on 0x${formatCpumask(all)}`,
      'cpumask',
    );
  return cores;
}

/** Throws an RPC error for numbers that make no sense. */
export function checkCoalescing({ delay_base_us, iops_threshold }: Coalescing): void {
  if (iops_threshold < IOPS_MIN)
    throw refusal(
      'EINVAL',
      `iops_threshold is ${iops_threshold}: give ${IOPS_MIN} or more`,
      'iops_threshold',
    );
  if (delay_base_us > DELAY_MAX_US)
    throw refusal(
      'EINVAL',
      `delay_base_us is ${delay_base_us}: give ${DELAY_MAX_US} or less`,
      'delay_base_us',
    );
}
