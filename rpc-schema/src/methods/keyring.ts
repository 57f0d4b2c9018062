import { inFamily } from '../method.ts';
import { optional, positional, required, t } from '../types.ts';

const define = inFamily('keyring');

const name = required(t.string, 'Name of the key.', { cli: positional });

export const keyringMethods = [
  define({
    name: 'keyring_file_add_key',
    text: 'Adds a key that lies in a file. The file must be owned by the user of the target and closed to all others.',
    params: {
      name,
      path: required(t.string, 'Absolute path of the file.', { cli: positional }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [
      [-1, 'The path is not absolute, or the file is not of mode 0600 and owned by the user of the target.'],
      [-2, 'There is no such file.'],
      [-17, 'There is a key of that name.'],
    ],
  }),
  define({
    name: 'keyring_file_remove_key',
    text: 'Takes a key out of the keyring. Its file stays.',
    params: { name },
    result: t.bool,
    resultText: '`true`',
    errors: [[-126, 'There is no key of that name.']],
  }),
  define({
    name: 'keyring_get_keys',
    text: 'Shows the keys: their names and where they are, never what they are.',
    result: t.array(
      t.open({
        name: t.string,
        module: required(t.string, 'Where it comes from: "keyring_file".'),
        removed: required(t.bool, 'Removed, and still in use: it cannot be read any more.'),
        probed: t.bool,
        refcnt: required(t.u32, 'Users, the keyring among them.'),
        path: optional(t.string, 'File.'),
      }),
    ),
  }),
];
