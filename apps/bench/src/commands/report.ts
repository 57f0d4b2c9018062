import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { textReport } from '../report/text.ts';
import type { Result } from '../result.ts';
import { guarded } from './guarded.ts';
import { type Outputs, writeReports } from './output.ts';

/** `bench report FILE` */
export function reportCommand(): Command {
  return new Command('report')
    .description('Make the reports again from what --json has written.')
    .argument('<file>', 'a file of --json')
    .option('--markdown <file>', 'tables as Markdown')
    .option('--html <file>', 'one page with plots')
    .action(
      guarded('report', (file: string, outputs: Outputs) => {
        const result = readResult(file);
        writeReports(result, outputs);
        process.stdout.write(textReport(result));
        return 0;
      }),
    );
}

function readResult(file: string): Result {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`);
  }
  if ((value as Partial<Result> | null)?.format !== 'spdk-ts-bench-1')
    throw new Error(`${file} is no file of bench --json (its format is not spdk-ts-bench-1)`);
  return value as Result;
}
