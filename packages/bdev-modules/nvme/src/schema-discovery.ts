import { inFamily, option, optional, required, set, t } from '@spdk-ts/rpc-schema';
import { timeouts, trid } from './schema-common.ts';

const define = inFamily('nvme');

/** Methods about discovery services. */
export const discoveryMethods = [
  define({
    name: 'bdev_nvme_start_discovery',
    text: 'Stays connected to a discovery controller and to those that it refers to. The subsystems that they name are attached as controllers `<name>0`, `<name>1` …, and detached when they are not named any more.',
    params: {
      name: required(t.string, 'Name of the service, with which those of its controllers begin.', {
        cli: option('-b, --name'),
      }),
      trtype: required(t.string, 'Transport: `TCP`.', { cli: option('-t, --trtype') }),
      traddr: required(t.string, 'Address.', { cli: option('-a, --traddr') }),
      adrfam: optional(t.string, '`IPv4` or `IPv6`.', {
        default: 'as the address tells',
        cli: option('-f, --adrfam'),
      }),
      trsvcid: optional(t.string, 'Port.', { default: '8009', cli: option('-s, --trsvcid') }),
      hostnqn: optional(t.string, 'NQN of this host.', {
        default: 'the same always',
        cli: option('-q, --hostnqn'),
      }),
      wait_for_attach: optional(
        t.bool,
        'Answer when everything that is named at first is attached. If something cannot be, that is the answer, and the service is stopped.',
        { default: 'false', cli: set('-w, --wait-for-attach') },
      ),
      attach_timeout_ms: optional(
        t.u64,
        'How long that may take, which it then waits for; then the service is stopped. 0: as long as it likes.',
        { unit: 'ms', default: '0', cli: option('-T, --attach-timeout-ms') },
      ),
      ...timeouts,
    },
    result: t.bool,
    resultText: '`true`',
    errors: [
      [-5, 'With `wait_for_attach`: a controller cannot be attached, the message says which step failed.'],
      [-17, 'There is a service of this name, or one at this address.'],
      [-22, 'A parameter is wrong: the message says which.'],
      [-110, 'It took longer than `attach_timeout_ms`: the message says what was missing.'],
    ],
  }),
  define({
    name: 'bdev_nvme_stop_discovery',
    text: 'Leaves the discovery controllers of a service, and detaches the controllers that it has attached.',
    params: { name: required(t.string, 'Name of the service.', { cli: option('-b, --name') }) },
    result: t.bool,
    resultText: '`true`',
    errors: [[-19, 'There is no such service.']],
  }),
  define({
    name: 'bdev_nvme_get_discovery_info',
    text: 'Tells of discovery services, and of the discovery controllers that they were referred to.',
    params: {},
    result: t.array(t.object({ name: t.string, trid, referrals: t.array(t.object({ trid })) })),
  }),
];
