import { version } from '@spdk-ts/app';
import { Command } from 'commander';
import { addPerfOptions, readPerfOptions } from './options.ts';
import { runPerf } from './perf.ts';

const command = addPerfOptions(new Command('nvme-perf'))
  .version(version, '-v, --version')
  .description('Load NVMe-oF targets and measure them: options and output as of spdk_nvme_perf.')
  .showHelpAfterError('(nvme-perf --help lists the options)')
  .addHelpText(
    'after',
    `
Examples:
  nvme-perf -q 128 -o 4k -w randread -t 10 -r 'trtype:TCP traddr:127.0.0.1 trsvcid:4420 subnqn:nqn.2016-06.io.spdk:cnode1'
  nvme-perf -q 32 -o 512 -w randrw -M 70 -t 10 -c 0x3 -P 2 -L -r 'trtype:TCP traddr:127.0.0.1 trsvcid:4420'

Exit status: 0, or 1 if a test could not be run or any I/O failed.`,
  );
command.action(async (values: Record<string, unknown>) => {
  process.exitCode = await Promise.resolve()
    .then(() => runPerf(readPerfOptions(values)))
    .catch((error: Error) => {
      console.error(`nvme-perf: ${error.message}`);
      return 1;
    });
  process.exit();
});
await command.parseAsync();
