import { inFamily } from '../method.ts';
import { option, optional, required, t, toggle } from '../types.ts';

const define = inFamily('sock');

const impl = required(t.string, 'Implementation of sockets, such as posix.', { cli: option('-i, --impl') });

export const sockMethods = [
  define({
    name: 'sock_impl_get_options',
    text: 'Tells the options of an implementation of sockets.',
    state: 'both',
    params: { impl_name: impl },
    result: t.object({
      recv_buf_size: required(t.u32, 'Receive buffer of a socket.', { unit: 'bytes' }),
      send_buf_size: required(t.u32, 'Send buffer of a socket.', { unit: 'bytes' }),
      enable_recv_pipe: t.bool,
      enable_quickack: t.bool,
      enable_placement_id: t.u32,
      enable_zerocopy_send_server: t.bool,
      enable_zerocopy_send_client: t.bool,
      zerocopy_threshold: t.u32,
      tls_version: t.u32,
      enable_ktls: t.bool,
    }),
    errors: [[-22, 'There is no such implementation.']],
  }),
  define({
    name: 'sock_impl_set_options',
    text: 'Changes options of an implementation of sockets. What is not given stays.',
    state: 'startup',
    params: {
      impl_name: impl,
      recv_buf_size: optional(t.u32, 'Receive buffer of a socket.', {
        unit: 'bytes',
        cli: option('-r, --recv-buf-size'),
      }),
      send_buf_size: optional(t.u32, 'Send buffer of a socket.', {
        unit: 'bytes',
        cli: option('-s, --send-buf-size'),
      }),
      enable_recv_pipe: optional(t.bool, 'Read into a pipe of larger pieces.', {
        cli: toggle('--recv-pipe'),
      }),
      enable_quickack: optional(t.bool, 'Acknowledge TCP segments at once.', { cli: toggle('--quickack') }),
      enable_placement_id: optional(
        t.u32,
        'How connections are grouped on reactors: 0 not at all, 1 by receive queue, 2 by incoming CPU.',
        { cli: option('-p, --enable-placement-id') },
      ),
      enable_zerocopy_send_server: optional(t.bool, 'Send without a copy from accepted sockets.', {
        cli: toggle('--zerocopy-send-server'),
      }),
      enable_zerocopy_send_client: optional(t.bool, 'Send without a copy from connected sockets.', {
        cli: toggle('--zerocopy-send-client'),
      }),
      zerocopy_threshold: optional(t.u32, 'Smallest piece that is sent without a copy.', {
        unit: 'bytes',
        cli: option('--zerocopy-threshold'),
      }),
      tls_version: optional(t.u32, 'TLS version, 13 for TLS 1.3 (ssl only).', {
        cli: option('--tls-version'),
      }),
      enable_ktls: optional(t.bool, 'TLS in the kernel (ssl only).', {
        default: 'false',
        cli: toggle('--ktls'),
      }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [[-22, 'There is no such implementation.']],
  }),
  define({
    name: 'sock_set_default_impl',
    text: 'Chooses the implementation of sockets that is used when none is named.',
    state: 'startup',
    params: { impl_name: impl },
    result: t.bool,
    resultText: '`true`',
    errors: [[-22, 'There is no such implementation.']],
    cli: { print: 'json' },
  }),
  define({
    name: 'sock_get_default_impl',
    text: 'Tells the implementation of sockets that is used when none is named.',
    state: 'both',
    result: t.object({ impl_name: t.string }),
  }),
];
