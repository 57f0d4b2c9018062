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

const define = inFamily('aio');
/** The methods of the aio module. */
export const methods = [
  define({
    name: 'bdev_aio_create',
    text:
      "Makes a bdev of a regular file or a block device, over the kernel's AIO: past the page cache (O_DIRECT) " +
      'where the file system can, else through it, where AIO blocks; that is logged.',
    decodeError: -32603,
    params: {
      filename: fileBdevFields.filename,
      name: bdevFields.name('aio'),
      block_size: fileBdevFields.block_size,
      readonly: fileBdevFields.readonly,
      fallocate: optional(t.bool, 'Unmap, and write zeroes without writing, with fallocate.', {
        default: 'false',
        cli: set('-f, --fallocate'),
      }),
      uuid: fileBdevFields.uuid,
      nowait: optional(
        t.bool,
        'Never wait in the kernel for a request (RWF_NOWAIT): the ring takes those that would.',
        {
          default: 'false',
          cli: set('--nowait'),
        },
      ),
    },
    result: t.string,
    resultText: 'Name of the bdev.',
    errors: [
      ...bdevErrors.onFile,
      [-95, 'There is no AIO here: the message says why. Use bdev_file_create.'],
    ],
  }),
  define({
    name: 'bdev_aio_rescan',
    text: 'Takes over the size that the file or device of an aio bdev has now. Users of the bdev are told.',
    decodeError: -32603,
    params: { name: bdevFields.name('aio') },
    result: t.bool,
    resultText: '`true`',
    errors: bdevErrors.rescan,
  }),
  define({
    name: 'bdev_aio_delete',
    text: 'Removes an aio bdev. The file stays.',
    ...deleting('aio'),
  }),
];

declare module '@spdk-ts/rpc-schema' {
  interface MethodTable extends MethodsByName<typeof methods> {}
}
