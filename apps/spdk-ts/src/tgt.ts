import {
  Application,
  type AppOptionDefaults,
  addAppOptions,
  bdevPlugin,
  DEFAULT_RPC_SOCKET,
  nvmfPlugin,
  readAppOptions,
  Signals,
  vhostPlugin,
} from '@spdk-ts/app';
import { Command } from 'commander';
import { setUpDemo } from './demo.ts';
import { configureOpenssl } from './openssl-config.ts';

const defaults: AppOptionDefaults = { rpcSocket: DEFAULT_RPC_SOCKET };

/** `spdk-ts tgt`: the daemon. */
export function tgtCommand(): Command {
  const command = new Command('tgt').description(
    'Run the storage target. It is configured over JSON-RPC (rpc.ts) or by a JSON file.',
  );
  addAppOptions(command, defaults);
  command
    .option('-S, --socket-dir <dir>', 'directory of vhost sockets (default: the working directory)')
    .option('--demo', 'export a 256 MiB memory disk on 127.0.0.1:4420 and print how to connect')
    .option('--demo-port <port>', 'TCP port of the --demo disk', '4420');
  command.addHelpText(
    'after',
    `
Examples:
  spdk-ts tgt --demo                    a memory disk to try: prints how to connect
  spdk-ts tgt -m 0x3 --json conf.json   two reactors, configured by a file (rpc.ts save_config makes one)
  rpc.ts bdev_malloc_create -b Malloc0 64 512
  rpc.ts spdk_kill_instance SIGTERM     end it`,
  );
  return command.action(async (values: Record<string, unknown>) => {
    process.exitCode = await run(values).catch((error: Error) => {
      console.error(`spdk-ts tgt: ${error.message}`);
      return 1;
    });
    process.exit();
  });
}

async function run(values: Record<string, unknown>): Promise<number> {
  const signals = new Signals();
  const options = readAppOptions('spdk-ts tgt', values, defaults);
  configureOpenssl();
  const vhost = vhostPlugin((values['socketDir'] as string | undefined) ?? '');
  // A saved configuration is loaded in this order: disks of virtual machines open bdevs that namespaces claim next.
  const app = await Application.start(options, [await bdevPlugin(options), vhost, nvmfPlugin]);
  try {
    if (values['demo'] === true) await setUpDemo(app, values['demoPort'] as string);
  } catch (error) {
    await app.stop();
    throw error;
  }
  return await signals.end(app);
}
