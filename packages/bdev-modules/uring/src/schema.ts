import {
  bdevErrors,
  bdevFields,
  deleting,
  fileBdevFields,
  inFamily,
  type MethodsByName,
  optional,
  set,
  t,
} from '@spdk-ts/rpc-schema';

const define = inFamily('uring');
/** The methods of the uring module. */
export const methods = [
  define({
    name: 'bdev_uring_create',
    text:
      'Makes a bdev of a regular file or a block device, over the io_uring of each reactor: past the page cache ' +
      '(O_DIRECT) where the file system can, else through it, which is logged. `readonly`, `io_poll` and `sq_poll` are not in SPDK.',
    decodeError: -32603,
    params: {
      filename: fileBdevFields.filename,
      name: bdevFields.name('uring'),
      block_size: fileBdevFields.block_size,
      uuid: fileBdevFields.uuid,
      readonly: fileBdevFields.readonly,
      io_poll: optional(
        t.bool,
        'Look for completions in the device instead of waiting for interrupts: for NVMe devices with polled queues.',
        { default: 'false', cli: set('--io-poll') },
      ),
      sq_poll: optional(
        t.bool,
        'Let a thread of the kernel take submissions: they cost no system call, and it a processor while there are some.',
        { default: 'false', cli: set('--sq-poll') },
      ),
    },
    result: t.string,
    resultText: 'Name of the bdev.',
    errors: [
      ...bdevErrors.onFile,
      [-95, 'There is no io_uring here: the message says why. Use bdev_file_create.'],
      [-95, 'io_poll: the device cannot be polled.'],
      [-95, 'sq_poll: the kernel does not give a thread.'],
      [-22, 'io_poll and sq_poll exclude each other.'],
    ],
  }),
  define({
    name: 'bdev_uring_rescan',
    text: 'Takes over the size that the file or device of a uring bdev has now. Users of the bdev are told.',
    decodeError: -32603,
    params: { name: bdevFields.name('uring') },
    result: t.bool,
    resultText: '`true`',
    errors: bdevErrors.rescan,
  }),
  define({
    name: 'bdev_uring_delete',
    text: 'Removes a uring bdev. The file stays.',
    ...deleting('uring'),
  }),
];

declare module '@spdk-ts/rpc-schema' {
  interface MethodTable extends MethodsByName<typeof methods> {}
}
