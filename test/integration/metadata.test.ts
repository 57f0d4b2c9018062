// Bdevs with metadata in whole processes: what uses them sees data only, and protection information is made below.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pattern, RawHost, read, write } from '../host/index.ts';
import { freePort, Target } from '../linux-guest/target.ts';

const NQN = 'nqn.2026-11.io.spdk-ts:metadata';
const MIB = 1024 * 1024;
const disks = [
  { name: 'M16', md_size: 8, md_interleave: true, dif_type: 1, dif_pi_format: 0 },
  { name: 'M32', md_size: 16, md_interleave: false, dif_type: 2, dif_pi_format: 1 },
  { name: 'M64', md_size: 64, md_interleave: true, dif_type: 3, dif_pi_format: 2, dif_is_head_of_md: true },
  { name: 'M0', md_size: 8, md_interleave: true, dif_type: 0, dif_pi_format: 0 },
];

describe('an NVMe-oF target over bdevs with metadata', () => {
  let target: Target;
  let port: number;

  beforeAll(async () => {
    target = await Target.start();
    port = await freePort();
    await target.rpc('nvmf_create_transport', { trtype: 'TCP' });
    await target.rpc('nvmf_create_subsystem', { nqn: NQN, allow_any_host: true });
    const listen_address = { trtype: 'TCP', adrfam: 'IPv4', traddr: '127.0.0.1', trsvcid: String(port) };
    await target.rpc('nvmf_subsystem_add_listener', { nqn: NQN, listen_address });
    for (const disk of disks)
      await target.rpc('bdev_malloc_create', { block_size: 512, num_blocks: (4 * MIB) / 512, ...disk });
  });
  afterAll(() => target.stop());

  it('refuses a namespace whose metadata have no place in the blocks', async () => {
    const namespace = { bdev_name: 'M32' };
    await expect(target.rpc('nvmf_subsystem_add_ns', { nqn: NQN, namespace })).rejects.toThrow(
      'namespace.bdev_name M32 has metadata of 16 bytes apart from each block, and over fabrics they are part of it; ' +
        'create the bdev with md_interleave, or set hide_metadata',
    );
  });

  it('hides metadata where it is told to: hosts read what they write', async () => {
    for (const { name } of disks) {
      const namespace = { bdev_name: name, hide_metadata: true };
      await target.rpc('nvmf_subsystem_add_ns', { nqn: NQN, namespace });
    }
    const host = await RawHost.connect({ port, subnqn: NQN });
    await host.setQueueCount(1);
    await host.openQueues(1);
    const queue = host.queues[0]!;
    const sizes = [512, 4096, 8192, 65_536, 131_072];
    for (const nsid of disks.keys()) {
      for (const [i, length] of sizes.entries()) {
        const data = pattern(length, 100 * nsid + i);
        expect((await write(queue, 1000 + i * 300, data, { nsid: nsid + 1 })).status).toBe(0);
        const back = await read(queue, 1000 + i * 300, length, { nsid: nsid + 1 });
        expect(back.status).toBe(0);
        expect(Buffer.compare(back.data, data)).toBe(0);
      }
      // Never written: zeroes, with valid protection information.
      const fresh = await read(queue, 7, 4096, { nsid: nsid + 1 });
      expect([fresh.status, fresh.data.every((byte) => byte === 0)]).toEqual([0, true]);
    }
    host.close();
  });

  it('saves that, and shows the bdevs as they are', async () => {
    const saved = JSON.stringify(await target.rpc('framework_get_config', { name: 'nvmf' }));
    expect(saved.match(/"hide_metadata":true/g)).toHaveLength(disks.length);
    const [shown] = (await target.rpc('bdev_get_bdevs', { name: 'M64' })) as object[];
    expect(shown).toMatchObject({
      ...{ block_size: 576, num_blocks: 8192, md_size: 64, md_interleave: true, dif_type: 3 },
      ...{ dif_is_head_of_md: true, dif_pi_format: 2 },
      enabled_dif_check_types: { reftag: false, apptag: false, guard: true },
    });
  });
});

describe('bdevperf-ts over bdevs with metadata', () => {
  const program = fileURLToPath(new URL('../../apps/bdevperf/bin/bdevperf.js', import.meta.url));
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'spdk-ts-metadata-'));
    const config = disks.map((disk) => ({
      method: 'bdev_malloc_create',
      params: { block_size: 512, num_blocks: 8192, ...disk },
    }));
    writeFileSync(
      join(folder, 'config.json'),
      JSON.stringify({ subsystems: [{ subsystem: 'bdev', config }] }),
    );
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const run = (...args: string[]): Promise<{ code: number; err: string }> =>
    new Promise((resolve) => {
      const all = [program, '-c', join(folder, 'config.json'), '-q', '8', '-o', '8k', '-t', '1', ...args];
      execFile(process.execPath, all, (error, _out, err) => resolve({ code: Number(error?.code ?? 0), err }));
    });

  it.each(['verify', 'randrw', 'write_zeroes', 'unmap'])('%s with -N', async (workload) => {
    expect(await run('-w', workload, '-M', '50', '-N')).toMatchObject({ code: 0 });
  });

  it('says that protection information between the data needs -N', async () => {
    const { code, err } = await run('-w', 'randread');
    expect(code).toBe(1);
    expect(err).toContain(
      'the blocks of bdev M16 hold protection information, which jobs do not make; give -N',
    );
  });
});
