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
import { commandMethods } from './schema-commands.ts';
import { timeouts, trid } from './schema-common.ts';
import { discoveryMethods } from './schema-discovery.ts';
import { multipathMethods, multipathOpts, pathFields } from './schema-multipath.ts';

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
      disable_auto_failback: optional(
        t.bool,
        'I/O that has gone to another path stays there when the one before it can be used again.',
        { default: 'false' },
      ),
      io_path_stat: optional(t.bool, 'Count I/O on each path, for `bdev_nvme_get_path_iostat`.', {
        default: 'false',
      }),
      multipath_opts: multipathOpts,
      ...timeouts,
    },
    result: t.bool,
    resultText: '`true`',
    errors: [[-22, 'Timeouts that do not fit together.']],
  }),
  define({
    name: 'bdev_nvme_attach_controller',
    text: 'Connects to an NVMe controller over TCP, or behind a vfio-user socket, and makes a bdev of each of its namespaces: `<name>n<nsid>`. If there are controllers of this name, it is one more path to the same subsystem, and to their bdevs. Zoned namespaces become zoned bdevs, key value ones bdevs of keys; metadata are interleaved.',
    params: {
      name: required(t.string, 'Name of the controller.', { cli: option('-b, --name') }),
      trtype: required(t.string, 'Transport: `TCP` or `VFIOUSER`.', { cli: option('-t, --trtype') }),
      traddr: required(t.string, 'Address; of `VFIOUSER` the directory with the socket.', {
        cli: option('-a, --traddr'),
      }),
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
      hostaddr: optional(t.string, 'Address to connect from.', {
        default: 'the system chooses it',
        cli: option('-i, --hostaddr'),
      }),
      hdgst: optional(t.bool, 'Ask for header digests.', { default: 'false', cli: set('-e, --hdgst') }),
      ddgst: optional(t.bool, 'Ask for data digests.', { default: 'false', cli: set('-d, --ddgst') }),
      prchk_reftag: optional(
        t.bool,
        'Of blocks with protection information: the controller checks reference tags.',
        { default: 'false', cli: set('-r, --prchk-reftag') },
      ),
      prchk_guard: optional(t.bool, 'The same for guards.', {
        default: 'false',
        cli: set('-g, --prchk-guard'),
      }),
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
        'What a further controller of the same name is: `multipath` another path, which may be used at the same time; `failover` another address of the first one, which is used when that is lost; `disable` an error.',
        { default: 'multipath', cli: option('-x, --multipath') },
      ),
      multipath_opts: multipathOpts,
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
      [-17, 'Another name has a controller at this address.'],
      [
        -22,
        'A parameter is wrong, or the controller is no path to what the name stands for: the message says which.',
      ],
      [-114, 'The name has this path already, or is not to have several.'],
      [-126, 'There is no key of a name.'],
    ],
    cli: { print: 'words' },
  }),
  define({
    name: 'bdev_nvme_detach_controller',
    text: 'Disconnects from all controllers of a name, or from those that have what is given beside it. A bdev stays while it has a path.',
    params: { name: name('Name of the controller.'), ...pathFields },
    result: t.bool,
    resultText: '`true`',
    errors: [
      [-6, 'No path has what was given.'],
      [-19, 'No such controller.'],
    ],
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
            alternate_trids: optional(t.array(trid), 'Of `failover`: other addresses.'),
            cntlid: t.u16,
            host: t.object({ nqn: t.string, addr: t.string, svcid: t.string }),
          }),
        ),
      }),
    ),
    resultText:
      '`state`: `enabled`, `resetting` (also while it is looked for), `disabled`, `deleting` or `failed`.',
    errors: [[-19, 'No such controller.']],
  }),
  ...multipathMethods,
  ...accessMethods,
  ...commandMethods,
  ...discoveryMethods,
];

declare module '@spdk-ts/rpc-schema' {
  interface MethodTable extends MethodsByName<typeof methods> {}
}
