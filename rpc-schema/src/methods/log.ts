import { inFamily } from '../method.ts';
import { positional, required, t, toggle } from '../types.ts';

const define = inFamily('log');
const level = t.oneOf('ERROR', 'WARNING', 'NOTICE', 'INFO', 'DEBUG');

export const logMethods = [
  define({
    name: 'log_set_flag',
    text: 'Turns on the debug messages of one component, or of every one with `all`.',
    state: 'both',
    decodeError: -32603,
    params: { flag: required(t.string, 'Flag, as log_get_flags names it, or all.', { cli: positional }) },
    result: t.bool,
    resultText: '`true`',
    errors: [[-32602, 'There is no such flag.']],
  }),
  define({
    name: 'log_clear_flag',
    text: 'Turns off the debug messages of one component, or of every one with `all`.',
    state: 'both',
    decodeError: -32603,
    params: { flag: required(t.string, 'Flag, as log_get_flags names it, or all.', { cli: positional }) },
    result: t.bool,
    resultText: '`true`',
    errors: [[-32602, 'There is no such flag.']],
  }),
  define({
    name: 'log_get_flags',
    text: 'Lists the flags and whether they are on.',
    state: 'both',
    result: t.map(t.bool),
    resultText: 'Flag name to boolean.',
  }),
  define({
    name: 'log_set_level',
    text: 'Sets how grave a message must be to go to the system log.',
    state: 'both',
    decodeError: -32603,
    params: { level: required(level, 'Least grave level that is logged.', { cli: positional }) },
    result: t.bool,
    resultText: '`true`',
  }),
  define({
    name: 'log_get_level',
    text: 'Tells the level of the system log.',
    state: 'both',
    result: level,
    cli: { print: 'json' },
  }),
  define({
    name: 'log_set_print_level',
    text: 'Sets how grave a message must be to be printed on the standard error stream.',
    state: 'both',
    decodeError: -32603,
    params: { level: required(level, 'Least grave level that is printed.', { cli: positional }) },
    result: t.bool,
    resultText: '`true`',
  }),
  define({
    name: 'log_get_print_level',
    text: 'Tells the level of the standard error stream.',
    state: 'both',
    result: level,
    cli: { print: 'json' },
  }),
  define({
    name: 'log_enable_timestamps',
    text: 'Puts the time in front of printed messages, or leaves it out.',
    decodeText: 'spdk_json_decode_object failed',
    params: { enabled: required(t.bool, 'Whether to print the time.', { cli: toggle('--timestamps') }) },
    result: t.bool,
    resultText: '`true`',
  }),
];
