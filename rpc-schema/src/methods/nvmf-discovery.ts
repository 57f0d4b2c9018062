import { fields, option, optional, required, set, t } from '../types.ts';
import { addressInfo, define, discoveryNqn, expandNqn, listenAddress, tgtName } from './nvmf-common.ts';

export const nvmfDiscoveryMethods = [
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
];
