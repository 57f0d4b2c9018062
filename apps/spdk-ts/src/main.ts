import { version } from '@spdk-ts/app';
import { benchCommand } from '@spdk-ts/bench';
import { Command } from 'commander';
import { tgtCommand } from './tgt.ts';

const program = new Command('spdk-ts')
  .description('A modular storage application framework: NVMe-oF target, block devices, JSON-RPC.')
  .version(version, '-v, --version')
  .showHelpAfterError('(spdk-ts --help lists what there is)')
  .addCommand(tgtCommand())
  .addCommand(benchCommand());

await program.parseAsync();
