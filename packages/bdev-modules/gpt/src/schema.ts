import { inFamily, type MethodsByName, required, t, toggle } from '@spdk-ts/rpc-schema';

const define = inFamily('gpt');

/** The methods of the gpt module. */
export const methods = [
  define({
    name: 'bdev_gpt_set_options',
    text: 'Says which partitions of a GPT become bdevs, on bdevs that are examined from now on.',
    own: true,
    state: 'both',
    params: {
      all_types: required(
        t.bool,
        'Those of every type, not only those with the type GUIDs that SPDK has for itself.',
        { default: 'false', cli: toggle('--all-types') },
      ),
    },
    result: t.bool,
    resultText: '`true`',
  }),
];

declare module '@spdk-ts/rpc-schema' {
  interface MethodTable extends MethodsByName<typeof methods> {}
}
