import { version } from '@spdk-ts/app';
import { Command } from 'commander';
import { gatherReport, reportLines } from './identify-report.ts';
import { type CommonValues, common, withDevice } from './options.ts';
import { json, print } from './output.ts';

process.stdout.on('error', () => {}); // whoever read the output may be gone
interface Values extends CommonValues {
  readonly json?: boolean;
}
const command = common(new Command('nvme-identify'))
  .version(version, '-v, --version')
  .description('Tells what an NVMe-oF controller and its namespaces are.')
  .option('--json', 'print JSON')
  .showHelpAfterError('(nvme-identify --help lists the options)');
command.action(async (where: string, values: Values) => {
  const report = await withDevice(where, values, gatherReport);
  if (values.json === true || values.outputFormat === 'json') print(json(report));
  else print(...reportLines(report));
});
try {
  await command.parseAsync();
} catch (error) {
  console.error(`nvme-identify: ${(error as Error).message}`);
  process.exitCode = 1;
}
