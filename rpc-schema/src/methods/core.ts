import { inFamily } from '../method.ts';
import { optional, positional, required, set, t } from '../types.ts';

const define = inFamily('core');

export const coreMethods = [
  define({
    name: 'spdk_get_version',
    text: 'Tells which version of the application is running.',
    state: 'both',
    result: t.object({
      version: required(t.string, 'Name and version as one line.'),
      fields: required(
        t.object({
          major: t.u32,
          minor: t.u32,
          patch: t.u32,
          suffix: required(t.string, 'Pre-release part, with its hyphen; empty for a release.'),
          commit: optional(t.string, 'Commit it was built from, when known.'),
        }),
        'The version in parts.',
      ),
    }),
  }),
  define({
    name: 'rpc_get_methods',
    text: 'Lists the methods this server answers. A method of the schema that no part of the application serves is not in the list.',
    state: 'both',
    params: {
      current: optional(t.bool, 'List only what may be called in the present state.', {
        default: 'false',
        cli: set('-c, --current'),
      }),
      include_aliases: optional(t.bool, 'Accepted for older scripts; there are no aliases.', {
        default: 'false',
        cli: set('-i, --include-aliases'),
      }),
    },
    result: t.array(t.string),
    resultText: 'Method names.',
  }),
  define({
    name: 'spdk_ts_get_schema',
    text:
      'Describes the methods this server answers, those of plugins included, as `rpc.ts` makes commands of them: ' +
      'types, defaults, texts. Conversions that the command line does for some (such as MiB to blocks) are left out.',
    state: 'both',
    own: true,
    params: {
      method: optional(
        t.string,
        'Describe this method only; the answer is empty if there is none of that name.',
        {
          cli: positional,
        },
      ),
    },
    result: t.array(
      t.open({
        name: required(t.string, 'Name of the method.'),
        family: required(t.string, 'Module or part of the framework that it belongs to.'),
        text: required(t.string, 'What it does.'),
        params: required(
          t.map(t.any),
          'Parameters by name: `type`, `required`, `text`, and what else is known.',
        ),
        result: required(t.any, 'Type of the result.'),
      }),
    ),
  }),
  define({
    name: 'spdk_kill_instance',
    text: 'Sends a signal to the application. The answer may be lost when the signal ends it.',
    params: {
      sig_name: required(
        t.oneOf('SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP', 'SIGKILL', 'SIGUSR1'),
        'Signal to send.',
        { cli: positional },
      ),
    },
    result: t.bool,
    resultText: '`true`',
  }),
];
