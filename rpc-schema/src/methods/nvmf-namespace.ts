import { fields, option, optional, positional, required, t } from '../types.ts';
import { define, listenAddress, tgtName } from './nvmf-common.ts';

const nqn = required(t.string, 'NQN of the subsystem.', { cli: positional });
const nsid = required(t.u32, 'Namespace id.', { cli: positional });
const tgt_name = tgtName('-t, --tgt-name');
const host = required(t.string, 'NQN of the host.', { cli: positional });

export const nvmfNamespaceMethods = [
  define({
    name: 'nvmf_subsystem_listener_set_ana_state',
    text: 'Changes the ANA state of a listener: of one ANA group, or of all. Hosts are told.',
    params: {
      nqn,
      tgt_name: tgtName('-p, --tgt-name'),
      listen_address: required(listenAddress, 'The listener.', { cli: fields }),
      ana_state: required(t.oneOf('optimized', 'non_optimized', 'inaccessible'), 'ANA state.', {
        cli: option('-n, --ana-state'),
      }),
      anagrpid: optional(t.u32, 'ANA group.', { default: 'all groups', cli: option('-g, --anagrpid') }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [[-32602, 'There is no such subsystem or listener, or ANA is not reported.']],
  }),
  define({
    name: 'nvmf_subsystem_set_ns_ana_group',
    text: 'Moves a namespace to another ANA group. Hosts are told.',
    params: { nqn, nsid, anagrpid: required(t.u32, 'ANA group.', { cli: positional }), tgt_name },
    result: t.bool,
    resultText: '`true`',
    errors: [[-32602, 'There is no such subsystem or namespace, or ANA is not reported.']],
  }),
  define({
    name: 'nvmf_ns_add_host',
    text: 'Shows a namespace that was added with no_auto_visible to a host.',
    params: { nqn, nsid, host, tgt_name },
    result: t.bool,
    resultText: '`true`',
    errors: [[-32602, 'There is no such subsystem or namespace, or every host sees it.']],
  }),
  define({
    name: 'nvmf_ns_remove_host',
    text: 'Hides a namespace from a host. When the call returns, no command of the host at it is under way.',
    params: { nqn, nsid, host, tgt_name },
    result: t.bool,
    resultText: '`true`',
    errors: [[-32602, 'There is no such subsystem or namespace, or every host sees it.']],
  }),
  define({
    name: 'nvmf_ns_get_reservations',
    text: 'Shows the reservations of the namespaces of a subsystem, and how many hosts may still register.',
    params: { nqn, nsid: optional(t.u32, 'The namespace wanted.', { cli: positional }), tgt_name },
    result: t.array(
      t.open({
        nsid: t.u32,
        generation: required(t.u32, 'Counts commands that changed registrations.'),
        rtype: required(t.u32, 'Reservation type, 1 to 6; 0: none.'),
        ptpl: required(t.bool, 'Reservations persist through power loss.'),
        ptpl_file: optional(t.string, 'File that keeps them.'),
        num_registrants: t.u32,
        max_registrants: t.u32,
        registrants: t.array(
          t.object({
            hostid: required(t.string, 'Host identifier, as a UUID.'),
            rkey: required(t.string, 'Reservation key, hexadecimal.'),
            holder: required(t.bool, 'It holds the reservation.'),
          }),
        ),
      }),
    ),
    errors: [[-32602, 'There is no such subsystem.']],
  }),
];
