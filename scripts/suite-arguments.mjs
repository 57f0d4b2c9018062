// For the scripts that run a suite: what they were called with.
import { parseArgs } from 'node:util';

/**
 * Reads the command line by `options` (those of parseArgs), or prints `usage` and ends: with 0 where --help asks for it, with
 * 1 and the reason where something is wrong. `fail(why)` does so for the caller; `whole(name)` is the value of --name as a
 * whole number, or undefined.
 */
export function suiteArguments(script, usage, options) {
  const fail = (why) => {
    console.error(`${script}: ${why}\n\n${usage}`);
    process.exit(1);
  };
  let parsed;
  try {
    parsed = parseArgs({
      options: { ...options, help: { type: 'boolean', short: 'h' } },
      allowPositionals: true,
    });
  } catch (error) {
    fail(error.message);
  }
  const { values, positionals } = parsed;
  if (values.help) {
    console.log(usage);
    process.exit(0);
  }
  const whole = (name) => {
    const text = values[name];
    if (text === undefined) return undefined;
    const number = Number(text);
    if (!Number.isSafeInteger(number) || number < 0) fail(`--${name} ${text}: give a whole number`);
    return number;
  };
  return { values, positionals, fail, whole };
}
