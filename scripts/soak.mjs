// Runs the suites of faults, scale and endurance for long: `npm run soak -- [--minutes N] [--kills N] [--crashes N] [FILE …]`.
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';

let parsed;
try {
  parsed = parseArgs({
    options: {
      minutes: { type: 'string', default: '10' },
      kills: { type: 'string', default: '100' },
      crashes: { type: 'string', default: '5000' },
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
  console.log(`Usage: npm run soak -- [--minutes N] [--kills N] [--crashes N] [FILE …]

  --minutes N  minutes of full load in the endurance suite (10)
  --kills N    how often the target is killed under load (100)
  --crashes N  how often simulated disks lose their power (5000)
  FILE         only suites whose names contain this: connections, slow-peers, kill, endurance, crash`);
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
const { status } = spawnSync('npx', ['vitest', 'run', '--project', 'soak', ...positionals], {
  stdio: 'inherit',
  env: {
    ...process.env,
    SOAK_SECONDS: String(minutes * 60),
    SOAK_KILLS: String(kills),
    SOAK_CRASHES: String(crashes),
  },
});
process.exit(status ?? 1);
