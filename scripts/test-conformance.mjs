// Holds an NVMe/TCP target, or PCI functions over vfio-user, to the specifications: `npm run test:conformance -- --address …`, or ours.
import { spawnSync } from 'node:child_process';
import { suiteArguments } from './suite-arguments.mjs';

const usage = `Usage: npm run test:conformance -- [options]

Runs the conformance suite (test/conformance) over a target, ours unless an address or a program is given. What a
foreign target does otherwise is listed and explained; only ours fails. It writes to the target's namespaces.

  --address ADDRESS:PORT   a target that runs; or 'trtype:VFIOUSER traddr:PATH …': PCI functions of one subsystem
  --subnqn NQN             its subsystem (default: the first of its discovery log page)
  --closed-subnqn NQN      another one there that does not allow our host
  --hostnqn NQN            who we are
  --program COMMAND        a target that is started, with SPDK's options and methods, as 'nvmf_tgt --no-huge -s 512'
  --json FILE              where the report goes
  --seed N                 replays a run: each prints its seed
  --rounds N               changed exchanges that the fuzzer sends (150)
  -t PATTERN               only checks whose titles match: they begin with the check's id`;

const { values, positionals, fail, whole } = suiteArguments('test-conformance', usage, {
  address: { type: 'string' },
  subnqn: { type: 'string' },
  'closed-subnqn': { type: 'string' },
  hostnqn: { type: 'string' },
  program: { type: 'string' },
  json: { type: 'string' },
  seed: { type: 'string' },
  rounds: { type: 'string' },
  t: { type: 'string', short: 't' },
});
const { t, ...given } = values;
if (given.address !== undefined && given.program !== undefined) fail('give --address or --program, not both');
const test = {
  ...given,
  seed: whole('seed'),
  rounds: whole('rounds'),
};
const { status } = spawnSync(
  'npx',
  [
    ...['vitest', 'run', '--project', 'conformance'],
    ...(t === undefined ? [] : ['-t', t]),
    // The fuzzer is for targets of ours: it looks into their process.
    ...(given.address !== undefined || given.program !== undefined ? ['conformance.test'] : positionals),
  ],
  {
    stdio: 'inherit',
    env: {
      ...process.env,
      CONFORMANCE: JSON.stringify(test),
      ...(given.program !== undefined && { SPDK_TS_TARGET: given.program }),
    },
  },
);
process.exit(status ?? 1);
