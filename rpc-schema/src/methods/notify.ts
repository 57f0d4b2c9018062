import { inFamily } from '../method.ts';
import { hidden, option, optional, t } from '../types.ts';

const define = inFamily('notify');

export const notifyMethods = [
  define({
    name: 'notify_get_types',
    text: 'Lists the kinds of events that are recorded.',
    result: t.array(t.string),
  }),
  define({
    name: 'notify_get_notifications',
    text: 'Gives recorded events. The last 1024 are kept; an id older than those starts at the oldest.',
    decodeText: 'Invalid argument',
    params: {
      id: optional(t.u64, 'First event wanted.', { default: '0', cli: option('-i, --id') }),
      max: optional(t.u64, 'Most events wanted.', { default: 'all', cli: option('-n, --max') }),
    },
    result: t.array(t.object({ type: t.string, ctx: t.string, id: t.u64 })),
  }),
  define({
    name: 'notify_subscribe',
    text: 'Asks for events as they happen, on this connection. For WebSocket connections: each event then arrives as a notification `{"jsonrpc":"2.0","method":"notify","params":{"type","ctx","id"}}`.',
    state: 'both',
    own: true,
    params: {
      types: optional(t.array(t.string, 64), 'Kinds of events wanted.', { default: 'all', cli: hidden }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [[-95, 'The connection is not a WebSocket; poll notify_get_notifications instead.']],
    cli: { hidden: true },
  }),
  define({
    name: 'notify_unsubscribe',
    text: 'Ends what notify_subscribe began on this connection.',
    state: 'both',
    own: true,
    result: t.bool,
    resultText: '`true` if there was a subscription',
    cli: { hidden: true },
  }),
];
