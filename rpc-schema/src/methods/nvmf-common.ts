import { inFamily } from '../method.ts';
import { option, optional, required, t } from '../types.ts';

export const define = inFamily('nvmf');

export const discoveryNqn = 'nqn.2014-08.org.nvmexpress.discovery';

export const tgtName = (flags: string) =>
  optional(t.string, 'Target the call is for; there is one.', { cli: option(flags) });

/** A transport address as parameters have it. Transport and family are compared without regard to case. */
export const listenAddress = t.object({
  trtype: required(t.string, 'Transport: TCP or VFIOUSER.', { cli: option('-t, --trtype') }),
  adrfam: optional(t.string, 'Address family: ipv4 or ipv6.', {
    default: 'from traddr; VFIOUSER has none',
    cli: option('-f, --adrfam'),
  }),
  traddr: required(t.string, 'Address, such as 127.0.0.1 or ::1. VFIOUSER: the absolute path of a folder.', {
    cli: option('-a, --traddr'),
  }),
  trsvcid: optional(
    t.string,
    'Service: the port number, as a string. TCP needs it; VFIOUSER: "0", or left out.',
    {
      cli: option('-s, --trsvcid'),
    },
  ),
});

/** A transport address as results have it. */
export const addressInfo = t.open({
  trtype: t.string,
  adrfam: optional(t.string, 'IPv4 or IPv6.'),
  traddr: t.string,
  trsvcid: optional(t.string, 'Port.'),
});

/** On the command line, `discovery` stands for the NQN of the discovery service. */
export const expandNqn =
  (key: string) =>
  (args: Record<string, unknown>): Record<string, unknown> =>
    args[key] === 'discovery' ? { ...args, [key]: discoveryNqn } : args;
