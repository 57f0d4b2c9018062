import { inFamily } from '../method.ts';
import { optional, positional, required, t } from '../types.ts';

const define = inFamily('vhost');

const ctrlr = required(t.string, 'Name of the controller.', { cli: positional });

export const vhostMethods = [
  define({
    name: 'vhost_create_blk_controller',
    text: 'Makes a bdev the disk of virtual machines: a vhost-user-blk controller, whose socket has its name, in the directory of `-S`.',
    relaxed: true,
    params: {
      ctrlr: required(t.string, 'Name of the controller, and of its socket.', { cli: positional }),
      dev_name: required(t.string, 'Name, alias or UUID of the bdev.', { cli: positional }),
      cpumask: optional(t.string, 'Cores that may serve it: a mask (0x3) or a list ([0,1]).', {
        default: 'all',
        cli: { form: 'value', flags: '--cpumask' },
      }),
      transport: optional(t.string, 'Only `vhost_user_blk` is there.', {
        default: 'vhost_user_blk',
        cli: { form: 'value', flags: '--transport' },
      }),
      readonly: optional(t.bool, 'The disk can be read only.', {
        default: 'false',
        cli: { form: 'set', flags: '-r, --readonly' },
      }),
      packed_ring: optional(t.bool, 'Packed virtqueues are offered.', {
        default: 'false',
        cli: { form: 'set', flags: '-p, --packed-ring' },
      }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [
      [
        -32602,
        "There is such a controller, no such bdev, it is claimed, or something else is at the socket's path.",
      ],
    ],
  }),
  define({
    name: 'vhost_delete_controller',
    text: 'Deletes a vhost controller, and its socket.',
    params: { ctrlr },
    result: t.bool,
    resultText: '`true`',
    errors: [[-32602, 'There is no such controller, or a virtual machine is connected to it.']],
  }),
  define({
    name: 'vhost_get_controllers',
    text: 'Shows the vhost controllers, and who is connected to them.',
    params: {
      name: optional(t.string, 'Show this controller only.', { cli: { form: 'value', flags: '-n, --name' } }),
    },
    result: t.array(
      t.open({
        ctrlr: t.string,
        cpumask: required(t.string, 'Cores that may serve it, hexadecimal with `0x`.'),
        delay_base_us: t.u32,
        iops_threshold: t.u32,
        socket: required(t.string, 'Path of its socket.'),
        sessions: t.array(
          t.open({
            vid: t.u32,
            id: t.u32,
            name: t.string,
            started: required(t.bool, 'It has rings that run.'),
            max_queues: required(t.u32, 'Rings that run.'),
            inflight_task_cnt: required(t.u32, 'Requests that are under way.'),
          }),
        ),
        backend_specific: t.open({
          block: optional(
            t.open({
              readonly: t.bool,
              bdev: required(t.nullable(t.string), 'Null: it was removed.'),
              transport: t.string,
            }),
            'Of a disk.',
          ),
        }),
      }),
    ),
    errors: [[-32603, 'There is no controller of that name.']],
  }),
  define({
    name: 'vhost_controller_set_coalescing',
    text: 'Interrupts of a virtual machine are put off while it makes more requests than a threshold: the longer, the more there are.',
    params: {
      ctrlr,
      delay_base_us: required(t.u32, 'How much later an interrupt is at twice the threshold; 0: never.', {
        unit: 'µs',
        cli: positional,
      }),
      iops_threshold: required(
        t.u32,
        'Requests a second beyond which interrupts are put off, of each queue.',
        {
          cli: positional,
        },
      ),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [[-32602, 'There is no such controller, or a value is out of bounds.']],
  }),
];
