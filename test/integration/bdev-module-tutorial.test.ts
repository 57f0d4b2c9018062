// docs/bdev-module.md, followed to the letter: its files are written, compiled, packed by npm as they would be published,
// unpacked where somebody installs them, and loaded. Nothing is downloaded: what npm would install is linked.
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { RawHost, read } from '../host/index.ts';
import { freePort } from '../linux-guest/target.ts';
import { AppProcess, cleanUp, client, programs, run, runIn, temporaryDirectory } from './app-process.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(join(root, 'docs/bdev-module.md'), 'utf8');
const NQN = 'nqn.2026-11.io.spdk-ts:tutorial';
const execute = promisify(execFile);

let module_folder: string;
let user_folder: string;

/** What `npm install` would put into a folder, without what it would download. */
function link(folder: string, ...names: string[]): void {
  for (const name of names) {
    mkdirSync(dirname(join(folder, 'node_modules', name)), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  }
}

beforeAll(async () => {
  const folder = temporaryDirectory();
  module_folder = join(folder, 'bdev-lba');
  const files = [...page.matchAll(/^```\w+ (\S+)\n(.*?)^```$/gms)];
  expect(files.map(([, name]) => name)).toEqual([
    'package.json',
    'tsconfig.json',
    'src/schema.ts',
    'src/index.ts',
    'src/reactor.ts',
  ]);
  for (const [, name, text] of files) {
    mkdirSync(dirname(join(module_folder, name!)), { recursive: true });
    writeFileSync(join(module_folder, name!), text!);
  }
  const packages = ['bdev', 'env', 'log', 'native', 'reactor', 'rpc', 'rpc-schema'].map(
    (name) => `@spdk-ts/${name}`,
  );
  link(module_folder, ...packages, '@types', 'undici-types', 'typescript', '.bin');

  // `npm pack` builds first, and packs what would be published.
  const npm = ['pack', '--offline', '--json', '--pack-destination', folder];
  await execute('npm', npm, { cwd: module_folder });
  user_folder = join(folder, 'user');
  link(user_folder, ...packages);
  mkdirSync(join(user_folder, 'node_modules/bdev-lba'));
  const archive = join(folder, 'bdev-lba-1.0.0.tgz');
  const into = join(user_folder, 'node_modules/bdev-lba');
  await execute('tar', ['xzf', archive, '--strip-components=1', '-C', into]);
});
afterAll(cleanUp);

it('gives a module that a target loads, and whose bdev a host reads', async () => {
  const socket = join(user_folder, 'rpc.sock');
  const target = new AppProcess(
    programs.spdkTs,
    ['tgt', '-r', socket, '-m', '0x3', '--plugin', 'bdev-lba'],
    user_folder,
  );
  await target.says(`listening on ${socket}`);
  const words = ['bdev_lba_create', 'Lba0', '512', '1000'];
  expect(await run(programs.rpc, '-s', socket, ...words)).toMatchObject({ code: 0, stdout: 'Lba0\n' });
  const rpc = await client(socket);
  const port = await freePort();
  await rpc.call('nvmf_create_transport', { trtype: 'TCP' });
  await rpc.call('nvmf_create_subsystem', { nqn: NQN, allow_any_host: true });
  await rpc.call('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: 'Lba0' } });
  const listen_address = {
    trtype: 'TCP',
    adrfam: 'IPv4',
    traddr: '127.0.0.1',
    trsvcid: String(port),
  } as const;
  await rpc.call('nvmf_subsystem_add_listener', { nqn: NQN, listen_address });
  const host = await RawHost.connect({ port, subnqn: NQN });
  await host.setQueueCount(2);
  await host.openQueues(2);
  for (const queue of host.queues) {
    const { status, data } = await read(queue, 250, 8 * 512);
    expect(status).toBe(0);
    expect([...data].filter((_, at) => at % 512 === 0 || at % 512 === 511)).toEqual(
      [250, 251, 252, 253, 254, 255, 0, 1].flatMap((byte) => [byte, byte]),
    );
  }
  host.close();
  const config = await rpc.call('framework_get_config', { name: 'bdev' });
  expect(config).toContainEqual({
    method: 'bdev_lba_create',
    params: expect.objectContaining({ name: 'Lba0', block_size: 512, num_blocks: 1000 }),
  });
  await rpc.call('bdev_lba_delete', { name: 'Lba0' });
  expect((await target.stop()).code).toBe(0);
});

it('gives a module that bdevperf-ts loads from its folder', async () => {
  const config = join(module_folder, 'conf.json');
  const params = { name: 'Lba0', block_size: 4096, num_blocks: 1000 };
  const calls = [{ method: 'bdev_lba_create', params }];
  writeFileSync(config, JSON.stringify({ subsystems: [{ subsystem: 'bdev', config: calls }] }));
  const load = ['-c', config, '-q', '8', '-o', '16k', '-w', 'randread', '-t', '1'];
  const { code, stdout, stderr } = await runIn(module_folder, programs.bdevperf, '--plugin', '.', ...load);
  expect(code, stdout + stderr).toBe(0);
  expect(stdout).toMatch(/Total +:/);
});
