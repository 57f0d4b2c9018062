import { hidden, option, optional, required, t } from '../types.ts';
import { define, tgtName } from './nvmf-common.ts';

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

export const nvmfTargetMethods = [
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
      discovery_nqn: optional(
        t.string,
        'NQN of the discovery service’s own, beside nqn.2014-08.org.nvmexpress.discovery. SPDK has no such option.',
        { default: 'none', cli: hidden },
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
          transports: t.array(
            t.open({
              trtype: t.string,
              doorbells_trapped: optional(
                t.u64,
                'VFIOUSER: doorbells that clients have written by messages.',
              ),
              doorbells_mapped: optional(t.u64, 'VFIOUSER: new tails found in the memory of BAR0.'),
              doorbells_shadowed: optional(t.u64, 'VFIOUSER: new tails found in shadow doorbells.'),
            }),
          ),
        }),
      ),
    }),
  }),
];
