import { inFamily } from '../method.ts';
import { fields, hidden, option, optional, positional, required, set, t, toggle, clear } from '../types.ts';

const define = inFamily('nvmf');

const discoveryNqn = 'nqn.2014-08.org.nvmexpress.discovery';
const tgtName = (flags: string) =>
  optional(t.string, 'Target the call is for; there is one.', { cli: option(flags) });
const nqn = required(t.string, 'NQN of the subsystem.', { cli: positional });
const subsystem = { nqn, tgt_name: tgtName('-t, --tgt-name') } as const;
const nqnOrDiscovery = required(
  t.string,
  'NQN of the subsystem; on the command line `discovery` stands for the one of the discovery service.',
  { cli: positional },
);

/** A transport address as parameters have it. Transport and family are compared without regard to case. */
export const listenAddress = t.object({
  trtype: required(t.string, 'Transport, such as TCP.', { cli: option('-t, --trtype') }),
  adrfam: optional(t.string, 'Address family: ipv4 or ipv6.', {
    default: 'from traddr',
    cli: option('-f, --adrfam'),
  }),
  traddr: required(t.string, 'Address, such as 127.0.0.1 or ::1.', { cli: option('-a, --traddr') }),
  trsvcid: optional(t.string, 'Service: the port number, as a string. TCP needs it.', {
    cli: option('-s, --trsvcid'),
  }),
});

/** A transport address as results have it. */
export const addressInfo = t.open({
  trtype: t.string,
  adrfam: optional(t.string, 'IPv4 or IPv6.'),
  traddr: t.string,
  trsvcid: optional(t.string, 'Port.'),
});

const expandNqn =
  (key: string) =>
  (args: Record<string, unknown>): Record<string, unknown> =>
    args[key] === 'discovery' ? { ...args, [key]: discoveryNqn } : args;

const onoff = (text: string) => optional(t.bool, text, { cli: hidden });
const passthruCommands = {
  identify_ctrlr: onoff('Identify Controller'),
  identify_uuid_list: onoff('Identify UUID list'),
  get_log_page: onoff('Get Log Page'),
  get_set_features: onoff('Get and Set Features'),
  sanitize: onoff('Sanitize'),
  security_send_recv: onoff('Security Send and Receive'),
  fw_update: onoff('Firmware Download and Commit'),
  nvme_mi: onoff('NVMe-MI'),
  vendor_specific: onoff('Vendor specific commands'),
} as const;

const onlyRdma = { default: 'RDMA only: has no effect here' };
const onlyVfio = { default: 'VFIO-USER only: has no effect here' };

