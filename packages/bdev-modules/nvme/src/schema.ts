import {
  inFamily,
  type MethodsByName,
  option,
  optional,
  positional,
  required,
  set,
  t,
} from '@spdk-ts/rpc-schema';
import { accessMethods, keys } from './schema-access.ts';
import { timeouts, trid } from './schema-common.ts';
import { discoveryMethods } from './schema-discovery.ts';

const define = inFamily('nvme');

const name = (text: string) => required(t.string, text, { cli: positional });
/** The methods of the nvme module. */
export const methods = [
  define({
    name: 'bdev_nvme_set_options',
    text: 'Sets what controllers that are attached from now on begin with.',
    state: 'both',
    params: {
      action_on_timeout: optional(
        t.oneOf('none', 'reset', 'abort'),
        'What becomes of a command that takes longer than `timeout_us`: `reset` resets the controller, `abort` aborts it first.',
        { default: 'none' },
      ),
      timeout_us: optional(t.u64, 'How long an I/O command may take; 0: as long as it likes.', {
        unit: 'µs',
        default: '0',
      }),
      timeout_admin_us: optional(t.u64, 'The same for Admin commands; 0: two minutes.', {
        unit: 'µs',
        default: '0',
      }),
      keep_alive_timeout_ms: optional(t.u32, 'Keep alive timeout; 0: none.', {
        unit: 'ms',
        default: '10000',
      }),
      bdev_retry_count: optional(
        t.i32,
        'How often an I/O is tried again after an error that may pass; -1: for ever.',
        { default: '3' },
      ),
      ...timeouts,
    },
    result: t.bool,
    resultText: '`true`',
    errors: [[-22, 'Timeouts that do not fit together.']],
  }),
  define({
    name: 'bdev_nvme_attach_controller',
    text: 'Connects to an NVMe-oF controller over TCP, and makes a bdev of each of its namespaces: `<name>n<nsid>`. Zoned and key value namespaces, and those with metadata, are left alone.',
    params: {
      name: required(t.string, 'Name of the controller.', { cli: option('-b, --name') }),
      trtype: required(t.string, 'Transport: `TCP`.', { cli: option('-t, --trtype') }),
      traddr: required(t.string, 'Address.', { cli: option('-a, --traddr') }),
      adrfam: optional(t.string, '`IPv4` or `IPv6`.', {
        default: 'as the address tells',
        cli: option('-f, --adrfam'),
      }),
      trsvcid: optional(t.string, 'Port.', { default: '4420', cli: option('-s, --trsvcid') }),
      subnqn: optional(t.string, 'NQN of the subsystem.', { cli: option('-n, --subnqn') }),
      hostnqn: optional(t.string, 'NQN of this host.', {
        default: 'the same always',
        cli: option('-q, --hostnqn'),
      }),
      hdgst: optional(t.bool, 'Ask for header digests.', { default: 'false', cli: set('-e, --hdgst') }),
      ddgst: optional(t.bool, 'Ask for data digests.', { default: 'false', cli: set('-d, --ddgst') }),
      fabrics_connect_timeout_us: optional(
        t.u64,
        'For a connection, and each command of the initialization.',
        {
          ...{ unit: 'µs', default: '10000000', cli: option('--fabrics-timeout') },
        },
      ),
      ...keys,
      multipath: optional(
        t.oneOf('disable', 'failover', 'multipath'),
        'A controller has one path here: a second one of the same name is refused.',
        { default: 'disable', cli: option('-x, --multipath') },
      ),
      num_io_queues: optional(t.u32, 'I/O queues to ask for: each reactor that does I/O takes one.', {
        ...{ default: '1024', cli: option('--num-io-queues') },
      }),
      max_bdevs: optional(t.u32, 'Namespaces at most.', { default: '128', cli: option('-m, --max-bdevs') }),
      disable_sq_flow_control: optional(t.bool, 'Ask for no SQ flow control.', { default: 'false' }),
      ...timeouts,
    },
    result: t.array(t.string),
    resultText: 'Names of the bdevs.',
    errors: [
      [-5, 'The controller cannot be connected to: the message says which step failed.'],
      [-17, 'There is a controller of this name.'],
      [-22, 'A parameter is wrong: the message says which.'],
      [-126, 'There is no key of a name.'],
    ],
    cli: { print: 'words' },
  }),
  define({
    name: 'bdev_nvme_detach_controller',
    text: 'Removes the bdevs of a controller, and disconnects from it.',
    params: { name: name('Name of the controller.') },
    result: t.bool,
    resultText: '`true`',
    errors: [[-19, 'No such controller.']],
  }),
  define({
    name: 'bdev_nvme_get_controllers',
    text: 'Tells of controllers.',
    params: { name: optional(t.string, 'Of this one only.', { cli: option('-n, --name') }) },
    result: t.array(
      t.object({
        name: t.string,
        ctrlrs: t.array(
          t.object({
            state: t.string,
            trid,
            cntlid: t.u16,
            host: t.object({ nqn: t.string, addr: t.string, svcid: t.string }),
          }),
        ),
      }),
    ),
    resultText: '`state`: `enabled`, `resetting` (also while it is looked for) or `failed`.',
    errors: [[-19, 'No such controller.']],
  }),
  define({
    name: 'bdev_nvme_reset_controller',
    text: 'Drops a controller’s connections and makes them again. I/O waits meanwhile.',
    params: { name: name('Name of the controller.') },
    result: t.bool,
    resultText: '`true`, once it is connected again.',
    errors: [
      [-5, 'It could not be connected to again.'],
      [-19, 'No such controller.'],
    ],
  }),
  ...accessMethods,
  ...discoveryMethods,
];

declare module '@spdk-ts/rpc-schema' {
  interface MethodTable extends MethodsByName<typeof methods> {}
}
