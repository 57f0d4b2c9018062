import {
  bdevErrors,
  bdevFields,
  deleting,
  inFamily,
  type MethodsByName,
  option,
  optional,
  positional,
  required,
  set,
  t,
} from '@spdk-ts/rpc-schema';

const define = inFamily('file');
/** The methods of the file module. */
export const methods = [
  define({
    name: 'bdev_file_create',
    text: 'Makes a bdev of a regular file or a block device. Works on every platform; what was flushed is on stable storage.',
    decodeError: -32603,
    own: true,
    params: {
      filename: required(t.string, 'Path of the file or block device.', { cli: positional }),
      name: bdevFields.name('file'),
      block_size: optional(t.u32, 'Data in a block: a power of two from 512 to 65536.', {
        unit: 'bytes',
        default: '512',
        cli: positional,
      }),
      size: optional(
        t.u64,
        'Size the file is to have: it is created or extended to this, never made smaller. Without it the file must exist.',
        { unit: 'bytes', cli: option('-z, --size') },
      ),
      readonly: optional(t.bool, 'Refuse writes.', { default: 'false', cli: set('-r, --readonly') }),
      uuid: bdevFields.uuid,
    },
    result: t.string,
    resultText: 'Name of the bdev.',
    errors: [
      bdevErrors.exists,
      [-2, 'The file does not exist and no size was given.'],
      [-13, 'The file may not be opened.'],
      [-22, 'A size that cannot be.'],
    ],
  }),
  define({
    name: 'bdev_file_delete',
    text: 'Removes a file bdev. The file stays.',
    own: true,
    ...deleting('file'),
  }),
  define({
    name: 'bdev_file_resize',
    text: 'Changes the size of a file bdev and of its file. Users of the bdev are told.',
    decodeError: -32603,
    own: true,
    params: { name: bdevFields.name('file'), new_size: bdevFields.newSize },
    result: t.bool,
    resultText: '`true`',
    errors: [
      bdevErrors.noDevice,
      [-16, 'Smaller than now while the bdev is open.'],
      [-95, 'A block device has the size it has.'],
    ],
    cli: { print: 'json' },
  }),
];

declare module '@spdk-ts/rpc-schema' {
  interface MethodTable extends MethodsByName<typeof methods> {}
}
