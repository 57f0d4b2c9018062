// The bdevs over files as whole processes: bdevperf-ts verifies data through each, and hosts reach one over
// NVMe/TCP, whose data must be where direct I/O wants them. Without the addon only `file` is there.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pduFlag } from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pattern, RawHost, read, write } from '../host/index.ts';
import { freePort, Target } from '../linux-guest/target.ts';
import { AppProcess, cleanUp, programs } from './app-process.ts';

const MIB = 1024 * 1024;
const NQN = 'nqn.2026-11.io.spdk-ts:files';
let folder: string;
let target: Target;
const available: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'file-bdevs-'));
  target = await Target.start({});
  const { capabilities } = (await target.rpc('framework_get_capabilities')) as {
    capabilities: { readonly name: string; readonly available: boolean; readonly reason?: string }[];
  };
  for (const { name, available: there, reason } of capabilities) {
    if (!/^bdev_(file|aio|uring)$/.test(name)) continue;
    if (there) available.push(name.slice('bdev_'.length));
    else console.log(`no tests of ${name}: ${reason}`);
  }
  await target.rpc('nvmf_create_transport', { trtype: 'TCP' });
});
afterAll(async () => {
  expect(await target.stop(), target.output).toBe(0);
  await target.dispose();
  await cleanUp();
  rmSync(folder, { recursive: true });
});

const disk = (name: string, bytes = 8 * MIB): string => {
  const path = join(folder, name);
  writeFileSync(path, Buffer.alloc(bytes));
  return path;
};

async function perf(...args: string[]): Promise<string> {
  const run = new AppProcess(programs.bdevperf, args);
  const { code, stdout, stderr } = await run.ended;
  expect(code, stdout + stderr).toBe(0);
  expect(stdout).toMatch(/Total +:/);
  return stdout;
}

/** Arguments for a bdev of each kind. */
function bdevs(block_size: number): string[] {
  return available.flatMap((kind) => ['--bdev', `${kind}:${disk(`perf-${kind}`)}:${block_size}`]);
}

describe('bdevperf-ts on file, aio and uring together', () => {
  it.each([
    ['4k', 4096, 'adaptive', '0x1'],
    ['512', 512, 'interrupt', '0x3'],
    ['128k', 4096, 'poll', '0x1'],
    ['1M', 4096, 'adaptive', '0x3'],
  ])('verifies what it wrote: %s I/O, blocks of %i, %s reactors on %s', async (size, block, mode, cores) => {
    const load = ['-w', 'verify', '-q', '16', '-o', size, '-t', '1', '-m', cores, '--reactor-mode', mode];
    await perf(...bdevs(block), ...load);
    for (const kind of available)
      expect(readFileSync(join(folder, `perf-${kind}`)).some((byte) => byte !== 0)).toBe(true);
  });

  it.each(['randrw', 'write_zeroes', 'flush', 'reset'])('does %s', async (workload) => {
    await perf(...bdevs(4096), '-w', workload, '-q', '16', '-o', '8k', '-t', '1');
  });
});

describe.each(['file', 'aio', 'uring'])('%s', (kind) => {
  it('serves hosts over NVMe/TCP, with and without digests, and is saved with its namespace', async () => {
    if (!available.includes(kind)) return;
    const filename = disk(`${kind}-nvmf`);
    const nqn = `${NQN}-${kind}`;
    const port = await freePort();
    await target.rpc(`bdev_${kind}_create`, { name: kind, filename, block_size: 512 });
    await target.export(nqn, [kind], port);
    const written = Buffer.alloc(8 * MIB);
    for (const digests of [0, pduFlag.hdgst | pduFlag.ddgst]) {
      const host = await RawHost.connect({ port, subnqn: nqn, digests });
      await host.setQueueCount(2);
      await host.openQueues(2);
      let lba = digests * 1000;
      for (const length of [512, 1536, 4096, 8192, 12_800, 65_536, 131_072])
        for (const way of length <= 4096 ? (['capsule', 'r2t'] as const) : (['r2t'] as const)) {
          const data = pattern(length, lba + length);
          data.copy(written, lba * 512);
          expect((await write(host.queues[lba % 2]!, lba, data, { way })).status).toBe(0);
          const back = await read(host.queues[(lba + 1) % 2]!, lba, length);
          expect(back.status).toBe(0);
          expect(Buffer.compare(back.data, data)).toBe(0);
          lba += length / 512;
        }
      host.close();
    }
    expect(Buffer.compare(readFileSync(filename), written)).toBe(0);
    const saved = JSON.stringify(await target.rpc('framework_get_config', { name: 'bdev' }));
    expect(saved).toContain(`bdev_${kind}_create`);
    await target.rpc(`bdev_${kind}_delete`, { name: kind });
  });
});
