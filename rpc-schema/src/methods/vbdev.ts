import { inFamily } from '../method.ts';
import { option, optional, positional, required, t } from '../types.ts';

const exists = [-17, 'It is configured already, or there is a bdev of that name or UUID.'] as const;
const claimed = [-1, 'The base bdev is claimed by another module.'] as const;
const noDevice = [-19, 'No such bdev of this module.'] as const;
/** The base may come later: then so does the bdev. */
const later = 'If the base bdev is not there yet, the bdev appears together with it.';

const definePassthru = inFamily('passthru');
export const passthruMethods = [
  definePassthru({
    name: 'bdev_passthru_create',
    text: `Makes a bdev that hands every I/O to its base bdev. ${later}`,
    decodeError: -32603,
    params: {
      base_bdev_name: required(t.string, 'Name, alias or UUID of the base bdev.', {
        cli: option('-b, --base-bdev-name'),
      }),
      name: required(t.string, 'Name of the new bdev.', { cli: option('-p, --name') }),
      uuid: optional(t.uuid, 'Identity of the bdev.', {
        default: 'made of that of the base',
        cli: option('-u, --uuid'),
      }),
    },
    result: t.string,
    resultText: 'Name of the bdev.',
    errors: [exists, claimed],
  }),
  definePassthru({
    name: 'bdev_passthru_delete',
    text: 'Removes a passthru bdev, or one that waits for its base. The base stays.',
    decodeError: -32603,
    params: { name: required(t.string, 'Name of the bdev.', { cli: positional }) },
    result: t.bool,
    resultText: '`true`',
    errors: [noDevice],
  }),
];

const defineSplit = inFamily('split');
export const splitMethods = [
  defineSplit({
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
  }),
  defineSplit({
    name: 'bdev_split_delete',
    text: 'Removes all parts of a bdev that was split, or forgets that it was to be. The base stays.',
    params: { base_bdev: required(t.string, 'Name of the bdev that is split.', { cli: positional }) },
    result: t.bool,
    resultText: '`true`',
    errors: [[-32602, '"No such file or directory": the bdev is not split.']],
  }),
];
