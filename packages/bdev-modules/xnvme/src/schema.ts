import {
  bdevErrors,
  bdevFields,
  fileBdevFields,
  inFamily,
  type MethodsByName,
  option,
  optional,
  positional,
  required,
  set,
  t,
} from '@spdk-ts/rpc-schema';

const define = inFamily('xnvme');
/** The methods of the xnvme module. */
export const methods = [
  define({
    name: 'bdev_xnvme_create',
    text:
      'Makes a bdev of a file or block device over `libaio` or `io_uring`, or of an NVMe namespace whose commands go ' +
      'to the device as they are (`io_uring_cmd`, on its generic character device `/dev/ngXnY`). `block_size` and `uuid` ' +
      'are not in SPDK.',
    decodeError: -32603,
    params: {
      filename: required(t.string, 'Path of the file or device; of `/dev/ngXnY` for `io_uring_cmd`.', {
        cli: positional,
      }),
      name: bdevFields.name('xnvme'),
      io_mechanism: required(t.string, '`libaio`, `io_uring` or `io_uring_cmd`.', { cli: positional }),
      conserve_cpu: optional(
        t.bool,
        'Sleep until the device tells of completions. Otherwise it is polled where it can be: ' +
          '`driver_specific` says whether it is, and why not.',
        { default: 'false', cli: set('-c, --conserve-cpu') },
      ),
      block_size: optional(
        t.u32,
        'Data in a block: a power of two from 512 to 65536. Devices have their own.',
        {
          unit: 'bytes',
          default: "the device's; 512 for a regular file",
          cli: option('-b, --block-size'),
        },
      ),
      uuid: fileBdevFields.uuid,
    },
    result: t.string,
    resultText: 'Name of the bdev.',
    errors: [
      ...bdevErrors.onFile,
      [-22, 'io_mechanism is none of the three, or cannot be used on such a file.'],
      [-95, 'The mechanism is not available here, or not for this namespace: the message says why.'],
    ],
  }),
  define({
    name: 'bdev_xnvme_delete',
    text: 'Removes an xnvme bdev. The file or device stays.',
    decodeError: -32603,
    params: { name: bdevFields.name('xnvme') },
    result: t.bool,
    resultText: '`true`',
    errors: [bdevErrors.noDevice],
  }),
];

declare module '@spdk-ts/rpc-schema' {
  interface MethodTable extends MethodsByName<typeof methods> {}
}
