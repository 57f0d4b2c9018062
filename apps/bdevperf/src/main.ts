import { version } from '@spdk-ts/app';
import { Command } from 'commander';
import { addBdevperf, runBdevperf } from './bdevperf.ts';

const command = addBdevperf(new Command('bdevperf-ts')).version(version, '-v, --version');
command.action(async (values: Record<string, unknown>) => {
  process.exitCode = await runBdevperf(values).catch((error: Error) => {
    console.error(`bdevperf-ts: ${error.message}`);
    return 1;
  });
  process.exit();
});
await command.parseAsync();
