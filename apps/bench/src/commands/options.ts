import { tmpdir } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Order, orders } from '../order.ts';
import { type SpdkTarget, spdkTargets } from '../programs/spdk.ts';
import type { Outputs } from './output.ts';

/** What every command that measures takes. */
export interface MeasureOptions extends Outputs {
  readonly spdk?: string;
  readonly spdkTarget: SpdkTarget;
  readonly initiator: 'auto' | 'spdk' | 'ours';
  readonly samples?: number;
  readonly time?: number;
  readonly warmup?: number;
  readonly order: Order;
  readonly seed?: number;
  /** Per cent of a core; Infinity: do not care. */
  readonly busy: number;
  readonly redo: number;
  readonly settle: number;
  readonly pin: boolean;
  readonly dir: string;
  readonly failIfSlower?: boolean;
}

/** Reads an integer. `name` is what it counts. */
export const integer =
  (min: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < min)
      throw new InvalidArgumentError(`Give an integer from ${min} on.`);
    return value;
  };

function percent(text: string): number {
  if (text === 'off') return Infinity;
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0))
    throw new InvalidArgumentError("Give per cent of a core, or 'off'.");
  return value;
}

export function addMeasureOptions(command: Command): Command {
  return command
    .optionsGroup('Samples:')
    .option(
      '-n, --samples <n>',
      'samples of each side (default: 5, or as the scenario says; publish 30)',
      integer(1),
    )
    .option('-t, --time <seconds>', 'length of a sample', integer(1))
    .option('--warmup <seconds>', 'load before each sample that is not counted', integer(0))
    .addOption(new Option('--order <order>', 'how sides alternate').choices([...orders]).default('random'))
    .option('--seed <n>', 'of the order (default: one is drawn, and printed)', integer(0))
    .optionsGroup('Machine:')
    .option('--busy <percent>', "CPU that other processes may take during a sample, or 'off'", percent, 10)
    .option('--redo <n>', 'how often a disturbed sample is taken again', integer(0), 5)
    .option('--settle <seconds>', 'how long to wait for a quiet machine before a sample', integer(0), 20)
    .option('--no-pin', 'do not bind programs to the CPUs of the row')
    .option('--dir <directory>', 'where files of file bdevs are made', tmpdir())
    .optionsGroup('Programs:')
    .option('--spdk <directory>', 'a directory in which SPDK was built')
    .addOption(
      new Option('--spdk-target <name>', "SPDK's target").choices([...spdkTargets]).default('nvmf_tgt'),
    )
    .addOption(
      new Option('--initiator <which>', "for targets: SPDK's spdk_nvme_perf or our nvme-perf")
        .choices(['auto', 'spdk', 'ours'])
        .default('auto'),
    )
    .optionsGroup('Reports:')
    .option('--json <file>', 'everything that was measured (`bench report` reads it)')
    .option('--markdown <file>', 'tables as Markdown')
    .option('--html <file>', 'one page with plots, without anything from outside')
    .option('--fail-if-slower', 'exit with 3 if a side is significantly slower than its baseline')
    .optionsGroup('Options:');
}

export const EXIT_FAILED = 1;
export const EXIT_SLOWER = 3;

export const exitCodesHelp = `
Exit codes: 0 done (skipped rows are listed, and are no failure), 1 a row failed or the command line is wrong,
3 with --fail-if-slower: slower than the baseline, 130 interrupted (what was finished is in the reports).`;
