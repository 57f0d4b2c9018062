// Runs the suites of faults, scale and endurance for long:
// `npm run soak -- [--minutes N] [--kills N] [--crashes N] [--seed N] [FILE …]`.
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';

let parsed;
try {
  parsed = parseArgs({
    options: {
      minutes: { type: 'string', default: '10' },
      kills: { type: 'string', default: '100' },
      crashes: { type: 'string', default: '5000' },
      seed: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
    allowPositionals: true,
  });
} catch (error) {
  console.error(`soak: ${error.message}`);
  process.exit(1);
}
const { values, positionals } = parsed;
if (values.help) {
  console.log(`Usage: npm run soak -- [--minutes N] [--kills N] [--crashes N] [--seed N] [FILE …]

  --minutes N  minutes of full load in the endurance suite (10)
  --kills N    how often the target, and each module that keeps state, is killed under load (100)
  --crashes N  how often simulated disks lose their power (5000)
  --seed N     replays a run, which has printed it as LOAD_SEED (the kernel's timing aside)
  FILE         only suites whose names contain this: connections, slow-peers, kill, state-kill, endurance,
               crash, kv-crash, zone-block-crash`);
  process.exit(0);
}
const minutes = Number(values.minutes);
const kills = Number(values.kills);
const crashes = Number(values.crashes);
const counted = [kills, crashes].every((count) => Number.isInteger(count) && count > 0);
if (!(minutes > 0) || !counted) {
  console.error(
    `soak: --minutes ${values.minutes}, --kills ${values.kills} and --crashes ${values.crashes} must be positive numbers`,
  );
  process.exit(1);
}
const { seed } = values;
if (seed !== undefined && !/^\d+$/.test(seed)) {
  console.error(
    `soak: --seed ${seed} must be a whole number; give the one that a run has printed as LOAD_SEED`,
  );
  process.exit(1);
}
const { status } = spawnSync('npx', ['vitest', 'run', '--project', 'soak', ...positionals], {
  stdio: 'inherit',
  env: {
    ...process.env,
    SOAK_SECONDS: String(minutes * 60),
    SOAK_KILLS: String(kills),
    SOAK_CRASHES: String(crashes),
    ...(seed !== undefined && { LOAD_SEED: seed }),
  },
});
process.exit(status ?? 1);
