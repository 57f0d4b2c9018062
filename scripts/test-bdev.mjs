// Holds a bdev to what every bdev must do: `npm run test:bdev -- --bdev JSON`, or without it those of the tree.
import { spawnSync } from 'node:child_process';
import { suiteArguments } from './suite-arguments.mjs';

const usage = `Usage: npm run test:bdev -- [--bdev JSON]… [options] [-- vitest arguments]

Runs the conformance suite (test/bdev) over a bdev, or over every module of the tree.

  --bdev JSON       the JSON-RPC call that makes the bdev, or a list of calls of which the last one does:
                    '{"method": "bdev_malloc_create", "params": {"name": "M", "block_size": 512, "num_blocks": 8192}}'
                    {"bdev": "NAME"} in the list names it where the last call does not. Its data are overwritten.
  --plugin MODULE   a bdev module from elsewhere, which is loaded beside those of the tree: what spdk-ts tgt --plugin
                    takes
  --seed N          replays a run: each prints its seed
  --runs N          random runs of each kind (6): more find more
  --stacks N        random stacks of modules (4); 0 tests none, and with --stacks-only nothing else is tested
  --stacks-only     only random stacks
  --no-data         the bdev forgets what is written (assumed where bdev_null_create is called)
  --unmapped WHAT   what unmapped blocks read as: zeroes (the default), or anything
  --portable        without the native addon
  -t PATTERN        only checks whose titles match`;

const { values, positionals, fail, whole } = suiteArguments('test-bdev', usage, {
  bdev: { type: 'string', multiple: true },
  plugin: { type: 'string', multiple: true },
  seed: { type: 'string' },
  runs: { type: 'string' },
  stacks: { type: 'string' },
  'stacks-only': { type: 'boolean' },
  'no-data': { type: 'boolean' },
  unmapped: { type: 'string' },
  portable: { type: 'boolean' },
  t: { type: 'string', short: 't' },
});
const { portable = false, t, ...given } = values;
if (given.unmapped !== undefined && !['zeroes', 'anything'].includes(given.unmapped))
  fail(`--unmapped ${given.unmapped}: give zeroes or anything`);
const test = {
  ...given,
  seed: whole('seed'),
  runs: whole('runs'),
  stacks: whole('stacks'),
};
const { status } = spawnSync(
  'npx',
  [
    ...['vitest', 'run', '--project', portable ? 'bdev-portable' : 'bdev', '--reporter', 'verbose'],
    ...(t === undefined ? [] : ['-t', t]),
    ...positionals,
  ],
  { stdio: 'inherit', env: { ...process.env, BDEV_TEST: JSON.stringify(test) } },
);
process.exit(status ?? 1);
