import { clear, hidden, option, optional, required, set, t } from '../types.ts';
import { define, tgtName } from './nvmf-common.ts';

const onlyRdma = { default: 'RDMA only: has no effect here' };
const onlyVfio = { default: 'false; VFIOUSER only' };

export const nvmfTransportMethods = [
  define({
    name: 'nvmf_create_transport',
    text: 'Makes a transport, with which listeners become possible. A target has at most one of each type.',
    relaxed: true,
    params: {
      trtype: required(t.string, 'Type: TCP or VFIOUSER.', { cli: option('-t, --trtype') }),
      tgt_name: tgtName('-g, --tgt-name'),
      max_queue_depth: optional(t.u16, 'Most commands outstanding on a queue.', {
        default: '128; VFIOUSER: 256',
        cli: option('-q, --max-queue-depth'),
      }),
      max_io_qpairs_per_ctrlr: optional(t.u16, 'Most I/O queue pairs of a controller.', {
        default: '127',
        cli: option('-m, --max-io-qpairs-per-ctrlr'),
      }),
      in_capsule_data_size: optional(t.u32, 'Most data that travel inside a command capsule.', {
        unit: 'bytes',
        default: '4096; VFIOUSER: 0',
        cli: option('-c, --in-capsule-data-size'),
      }),
      max_io_size: optional(t.u32, 'Largest I/O; a power of two of at least 8 KiB.', {
        unit: 'bytes',
        default: '131072',
        cli: option('-i, --max-io-size'),
      }),
      io_unit_size: optional(t.u32, 'Size of an I/O unit.', {
        unit: 'bytes',
        deprecated: 'use iobuf_set_options',
        cli: option('-u, --io-unit-size'),
      }),
      max_aq_depth: optional(t.u32, 'Most commands outstanding on an admin queue.', {
        default: '128; VFIOUSER: 32',
        cli: option('-a, --max-aq-depth'),
      }),
      num_shared_buffers: optional(t.u32, 'Buffers of the transport.', {
        deprecated: 'use iobuf_set_options',
        cli: option('-n, --num-shared-buffers'),
      }),
      buf_cache_size: optional(t.u32, 'Buffers each poll group keeps for itself.', {
        deprecated: 'use iobuf_small_cache_size',
        cli: option('-b, --buf-cache-size'),
      }),
      iobuf_small_cache_size: optional(t.u32, 'Small buffers each poll group keeps for itself.', {
        cli: option('--iobuf-small-cache-size'),
      }),
      iobuf_large_cache_size: optional(t.u32, 'Large buffers each poll group keeps for itself.', {
        cli: option('--iobuf-large-cache-size'),
      }),
      zcopy: optional(t.bool, 'Let bdevs that can lend their memory.', {
        default: 'false',
        cli: set('-z, --zcopy'),
      }),
      num_cqe: optional(t.i32, 'Entries of a completion queue.', {
        ...onlyRdma,
        cli: option('-d, --num-cqe'),
      }),
      max_srq_depth: optional(t.u32, 'Elements of a shared receive queue.', {
        ...onlyRdma,
        cli: option('-s, --max-srq-depth'),
      }),
      no_srq: optional(t.bool, 'No shared receive queue.', { ...onlyRdma, cli: set('-r, --no-srq') }),
      c2h_success: optional(
        t.bool,
        'Let the last data PDU of a read stand for its response. On the command line -o turns it off.',
        { default: 'true', cli: clear('-o, --c2h-success') },
      ),
      dif_insert_or_strip: optional(t.bool, 'Add protection information to writes, take it off reads.', {
        default: 'false',
        cli: set('-f, --dif-insert-or-strip'),
      }),
      sock_priority: optional(t.u32, 'Priority of the sockets of the transport.', {
        default: '0',
        cli: option('-y, --sock-priority'),
      }),
      acceptor_backlog: optional(t.i32, 'Connections that may wait to be accepted.', {
        cli: option('-l, --acceptor-backlog'),
      }),
      abort_timeout_sec: optional(t.u32, 'How long an Abort waits for its command.', {
        unit: 's',
        default: '1',
        cli: option('-x, --abort-timeout-sec'),
      }),
      no_wr_batching: optional(t.bool, 'Post work requests one by one.', {
        ...onlyRdma,
        cli: set('-w, --no-wr-batching'),
      }),
      control_msg_num: optional(t.u16, 'Control messages each poll group keeps.', {
        default: '32',
        cli: option('-e, --control-msg-num'),
      }),
      disable_mappable_bar0: optional(
        t.bool,
        'Clients cannot map the doorbells: each write of one is a message.',
        {
          ...onlyVfio,
          cli: set('-M, --disable-mappable-bar0'),
        },
      ),
      disable_adaptive_irq: optional(
        t.bool,
        'Guests are interrupted for each batch of completions, also while they take entries from the queue anyway.',
        {
          ...onlyVfio,
          cli: set('-I, --disable-adaptive-irq'),
        },
      ),
      disable_shadow_doorbells: optional(
        t.bool,
        'Controllers do not take Doorbell Buffer Config, as they do otherwise where BAR0 cannot be mapped.',
        {
          ...onlyVfio,
          cli: set('-S, --disable-shadow-doorbells'),
        },
      ),
      acceptor_poll_rate: optional(t.u32, 'Interval at which new connections are looked for.', {
        unit: 'µs',
        default: '10000',
        cli: option('--acceptor-poll-rate'),
      }),
      ack_timeout: optional(t.u32, 'How long to wait for an acknowledgement.', {
        unit: 'ms',
        cli: option('--ack-timeout'),
      }),
      data_wr_pool_size: optional(t.u32, 'Work requests kept for data.', {
        ...onlyRdma,
        cli: option('--data-wr-pool-size'),
      }),
      disable_command_passthru: optional(
        t.bool,
        'Hand no I/O command that the target does not know to the bdev.',
        { default: 'false', cli: set('--disable-command-passthru') },
      ),
      kas: optional(t.u16, 'Granularity of keep alive timeouts that hosts are told.', {
        unit: '100 ms',
        default: '100',
        cli: option('--kas'),
      }),
      min_kato: optional(t.u32, 'Shortest keep alive timeout.', {
        unit: 'ms',
        default: '10000',
        cli: option('--min-kato'),
      }),
      masked_oncs: optional(
        t.bitmask('nvmcmps', 'nvmdsmsv', 'nvmwzsv', 'reservs', 'nvmcpys'),
        'Optional NVM commands to take from what controllers report.',
        { cli: hidden },
      ),
      masked_fuses: optional(t.bitmask('fcws'), 'Fused operations to take from what controllers report.', {
        cli: hidden,
      }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [
      [-17, 'There is a transport of this type.'],
      [-32602, 'The type is not one that exists here.'],
    ],
    cli: {
      args: {
        oncs: optional(
          t.array(t.oneOf('all', 'nvmcmps', 'nvmdsmsv', 'nvmwzsv', 'reservs', 'nvmcpys')),
          'Optional NVM commands not to report, or all.',
          { cli: option('--masked-oncs') },
        ),
        fuses: optional(t.array(t.oneOf('all', 'fcws')), 'Fused operations not to report, or all.', {
          cli: option('--masked-fuses'),
        }),
      },
      toParams({ oncs, fuses, ...rest }) {
        const mask = (names: unknown, all: string[]) =>
          (names as string[]).includes('all') ? all : (names as string[]);
        return {
          ...rest,
          ...(oncs
            ? { masked_oncs: mask(oncs, ['nvmcmps', 'nvmdsmsv', 'nvmwzsv', 'reservs', 'nvmcpys']) }
            : {}),
          ...(fuses ? { masked_fuses: mask(fuses, ['fcws']) } : {}),
        };
      },
    },
  }),
  define({
    name: 'nvmf_get_transports',
    text: 'Shows the transports, or the one of a type.',
    params: {
      tgt_name: tgtName('-t, --tgt-name'),
      trtype: optional(t.string, 'Type of the one wanted.', { cli: option('--trtype') }),
    },
    result: t.array(
      t.open({
        trtype: t.string,
        max_queue_depth: t.u32,
        max_io_qpairs_per_ctrlr: t.u32,
        in_capsule_data_size: t.u32,
        max_io_size: t.u32,
        max_aq_depth: t.u32,
        iobuf_small_cache_size: optional(t.u32, 'Small buffers of a poll group.'),
        iobuf_large_cache_size: optional(t.u32, 'Large buffers of a poll group.'),
        dif_insert_or_strip: optional(t.bool, 'Protection information is added and taken off.'),
        zcopy: optional(t.bool, 'Bdevs lend their memory.'),
        c2h_success: optional(t.bool, 'TCP: the last data PDU of a read stands for its response.'),
        sock_priority: optional(t.u32, 'TCP: priority of the sockets.'),
        abort_timeout_sec: t.u32,
        ack_timeout: optional(t.u32, 'Acknowledgement timeout.', { unit: 'ms' }),
        data_wr_pool_size: optional(t.u32, 'RDMA only; 0.'),
        disable_command_passthru: optional(t.bool, 'No command is handed to bdevs.'),
        kas: optional(t.u32, 'Granularity of keep alive timeouts.', { unit: '100 ms' }),
        min_kato: optional(t.u32, 'Shortest keep alive timeout.', { unit: 'ms' }),
        disable_mappable_bar0: optional(t.bool, 'VFIOUSER: clients cannot map the doorbells.'),
        disable_adaptive_irq: optional(t.bool, 'VFIOUSER: as given.'),
        disable_shadow_doorbells: optional(t.bool, 'VFIOUSER: no Doorbell Buffer Config.'),
      }),
    ),
    errors: [[-19, 'There is no transport of that type.']],
  }),
];
