import { inFamily, type MethodsByName, option, optional, positional, required, t } from '@spdk-ts/rpc-schema';

const define = inFamily('split');
/** The methods of the split module. */
export const methods = [
  define({
    name: 'bdev_split_create',
    text: `Cuts a bdev into bdevs of the same size, \`<base>p0\`, \`<base>p1\` and so on. If the base bdev is not there yet, they appear together with it.`,
    params: {
      base_bdev: required(t.string, 'Name of the bdev to cut.', { cli: positional }),
      split_count: required(t.u32, 'Number of bdevs. Those for which there is no room are left out.', {
        cli: positional,
      }),
      split_size_mb: optional(t.u64, 'Size of each; 0 for equal shares of the base.', {
        unit: 'MiB',
        default: '0',
        cli: option('-s, --split-size-mb'),
      }),
    },
    result: t.array(t.string),
    resultText: 'Names of the bdevs; none if the base is still to come.',
    errors: [[-32602, '"Failed to create …": it is split already, is claimed, or is too small.']],
    cli: { print: 'words' },
  }),
  define({
    name: 'bdev_split_delete',
    text: 'Removes all parts of a bdev that was split, or forgets that it was to be. The base stays.',
    params: { base_bdev: required(t.string, 'Name of the bdev that is split.', { cli: positional }) },
    result: t.bool,
    resultText: '`true`',
    errors: [[-32602, '"No such file or directory": the bdev is not split.']],
  }),
];

declare module '@spdk-ts/rpc-schema' {
  interface MethodTable extends MethodsByName<typeof methods> {}
}
