import { inFamily, option, optional, positional, required, t } from '@spdk-ts/rpc-schema';

const define = inFamily('nvme');

const dhchap = {
  dhchap_key: optional(
    t.string,
    'Name of the key that this host proves itself with in DH-HMAC-CHAP, in the keyring.',
    { default: 'none', cli: option('--dhchap-key') },
  ),
  dhchap_ctrlr_key: optional(t.string, 'Name of the key that the controller is to prove that it has.', {
    default: 'none',
    cli: option('--dhchap-ctrlr-key'),
  }),
};

/** Parameters that name keys of the keyring. */
export const keys = {
  psk: optional(
    t.string,
    'Name of the key of TLS 1.3, in the keyring: all connections are secured with it.',
    {
      default: 'none',
      cli: option('-k, --psk'),
    },
  ),
  ...dhchap,
};

/** Methods about who may use a controller. */
export const accessMethods = [
  define({
    name: 'bdev_nvme_set_keys',
    text: 'Gives a controller other keys of DH-HMAC-CHAP, and authenticates its queues anew with them, beside their I/O. Without `dhchap_key` there is no key any more.',
    params: {
      name: required(t.string, 'Name of the controller.', { cli: positional }),
      ...dhchap,
    },
    result: t.bool,
    resultText: '`true`, once every queue has been authenticated.',
    errors: [
      [-13, 'One side does not believe the other: the keys are those of before.'],
      [-19, 'No such controller.'],
      [-126, 'There is no key of a name.'],
    ],
  }),
];
