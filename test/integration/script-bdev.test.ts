// The example of a script bdev as a whole: bdevperf-ts verifies it on two reactors, a host over NVMe/TCP sees its fault, and
// it is changed while it serves.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pattern, RawHost, read, write } from '../host/index.ts';
import { freePort, Target } from '../linux-guest/target.ts';
import { cleanUp, programs, run, temporaryDirectory } from './app-process.ts';

const example = fileURLToPath(new URL('../../examples/script-bdev/ram-disk.mjs', import.meta.url));
const NQN = 'nqn.2026-11.io.spdk-ts:script';
const BLOCK = 4096;
/** Media error: unrecovered read error. */
const UNRECOVERED_READ_ERROR = (2 << 8) | 0x81;

let folder: string;
let target: Target;

beforeAll(async () => {
  folder = temporaryDirectory();
  target = await Target.start({});
  await target.rpc('nvmf_create_transport', { trtype: 'TCP' });
});
afterAll(async () => {
  expect(await target.stop(), target.output).toBe(0);
  await target.dispose();
  await cleanUp();
});

describe("the example's RAM disk", () => {
  it.each(['adaptive', 'interrupt'])('is verified on two reactors, %s', async (mode) => {
    const config = join(folder, 'config.json');
    const params = { name: 'Ram0', path: example, block_size: BLOCK, num_blocks: 4096 };
    const calls = [{ method: 'bdev_script_create', params }];
    writeFileSync(config, JSON.stringify({ subsystems: [{ subsystem: 'bdev', config: calls }] }));
    const load = ['-q', '16', '-o', '16k', '-w', 'verify', '-t', '1', '-C', '-m', '0x3'];
    const { code, stdout, stderr } = await run(
      programs.bdevperf,
      ...['-c', config, '--reactor-mode', mode, ...load],
    );
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toContain('(Core Mask 0x2, workload: verify');
  });

  it('is TypeScript where Node.js loads it, and says where it does not', async () => {
    const path = join(folder, 'zeroes.ts');
    const read =
      'read: ({ pieces }: { pieces: Uint8Array[] }): void => pieces.forEach((piece) => void piece.fill(0))';
    writeFileSync(path, `export default { open: () => ({ ${read} }) };`);
    const made = target.rpc('bdev_script_create', { name: 'Typed', path, block_size: 512, num_blocks: 8 });
    if ((process.features as { typescript?: unknown }).typescript) {
      expect(await made).toBe('Typed');
      await target.rpc('bdev_script_delete', { name: 'Typed' });
    } else await expect(made).rejects.toThrow('use Node.js 22.18 or newer, or compile it');
  });

  it('shows its fault to a host, and is changed while it serves', async () => {
    const path = join(folder, 'ram-disk.mjs');
    const source = readFileSync(example, 'utf8');
    writeFileSync(path, source);
    const port = await freePort();
    await target.rpc('bdev_script_create', {
      ...{ name: 'Ram0', path, block_size: BLOCK, num_blocks: 1024, params: { bad_block: 100 } },
    });
    await target.export(NQN, ['Ram0'], port);
    const host = await RawHost.connect({ port, subnqn: NQN });
    await host.setQueueCount(2);
    await host.openQueues(2);
    const [one, two] = host.queues as [(typeof host.queues)[0], (typeof host.queues)[0]];
    const size = { block_size: BLOCK };
    const data = pattern(2 * BLOCK, 1);
    expect((await write(one!, 10, data, size)).status).toBe(0);
    const bad = await read(two!, 99, 2 * BLOCK, size);
    expect(bad.status & 0x7ff).toBe(UNRECOVERED_READ_ERROR);
    expect((await read(two!, 101, BLOCK, size)).status).toBe(0);
    expect((await write(one!, 100, data.subarray(0, BLOCK), size)).status).toBe(0);
    expect((await read(two!, 99, 2 * BLOCK, size)).status).toBe(0);

    // A version that cannot be is not used, and said so; the next one is. The data stay.
    const state = async () => (await target.rpc('bdev_get_bdevs'))[0].driver_specific.script;
    const until = async (condition: (state: { version: number; reload_error: string }) => boolean) => {
      for (let i = 0; !condition(await state()); i++) {
        if (i > 2000) throw new Error(`the state stays ${JSON.stringify(await state())}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    writeFileSync(path, `${source}\n!`);
    await until(({ reload_error }) => reload_error.includes('SyntaxError'));
    expect((await read(two!, 10, 2 * BLOCK, size)).status).toBe(0);
    writeFileSync(path, source.replace('sc: 0x81', 'sc: 0x86').replace('=== 0)', '>= 0)'));
    await until(({ version, reload_error }) => version === 2 && reload_error === '');
    const back = await read(two!, 10, 2 * BLOCK, size);
    expect(Buffer.compare(back.data, data)).toBe(0);
    expect((await read(one!, 100, BLOCK, size)).status & 0x7ff).toBe((2 << 8) | 0x86);
    host.close();
    expect(JSON.stringify(await target.rpc('framework_get_config', { name: 'bdev' }))).toContain(
      '"params":{"bad_block":100}',
    );
    await target.rpc('bdev_script_delete', { name: 'Ram0' });
  });
});
