import { option, optional, t } from '@spdk-ts/rpc-schema';

/** A transport id, as it is shown. */
export const trid = t.open({
  trtype: t.string,
  adrfam: t.string,
  traddr: t.string,
  trsvcid: t.string,
  subnqn: t.string,
});

/** Parameters about controllers that are lost. */
export const timeouts = {
  ctrlr_loss_timeout_sec: optional(
    t.i32,
    'How long a lost controller is looked for; -1: for ever; 0: not at all. Then it is deleted, and its bdevs with it.',
    {
      unit: 'seconds',
      default: 'that of bdev_nvme_set_options',
      cli: option('-l, --ctrlr-loss-timeout-sec'),
    },
  ),
  reconnect_delay_sec: optional(t.u32, 'Delay before it is connected to again; it grows.', {
    ...{
      unit: 'seconds',
      default: 'that of bdev_nvme_set_options',
      cli: option('-o, --reconnect-delay-sec'),
    },
  }),
  fast_io_fail_timeout_sec: optional(
    t.u32,
    'How long I/O waits for it; 0: until it is connected again, or given up.',
    {
      unit: 'seconds',
      default: 'that of bdev_nvme_set_options',
      cli: option('-u, --fast-io-fail-timeout-sec'),
    },
  ),
};
