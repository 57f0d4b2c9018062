import { inFamily } from '../method.ts';
import { option, optional, positional, required, set, t } from '../types.ts';

const nameOf = (kind: string) => required(t.string, `Name of the ${kind} bdev.`, { cli: positional });
const noDevice = [-19, 'No such bdev of this module.'] as const;
const exists = [-17, 'There is a bdev of that name or UUID.'] as const;
const onFile = {
  filename: required(t.string, 'Path of the file or block device.', { cli: positional }),
  block_size: optional(
    t.u32,
    'Data in a block: a power of two from 512 to 65536. A regular file needs it; a block device has its own.',
    { unit: 'bytes', default: "the block device's", cli: positional },
  ),
  uuid: optional(t.uuid, 'Identity of the bdev.', {
    default: "made of the file's path: the same over restarts",
    cli: option('-u, --uuid'),
  }),
  readonly: optional(t.bool, 'Refuse writes.', { default: 'false', cli: set('-r, --readonly') }),
};
const onFileErrors = [
  exists,
  [-2, 'The file does not exist.'],
  [-13, 'The file may not be opened.'],
  [-16, 'Another process or bdev uses the file.'],
  [-22, 'A size that cannot be, or no block_size for a regular file.'],
] as const;
const rescanErrors = [
  noDevice,
  [-16, 'The file has become smaller while the bdev is open.'],
  [-22, 'The file has less than one block.'],
] as const;

const defineUring = inFamily('uring');
export const uringMethods = [
  defineUring({
    name: 'bdev_uring_create',
    text:
      'Makes a bdev of a regular file or a block device, over the io_uring of each reactor: past the page cache ' +
      '(O_DIRECT) where the file system can, else through it, which is logged. `readonly` and `io_poll` are not in SPDK.',
    decodeError: -32603,
    params: {
      filename: onFile.filename,
      name: nameOf('uring'),
      block_size: onFile.block_size,
      uuid: onFile.uuid,
      readonly: onFile.readonly,
      io_poll: optional(
        t.bool,
        'Look for completions in the device instead of waiting for interrupts: for NVMe devices with polled queues.',
        { default: 'false', cli: set('--io-poll') },
      ),
    },
    result: t.string,
    resultText: 'Name of the bdev.',
    errors: [
      ...onFileErrors,
      [-95, 'There is no io_uring here: the message says why. Use bdev_file_create.'],
      [-95, 'io_poll: the device cannot be polled.'],
    ],
  }),
  defineUring({
    name: 'bdev_uring_rescan',
    text: 'Takes over the size that the file or device of a uring bdev has now. Users of the bdev are told.',
    decodeError: -32603,
    params: { name: nameOf('uring') },
    result: t.bool,
    resultText: '`true`',
    errors: rescanErrors,
  }),
  defineUring({
    name: 'bdev_uring_delete',
    text: 'Removes a uring bdev. The file stays.',
    decodeError: -32603,
    params: { name: nameOf('uring') },
    result: t.bool,
    resultText: '`true`',
    errors: [noDevice],
  }),
];

const defineAio = inFamily('aio');
export const aioMethods = [
  defineAio({
    name: 'bdev_aio_create',
    text:
      "Makes a bdev of a regular file or a block device, over the kernel's AIO: past the page cache (O_DIRECT) " +
      'where the file system can, else through it, where AIO blocks; that is logged.',
    decodeError: -32603,
    params: {
      filename: onFile.filename,
      name: nameOf('aio'),
      block_size: onFile.block_size,
      readonly: onFile.readonly,
      fallocate: optional(t.bool, 'Unmap, and write zeroes without writing, with fallocate.', {
        default: 'false',
        cli: set('-f, --fallocate'),
      }),
      uuid: onFile.uuid,
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
    errors: [...onFileErrors, [-95, 'There is no AIO here: the message says why. Use bdev_file_create.']],
  }),
  defineAio({
    name: 'bdev_aio_rescan',
    text: 'Takes over the size that the file or device of an aio bdev has now. Users of the bdev are told.',
    decodeError: -32603,
    params: { name: nameOf('aio') },
    result: t.bool,
    resultText: '`true`',
    errors: rescanErrors,
  }),
  defineAio({
    name: 'bdev_aio_delete',
    text: 'Removes an aio bdev. The file stays.',
    decodeError: -32603,
    params: { name: nameOf('aio') },
    result: t.bool,
    resultText: '`true`',
    errors: [noDevice],
  }),
];
