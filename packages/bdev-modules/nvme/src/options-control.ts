import { BdevError, Errno } from '@spdk-ts/bdev';
import { defaultMultipath, type MultipathOptions } from './multipath-control.ts';

export interface NvmeModuleOptions {
  readonly action_on_timeout: 'none' | 'reset' | 'abort';
  readonly timeout_us: number;
  readonly timeout_admin_us: number;
  readonly keep_alive_timeout_ms: number;
  readonly bdev_retry_count: number;
  readonly ctrlr_loss_timeout_sec: number;
  readonly reconnect_delay_sec: number;
  readonly fast_io_fail_timeout_sec: number;
  /** I/O stays on the path that it has gone to, once the one before can be used again. */
  readonly disable_auto_failback: boolean;
  /** Each path counts its I/O. */
  readonly io_path_stat: boolean;
  readonly multipath_opts: MultipathOptions;
}

/** SPDK's. */
export const defaultOptions: NvmeModuleOptions = {
  action_on_timeout: 'none',
  timeout_us: 0,
  timeout_admin_us: 0,
  keep_alive_timeout_ms: 10_000,
  bdev_retry_count: 3,
  ctrlr_loss_timeout_sec: 0,
  reconnect_delay_sec: 0,
  fast_io_fail_timeout_sec: 0,
  disable_auto_failback: false,
  io_path_stat: false,
  multipath_opts: defaultMultipath,
};

const invalid = (explanation: string): never => {
  throw new BdevError(Errno.EINVAL, explanation);
};

/** Throws BdevError EINVAL for timeouts that do not fit together: the rules of SPDK. */
export function checkTimeouts(options: NvmeModuleOptions): void {
  const {
    ctrlr_loss_timeout_sec: loss,
    reconnect_delay_sec: delay,
    fast_io_fail_timeout_sec: fast,
  } = options;
  if (loss < -1) invalid(`ctrlr_loss_timeout_sec is ${loss}: it must not be less than -1`);
  if (loss === 0 && (delay !== 0 || fast !== 0))
    invalid('reconnect_delay_sec and fast_io_fail_timeout_sec need a ctrlr_loss_timeout_sec other than 0');
  if (loss !== 0 && delay === 0) invalid('ctrlr_loss_timeout_sec needs a reconnect_delay_sec above 0');
  if (loss > 0 && delay > loss)
    invalid(`reconnect_delay_sec is ${delay}, more than ctrlr_loss_timeout_sec (${loss})`);
  if (fast > 0 && fast < delay)
    invalid(`fast_io_fail_timeout_sec is ${fast}, less than reconnect_delay_sec (${delay})`);
  if (loss > 0 && fast > loss)
    invalid(`fast_io_fail_timeout_sec is ${fast}, more than ctrlr_loss_timeout_sec (${loss})`);
  if (options.bdev_retry_count < -1)
    invalid(`bdev_retry_count is ${options.bdev_retry_count}: it must not be less than -1`);
}
