import { option, optional, required, t } from '../types.ts';
import { define, tgtName } from './nvmf-common.ts';

const limit = (text: string, otherwise: number, flag: string) =>
  optional(t.u32, text, { default: String(otherwise), cli: option(`--${flag}`) });
const timeout = (text: string, otherwise: number, flag: string) =>
  optional(t.u32, text, { unit: 'ms', default: String(otherwise), cli: option(`--${flag}`) });

export const nvmfLimitMethods = [
  define({
    name: 'spdk_ts_nvmf_set_limits',
    text: 'Changes limits of the target; those that are left out stay. What there is already stays too.',
    state: 'both',
    params: {
      tgt_name: tgtName('-t, --tgt-name'),
      connections: limit('Connections of all hosts.', 8192, 'connections'),
      pending_connections: limit('Those of them without a Connect command yet.', 1024, 'pending-connections'),
      controllers: limit('Controllers of all subsystems.', 4096, 'controllers'),
      async_events: limit('Asynchronous Event Requests of a controller, up to 256.', 4, 'async-events'),
      hosts: limit('Hosts on the list of a subsystem.', 1024, 'hosts'),
      listeners: limit('Listeners of a subsystem.', 16, 'listeners'),
      referrals: limit('Referrals of the discovery service.', 256, 'referrals'),
      icreq_timeout_ms: timeout('How long a connection may be without ICReq.', 10_000, 'icreq-timeout-ms'),
      connect_timeout_ms: timeout('How long it may then be without Connect.', 30_000, 'connect-timeout-ms'),
      stall_timeout_ms: timeout(
        'How long a host may neither go on with a PDU that it has begun nor take what is sent to it.',
        30_000,
        'stall-timeout-ms',
      ),
      transfer_timeout_ms: timeout(
        'How long a PDU may take to arrive, and what is sent to be taken, however steadily it goes on.',
        300_000,
        'transfer-timeout-ms',
      ),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [[-32602, 'A limit is 0 or too large.']],
  }),
  define({
    name: 'spdk_ts_nvmf_get_limits',
    text: 'Shows every limit of the target, and how near to it things are.',
    params: { tgt_name: tgtName('-t, --tgt-name') },
    result: t.object({
      limits: t.array(
        t.object({
          name: t.string,
          scope: required(
            t.oneOf('target', 'subsystem', 'namespace', 'controller', 'queue'),
            'What the limit is one of each of.',
          ),
          limit: t.u32,
          current: required(
            t.u32,
            'Of the target; of subsystems, namespaces, controllers and queues, that which has most.',
          ),
          refused: optional(t.u32, 'How often one more was refused to a host.'),
        }),
      ),
      waiting: required(
        t.object({
          buffers: required(t.u32, 'Commands that wait for a buffer.'),
          bdev_io: required(t.u32, 'Commands that wait for an object of the bdev layer.'),
        }),
        'What waits for others to give something back.',
      ),
      icreq_timeout_ms: t.u32,
      connect_timeout_ms: t.u32,
      stall_timeout_ms: t.u32,
      transfer_timeout_ms: t.u32,
      dropped_connections: required(t.u32, 'Connections ended because of these times.'),
    }),
  }),
  define({
    name: 'nvmf_publish_mdns_prr',
    text: 'Is refused: the target speaks no multicast DNS.',
    params: { tgt_name: tgtName('-t, --tgt-name') },
    result: t.bool,
    errors: [[-95, 'Always.']],
  }),
  define({
    name: 'nvmf_stop_mdns_prr',
    text: 'Does nothing, as nothing is published by multicast DNS.',
    params: { tgt_name: tgtName('-t, --tgt-name') },
    result: t.bool,
    resultText: '`true`',
  }),
];
