import {
  bdevErrors,
  bdevFields,
  blocksOfMib,
  clear,
  deleting,
  inFamily,
  type MethodsByName,
  option,
  optional,
  positional,
  required,
  t,
} from '@spdk-ts/rpc-schema';

const define = inFamily('script');
/** The methods of the script module. */
export const methods = [
  define({
    name: 'bdev_script_create',
    text: 'Makes a bdev whose I/O functions are a JavaScript module, of which each reactor opens an instance (docs/bdev-script.md).',
    decodeError: -32603,
    own: true,
    params: {
      name: bdevFields.name('script'),
      path: required(t.string, 'Path of the module; TypeScript where this Node.js loads it.', {
        cli: positional,
      }),
      block_size: bdevFields.blockSize,
      num_blocks: bdevFields.numBlocks,
      params: optional(t.open({}), 'For the script to use.', { default: '{}', cli: option('--params') }),
      watch: optional(t.bool, 'Reload the script when its file changes.', {
        default: 'true',
        cli: clear('--no-watch'),
      }),
      uuid: bdevFields.uuid,
    },
    result: t.string,
    resultText: 'Name of the bdev.',
    errors: [
      bdevErrors.exists,
      [-2, 'There is no such file.'],
      [-12, 'The memory that the script wants could not be had.'],
      [
        -22,
        'The script cannot be loaded or opened, or a size that cannot be; the message says what it threw.',
      ],
    ],
    cli: {
      args: bdevFields.totalSize('Size of the bdev.'),
      positionals: ['name', 'path', 'total_size', 'block_size'],
      toParams: blocksOfMib,
    },
  }),
  define({
    name: 'bdev_script_reload',
    text:
      'Loads the script of a bdev again: I/O waits until what is at work has ended and the new version has taken ' +
      'over. If that cannot be loaded or opened, the one before goes on.',
    decodeError: -32603,
    own: true,
    params: { name: bdevFields.name('script') },
    result: t.bool,
    resultText: '`true`',
    errors: [
      bdevErrors.noDevice,
      [-22, 'The new version is not used; the message says why, and bdev_get_bdevs shows it.'],
    ],
  }),
  define({
    name: 'bdev_script_delete',
    text: 'Removes a script bdev. The file of the script stays.',
    own: true,
    ...deleting('script'),
  }),
];

declare module '@spdk-ts/rpc-schema' {
  interface MethodTable extends MethodsByName<typeof methods> {}
}
