import { fields, option, optional, positional, required, set, t, toggle } from '../types.ts';
import { addressInfo, define, expandNqn, listenAddress, tgtName } from './nvmf-common.ts';

const nqn = required(t.string, 'NQN of the subsystem.', { cli: positional });
const subsystem = { nqn, tgt_name: tgtName('-t, --tgt-name') } as const;
const nqnOrDiscovery = required(
  t.string,
  'NQN of the subsystem; on the command line `discovery` stands for the one of the discovery service.',
  { cli: positional },
);

export const nvmfSubsystemMethods = [
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
      static_controllers: optional(
        t.bool,
        'Hosts may ask for a controller by its id (static controller model). SPDK has no such option.',
        { default: 'false', cli: set('--static-controllers') },
      ),
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
      secure_channel: optional(t.bool, 'Accept only connections that begin with TLS 1.3 and a PSK.', {
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
      [
        -32602,
        'The subsystem or transport does not exist, or nothing can listen there; the message says which.',
      ],
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
          max_registrants: optional(t.u32, 'Hosts that may register for reservations, at most 4096.', {
            default: '16',
            cli: option('--max-registrants'),
          }),
          hide_metadata: optional(t.bool, 'Make and check metadata of the bdev here; hosts see none.', {
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
    errors: [
      [
        -32602,
        'There is no such subsystem, the host is on its list, or a key does not exist or cannot be used.',
      ],
    ],
  }),
  define({
    name: 'nvmf_subsystem_set_keys',
    text: 'Changes the DH-HMAC-CHAP keys of a host. What is not given stays; what is connected stays until it authenticates itself again.',
    params: {
      nqn,
      host: required(t.string, 'NQN of the host.', { cli: positional }),
      tgt_name: tgtName('-t, --tgt-name'),
      dhchap_key: optional(t.string, 'Name of its DH-HMAC-CHAP key.', { cli: option('--dhchap-key') }),
      dhchap_ctrlr_key: optional(t.string, 'Name of the key the controller answers with.', {
        cli: option('--dhchap-ctrlr-key'),
      }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [
      [
        -32602,
        'There is no such subsystem, the host is not on its list, or a key does not exist or cannot be used.',
      ],
    ],
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
      allow_any_host: required(t.bool, 'Every host, or only those listed.', {
        cli: toggle('--allow-any-host'),
      }),
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
        auth: optional(
          t.object({
            state: required(t.string, '"negotiate" to "completed", or "error".'),
            digest: t.string,
            dhgroup: t.string,
          }),
          'Its authentication, if it must or does authenticate itself.',
        ),
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
];
