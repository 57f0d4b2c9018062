import {
  bdevErrors,
  comesWithBase,
  deleting,
  inFamily,
  type MethodsByName,
  option,
  required,
  stackedBdevFields,
  t,
} from '@spdk-ts/rpc-schema';

const define = inFamily('passthru');
/** The methods of the passthru module. */
export const methods = [
  define({
    name: 'bdev_passthru_create',
    text: `Makes a bdev that hands every I/O to its base bdev. ${comesWithBase}`,
    decodeError: -32603,
    params: {
      base_bdev_name: stackedBdevFields.base_bdev_name,
      name: required(t.string, 'Name of the new bdev.', { cli: option('-p, --name') }),
      uuid: stackedBdevFields.uuid,
    },
    result: t.string,
    resultText: 'Name of the bdev.',
    errors: bdevErrors.onBase,
  }),
  define({
    name: 'bdev_passthru_delete',
    text: 'Removes a passthru bdev, or one that waits for its base. The base stays.',
    ...deleting('passthru'),
  }),
];

declare module '@spdk-ts/rpc-schema' {
  interface MethodTable extends MethodsByName<typeof methods> {}
}
