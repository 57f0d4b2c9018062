import { Command } from 'commander';
import { compareCommand } from './commands/compare.ts';
import { reportCommand } from './commands/report.ts';
import { idleCommand, startupCommand } from './commands/rest.ts';
import { listCommand, runCommand } from './commands/run.ts';

/** The `bench` command with its subcommands. Sets the exit code; errors are printed, not thrown. */
export function benchCommand(): Command {
  const command = new Command('bench')
    .description('Compare programs, commits and options in alternation, with statistics and plots.')
    .showHelpAfterError('(--help lists what there is)');
  const subcommands = [compareCommand, runCommand, listCommand, idleCommand, startupCommand, reportCommand];
  for (const make of subcommands) command.addCommand(make());
  return command;
}