export const nvmfMethods = [
  define({
    name: 'nvmf_set_max_subsystems',
    text: 'Sets how many subsystems the target may have.',
    state: 'startup',
    params: { max_subsystems: required(t.u32, 'Most subsystems.', { cli: option('-x, --max-subsystems') }) },
    result: t.bool,
    resultText: '`true`',
  }),
  define({
    name: 'nvmf_set_config',
    text: 'Sets options of the target, before it starts.',
    state: 'startup',
    params: {
      admin_cmd_passthru: optional(
        t.object(passthruCommands),
        'Admin commands handed to the device behind a subsystem that has one NVMe namespace.',
        { cli: hidden },
      ),
      poll_groups_mask: optional(t.string, 'Cores that get a poll group.', {
        default: 'every core',
        cli: option('-m, --poll-groups-mask'),
      }),
      discovery_filter: optional(t.string, 'What a discovery controller compares, comma-separated.', {
        deprecated: 'use discovery_filters',
        cli: option('-d, --discovery-filter'),
      }),
      discovery_filters: optional(
        t.bitmask('transport', 'address', 'svcid'),
        'What of the address of a discovery connection entries must match to be shown to it.',
        { default: 'nothing: all are shown', cli: option('--discovery-filters') },
      ),
      dhchap_digests: optional(t.bitmask('sha256', 'sha384', 'sha512'), 'Digests allowed for DH-HMAC-CHAP.', {
        default: 'all',
        cli: option('--dhchap-digests'),
      }),
      dhchap_dhgroups: optional(
        t.bitmask('null', 'ffdhe2048', 'ffdhe3072', 'ffdhe4096', 'ffdhe6144', 'ffdhe8192'),
        'Diffie-Hellman groups allowed for DH-HMAC-CHAP.',
        { default: 'all', cli: option('--dhchap-dhgroups') },
      ),
      dup_host_policy: optional(
        t.oneOf('allow', 'restrict_per_listener'),
        'Whether a host may have several controllers through one listener.',
        { default: 'allow', cli: option('--dup-host-policy') },
      ),
    },
    result: t.bool,
    resultText: '`true`',
    cli: {
      args: {
        passthru: optional(
          t.array(t.oneOf('all', ...(Object.keys(passthruCommands) as (keyof typeof passthruCommands)[]))),
          'Admin commands to hand to the device, or all.',
          { cli: option('-p, --passthru-admin-cmds') },
        ),
      },
      toParams({ passthru, ...rest }) {
        const names = (passthru as string[] | undefined) ?? [];
        if (names.length === 0) return rest;
        const all = names.includes('all') ? Object.keys(passthruCommands) : names;
        return { ...rest, admin_cmd_passthru: Object.fromEntries(all.map((command) => [command, true])) };
      },
    },
  }),
  define({
    name: 'nvmf_set_crdt',
    text: 'Sets the three Command Retry Delay Times hosts are told.',
    state: 'startup',
    params: {
      crdt1: optional(t.u16, 'First delay.', { unit: '100 ms', default: '0', cli: option('-t1, --crdt1') }),
      crdt2: optional(t.u16, 'Second delay.', { unit: '100 ms', default: '0', cli: option('-t2, --crdt2') }),
      crdt3: optional(t.u16, 'Third delay.', { unit: '100 ms', default: '0', cli: option('-t3, --crdt3') }),
    },
    result: t.bool,
    resultText: '`true`',
    cli: { print: 'json' },
  }),
  define({
    name: 'nvmf_create_transport',
    text: 'Makes a transport, with which listeners become possible. A target has at most one of each type.',
    relaxed: true,
    params: {
      trtype: required(t.string, 'Type: TCP.', { cli: option('-t, --trtype') }),
      tgt_name: tgtName('-g, --tgt-name'),
      max_queue_depth: optional(t.u16, 'Most commands outstanding on a queue.', {
        default: '128',
        cli: option('-q, --max-queue-depth'),
      }),
      max_io_qpairs_per_ctrlr: optional(t.u16, 'Most I/O queue pairs of a controller.', {
        default: '127',
        cli: option('-m, --max-io-qpairs-per-ctrlr'),
      }),
      in_capsule_data_size: optional(t.u32, 'Most data that travel inside a command capsule.', {
        unit: 'bytes',
        default: '4096',
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
        default: '128',
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
      disable_mappable_bar0: optional(t.bool, 'BAR0 cannot be mapped.', {
        ...onlyVfio,
        cli: set('-M, --disable-mappable-bar0'),
      }),
      disable_adaptive_irq: optional(t.bool, 'No adaptive interrupts.', {
        ...onlyVfio,
        cli: set('-I, --disable-adaptive-irq'),
      }),
      disable_shadow_doorbells: optional(t.bool, 'No shadow doorbells.', {
        ...onlyVfio,
        cli: set('-S, --disable-shadow-doorbells'),
      }),
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
        'Hand no unknown I/O command, and no Identify Namespace, to the bdev.',
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
          ...(oncs ? { masked_oncs: mask(oncs, ['nvmcmps', 'nvmdsmsv', 'nvmwzsv', 'reservs', 'nvmcpys']) } : {}),
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
      }),
    ),
    errors: [[-19, 'There is no transport of that type.']],
  }),
  define({
    name: 'nvmf_get_subsystems',
    text: 'Shows the subsystems with their listeners, hosts and namespaces, or the one of an NQN.',
    params: {
      nqn: optional(t.string, 'NQN of the one wanted.', { cli: positional }),
      tgt_name: tgtName('-t, --tgt-name'),
    },
    result: t.array(
      t.open({
        nqn: t.string,
        subtype: required(t.string, '"NVMe" or "Discovery".'),
        listen_addresses: t.array(addressInfo),
        allow_any_host: t.bool,
        hosts: t.array(t.open({ nqn: t.string })),
        serial_number: optional(t.string, 'NVMe subsystems only, as all that follow.'),
        model_number: optional(t.string, 'Model number.'),
        admin_label: optional(t.string, 'Label for administrators.'),
        max_namespaces: optional(t.u32, 'Most namespaces.'),
        passthrough: optional(t.bool, 'Commands are handed to the device.'),
        min_cntlid: optional(t.u16, 'Least controller id.'),
        max_cntlid: optional(t.u16, 'Greatest controller id.'),
        dmrsl: optional(t.u32, 'Dataset Management range size limit.', { unit: 'blocks' }),
        wzsl: optional(t.u8, 'Write Zeroes size limit, as a power of two of pages.'),
        namespaces: optional(
          t.array(
            t.open({
              nsid: t.u32,
              bdev_name: t.string,
              name: t.string,
              nguid: optional(t.string, 'Upper case hexadecimal.'),
              eui64: optional(t.string, 'Upper case hexadecimal.'),
              uuid: optional(t.string, 'UUID.'),
              anagrpid: optional(t.u32, 'ANA group, with ANA reporting.'),
            }),
          ),
          'Namespaces.',
        ),
      }),
    ),
    errors: [[-19, 'There is no such subsystem.']],
  }),
  define({
    name: 'nvmf_create_subsystem',
    text: 'Makes a subsystem, without listeners, hosts and namespaces.',
    params: {
      ...subsystem,
      serial_number: optional(t.string, 'Serial number, at most 20 printable ASCII characters.', {
        default: '00000000000000000000',
        cli: option('-s, --serial-number'),
      }),
      model_number: optional(t.string, 'Model number, at most 40 printable ASCII characters.', {
        cli: option('-d, --model-number'),
      }),
      admin_label: optional(t.string, 'Label for extended discovery entries, 4 to 256 ASCII characters.', {
        cli: option('--admin-label'),
      }),
      max_namespaces: optional(t.u32, 'Most namespaces.', {
        default: '32',
        cli: option('-m, --max-namespaces'),
      }),
      allow_any_host: optional(t.bool, 'Let every host connect, not only those of its list.', {
        default: 'false',
        cli: set('-a, --allow-any-host'),
      }),
      ana_reporting: optional(t.bool, 'Report asymmetric namespace access.', {
        default: 'false',
        cli: set('-r, --ana-reporting'),
      }),
      min_cntlid: optional(t.u16, 'Least controller id.', { default: '1', cli: option('-i, --min-cntlid') }),
      max_cntlid: optional(t.u16, 'Greatest controller id.', {
        default: '65519',
        cli: option('-I, --max-cntlid'),
      }),
      dmrsl: optional(t.u32, 'Dataset Management range size limit.', {
        unit: 'blocks',
        default: '0: none',
        cli: option('--dmrsl'),
      }),
      wzsl: optional(t.u8, 'Write Zeroes size limit, as a power of two of pages.', {
        default: '0: none',
        cli: option('--wzsl'),
      }),
      passthrough: optional(t.bool, 'Hand all commands to the device.', {
        default: 'false',
        cli: set('-p, --passthrough'),
      }),
      enable_nssr: optional(t.bool, 'Allow NVM subsystem reset.', {
        default: 'false',
        cli: set('-n, --enable-nssr'),
      }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [[-32603, 'The NQN is malformed or taken, or there are too many subsystems.']],
  }),
  define({
    name: 'nvmf_delete_subsystem',
    text: 'Disconnects the hosts of a subsystem and removes it.',
    params: subsystem,
    result: t.bool,
    resultText: '`true`',
    errors: [[-32602, 'There is no such subsystem.']],
  }),
  define({
    name: 'nvmf_subsystem_add_listener',
    text: 'Makes a subsystem reachable at an address.',
    params: {
      nqn: nqnOrDiscovery,
      tgt_name: tgtName('-p, --tgt-name'),
      listen_address: required(listenAddress, 'Address to listen on.', { cli: fields }),
      secure_channel: optional(t.bool, 'Accept only connections that begin with TLS.', {
        default: 'false',
        cli: set('-k, --secure-channel'),
      }),
      ana_state: optional(
        t.oneOf('optimized', 'non_optimized', 'inaccessible'),
        'ANA state of every group at first.',
        { default: 'optimized', cli: option('-n, --ana-state') },
      ),
      sock_impl: optional(t.string, 'Implementation of sockets.', { cli: option('-S, --sock-impl') }),
      numa_id: optional(t.i32, 'NUMA node namespaces must be on; -1 for any.', {
        default: '-1',
        cli: option('--numa-id'),
      }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [
      [-32602, 'The subsystem or transport does not exist, or nothing can listen there; the message says which.'],
    ],
    cli: { toParams: expandNqn('nqn') },
  }),
  define({
    name: 'nvmf_subsystem_remove_listener',
    text: 'Closes an address of a subsystem, with the connections made through it.',
    params: {
      nqn: nqnOrDiscovery,
      tgt_name: tgtName('-p, --tgt-name'),
      listen_address: required(listenAddress, 'Address to close.', { cli: fields }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [[-32602, 'The subsystem does not listen there.']],
    cli: { toParams: expandNqn('nqn') },
  }),
  define({
    name: 'nvmf_subsystem_add_ns',
    text: 'Adds a bdev to a subsystem as a namespace.',
    params: {
      nqn,
      namespace: required(
        t.object({
          nsid: optional(t.u32, 'Namespace id, 1 to 4294967294.', {
            default: 'the first free one',
            cli: option('-n, --nsid'),
          }),
          bdev_name: required(t.string, 'Bdev behind the namespace.', { cli: positional }),
          nguid: optional(t.string, '16 bytes in hexadecimal.', {
            default: 'the UUID',
            cli: option('-g, --nguid'),
          }),
          eui64: optional(t.string, '8 bytes in hexadecimal.', { cli: option('-e, --eui64') }),
          uuid: optional(t.uuid, 'UUID hosts see.', {
            default: 'the UUID of the bdev',
            cli: option('-u, --uuid'),
          }),
          ptpl_file: optional(t.string, 'File that keeps reservations through power loss.', {
            cli: option('-p, --ptpl-file'),
          }),
          anagrpid: optional(t.u32, 'ANA group.', { default: 'nsid', cli: option('-a, --anagrpid') }),
          no_auto_visible: optional(t.bool, 'Show it only to hosts added to the namespace.', {
            default: 'false',
            cli: set('-i, --no-auto-visible'),
          }),
          hide_metadata: optional(t.bool, 'Hide metadata of the bdev.', {
            deprecated: 'create the bdev without metadata',
            cli: set('-N, --hide-metadata'),
          }),
        }),
        'The namespace.',
        { cli: fields },
      ),
      tgt_name: tgtName('-t, --tgt-name'),
    },
    result: t.u32,
    resultText: 'Namespace id.',
    errors: [[-32602, 'The subsystem or bdev does not exist, or the id is taken; the message says which.']],
    cli: { positionals: ['nqn', 'bdev_name'], print: 'none' },
  }),
  define({
    name: 'nvmf_subsystem_remove_ns',
    text: 'Takes a namespace from a subsystem. Hosts are told.',
    params: {
      nqn,
      nsid: required(t.u32, 'Namespace id.', { cli: positional }),
      tgt_name: tgtName('-t, --tgt-name'),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [[-32602, 'There is no such subsystem or namespace.']],
  }),
  define({
    name: 'nvmf_subsystem_add_host',
    text: 'Lets a host connect to a subsystem.',
    params: {
      nqn,
      host: required(t.string, 'NQN of the host.', { cli: positional }),
      tgt_name: tgtName('-t, --tgt-name'),
      psk: optional(t.string, 'Name of its pre-shared key for TLS.', { cli: option('--psk') }),
      dhchap_key: optional(t.string, 'Name of its DH-HMAC-CHAP key.', { cli: option('--dhchap-key') }),
      dhchap_ctrlr_key: optional(t.string, 'Name of the key the controller answers with; needs dhchap_key.', {
        cli: option('--dhchap-ctrlr-key'),
      }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [[-32602, 'There is no such subsystem, or the host is on its list.']],
  }),
  define({
    name: 'nvmf_subsystem_remove_host',
    text: 'Takes a host from the list of a subsystem and disconnects it.',
    params: {
      nqn,
      host: required(t.string, 'NQN of the host.', { cli: positional }),
      tgt_name: tgtName('-t, --tgt-name'),
      timeout_ms: optional(t.u64, 'How long to wait for its I/O.', {
        unit: 'ms',
        cli: option('-T, --timeout-ms'),
      }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [[-32602, 'There is no such subsystem, or the host is not on its list.']],
  }),
  define({
    name: 'nvmf_subsystem_allow_any_host',
    text: 'Opens a subsystem to every host, or only to those of its list.',
    params: {
      nqn,
      allow_any_host: required(t.bool, 'Every host, or only those listed.', { cli: toggle('--allow-any-host') }),
      tgt_name: tgtName('-t, --tgt-name'),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [[-32602, 'There is no such subsystem.']],
  }),
  define({
    name: 'nvmf_subsystem_get_controllers',
    text: 'Shows the controllers of a subsystem.',
    params: subsystem,
    result: t.array(
      t.open({
        cntlid: t.u32,
        cntrltype: optional(t.string, '"io" or "discovery".'),
        hostnqn: t.string,
        hostid: t.string,
        num_io_qpairs: t.u32,
      }),
    ),
    errors: [[-32602, 'There is no such subsystem.']],
  }),
  define({
    name: 'nvmf_subsystem_get_qpairs',
    text: 'Shows the queue pairs of a subsystem.',
    params: subsystem,
    result: t.array(
      t.open({
        cntlid: t.u32,
        qid: t.u32,
        state: required(t.string, '"enabled", "deactivating" and so on.'),
        thread: required(t.string, 'Thread that serves it.'),
        hostnqn: optional(t.string, 'Host.'),
        listen_address: addressInfo,
        peer_address: optional(addressInfo, 'Address of the host.'),
      }),
    ),
    errors: [[-32602, 'There is no such subsystem.']],
  }),
  define({
    name: 'nvmf_subsystem_get_listeners',
    text: 'Shows the listeners of a subsystem.',
    params: subsystem,
    result: t.array(
      t.open({
        address: addressInfo,
        ana_states: optional(
          t.array(t.object({ ana_group: t.u32, ana_state: t.string })),
          'State of each ANA group, with ANA reporting.',
        ),
      }),
    ),
    errors: [[-32602, 'There is no such subsystem.']],
  }),
  define({
    name: 'nvmf_discovery_add_referral',
    text: 'Makes the discovery service point to another one.',
    params: {
      tgt_name: tgtName('-p, --tgt-name'),
      address: required(listenAddress, 'Address of the other service.', { cli: fields }),
      secure_channel: optional(t.bool, 'Tell hosts that it wants TLS.', {
        default: 'false',
        cli: set('-k, --secure-channel'),
      }),
      subnqn: optional(t.string, 'Its NQN.', {
        default: discoveryNqn,
        cli: option('-n, --subnqn'),
      }),
    },
    result: t.bool,
    resultText: '`true`',
    cli: { toParams: expandNqn('subnqn') },
  }),
  define({
    name: 'nvmf_discovery_remove_referral',
    text: 'Removes what nvmf_discovery_add_referral added.',
    params: {
      tgt_name: tgtName('-p, --tgt-name'),
      address: required(listenAddress, 'Address of the other service.', { cli: fields }),
      subnqn: optional(t.string, 'Its NQN.', {
        default: discoveryNqn,
        cli: option('-n, --subnqn'),
      }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [[-32603, 'There is no such referral.']],
    cli: { toParams: expandNqn('subnqn') },
  }),
  define({
    name: 'nvmf_discovery_get_referrals',
    text: 'Shows the referrals of the discovery service.',
    params: { tgt_name: tgtName('-t, --tgt-name') },
    result: t.array(
      t.open({ address: addressInfo, secure_channel: t.bool, subnqn: optional(t.string, 'NQN.') }),
    ),
  }),
  define({
    name: 'nvmf_get_stats',
    text: 'Counts connections and commands of every poll group.',
    params: { tgt_name: tgtName('-t, --tgt-name') },
    result: t.object({
      tick_rate: required(t.u64, 'Ticks in a second.'),
      poll_groups: t.array(
        t.open({
          name: t.string,
          admin_qpairs: required(t.u32, 'Admin queue pairs since the start.'),
          io_qpairs: required(t.u32, 'I/O queue pairs since the start.'),
          current_admin_qpairs: t.u32,
          current_io_qpairs: t.u32,
          current_unassociated_qpairs: optional(t.u32, 'Connections that have not said Connect yet.'),
          pending_bdev_io: required(t.u64, 'Commands waiting for memory of the bdev layer.'),
          completed_nvme_io: t.u64,
          transports: t.array(t.open({ trtype: t.string })),
        }),
      ),
    }),
  }),
];
