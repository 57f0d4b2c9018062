import { version } from '@spdk-ts/app';
import { Command } from 'commander';
import { tgtCommand } from './tgt.ts';

/** The benchmarks are much code, which nothing else needs: it is loaded for them only. */
async function bench(): Promise<Command> {
  if (process.argv.includes('bench')) return (await import('@spdk-ts/bench')).benchCommand();
  return new Command('bench').description('Compare programs, commits and options in alternation.');
}

const program = new Command('spdk-ts')
  .description('A modular storage application framework: NVMe-oF target, block devices, JSON-RPC.')
  .version(version, '-v, --version')
  .showHelpAfterError('(spdk-ts --help lists what there is)')
  .addCommand(tgtCommand())
  .addCommand(await bench());

await program.parseAsync();
