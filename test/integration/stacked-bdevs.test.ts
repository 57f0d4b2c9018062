// Bdevs on bdevs in whole processes: made with rpc.ts, saved, loaded elsewhere, and verified by bdevperf-ts.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Image } from '../../packages/bdev-modules/gpt/test/image.ts';
import { cleanUp, client, programs, run, startTarget, temporaryDirectory } from './app-process.ts';

let directory: string;
let socket: string;

beforeEach(() => {
  directory = temporaryDirectory();
  socket = join(directory, 'rpc.sock');
});
afterEach(cleanUp);

/** Runs rpc.ts and gives what it prints. */
async function rpc(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(programs.rpc, '-s', socket, ...args);
  expect([code, stderr]).toEqual([0, '']);
  return stdout;
}

/** Runs bdevperf-ts's verify on what a configuration makes: names of the bdevs that it did I/O on, without a failure. */
async function verified(config: string): Promise<string[]> {
  const args = ['-c', config, '-w', 'verify', '-q', '16', '-o', '8k', '-t', '1', '-m', '0x3'];
  const { code, stdout, stderr } = await run(programs.bdevperf, ...args);
  expect(code, stdout + stderr).toBe(0);
  const rows = [...stdout.matchAll(/^(?:\t|\r) (\w+) +: +([-\d. ]+)$/gm)].map(([, name, numbers]) => ({
    name: name!,
    numbers: numbers!.trim().split(/ +/).map(Number),
  }));
  for (const { numbers } of rows) {
    expect(numbers[1]).toBeGreaterThan(0);
    expect(numbers[3]).toBe(0);
  }
  return rows.map(({ name }) => name).filter((name) => name !== 'Total');
}

describe('stacked bdevs', () => {
  it('are made with rpc.ts, come back from a saved configuration, and keep data', {
    timeout: 120_000,
  }, async () => {
    const target = await startTarget(socket, '-m', '0x3');
    // The split is configured before there is anything to split.
    expect(await rpc('bdev_split_create', 'P', '2')).toBe('\n');
    expect(await rpc('bdev_passthru_create', '-b', 'M', '-p', 'P')).toBe('P\n');
    expect(await rpc('bdev_malloc_create', '-b', 'M', '16', '512')).toBe('M\n');
    expect(await rpc('bdev_error_create', 'Pp1')).toBe('true\n');
    const delay = ['-r', '10', '-t', '20', '-w', '10', '-n', '20'];
    expect(await rpc('bdev_delay_create', '-b', 'EE_Pp1', '-d', 'D', ...delay)).toBe('D\n');
    expect(await rpc('bdev_delay_update_latency', 'D', 'p99_read', '5')).toBe('true\n');
    await rpc('bdev_wait_for_examine');
    const bdevs = JSON.parse(await rpc('bdev_get_bdevs')) as { name: string; claimed: boolean }[];
    expect(bdevs.map(({ name, claimed }) => `${name} ${claimed}`)).toEqual([
      ...['M true', 'P true', 'Pp0 false', 'Pp1 true', 'EE_Pp1 true', 'D false'],
    ]);
    const saved = await rpc('save_config');
    const config = join(directory, 'config.json');
    writeFileSync(config, saved);
    expect(await target.stop()).toMatchObject({ code: 0 });

    expect((await verified(config)).sort()).toEqual(['D', 'Pp0']);
    await startTarget(socket, '-c', config);
    expect(await rpc('save_config')).toBe(saved);
  });

  it('fail as a script says', async () => {
    await startTarget(socket);
    const calls = await client(socket);
    await calls.call('bdev_malloc_create', { name: 'M', block_size: 512, num_blocks: 8192 });
    await calls.call('bdev_error_create', { base_name: 'M' });
    const rules = [{ io_type: 'read', rate: 0.5, error_type: 'failure' }];
    await rpc('bdev_error_set_rules', 'EE_M', JSON.stringify(rules), '-s', '7');
    await rpc('bdev_error_inject_error', 'EE_M', 'write', 'corrupt_data', '-n', '2', '-v', '1');
    await calls.call('bdev_error_resume_pending', { name: 'EE_M' });
    expect(await calls.call('bdev_error_get_rules', { name: 'EE_M' })).toEqual({
      seed: 7,
      rules: [{ rule: rules[0], matched: 0, hits: 0 }],
    });
    await calls.call('bdev_error_delete', { name: 'EE_M' });
    expect((await calls.call('bdev_get_bdevs', {})).map(({ name }) => name)).toEqual(['M']);
  });

  it('appear with the partitions of a disk, in every process that has it', async () => {
    const disk = join(directory, 'disk');
    const type = '6527994e-2c5a-4eec-9613-8f5944074e8b';
    const partitions = [
      { type, unique: 'aaaaaaaa-0001-0002-0304-050607080901', first: 64, last: 4095, name: 'first' },
      { type, unique: 'aaaaaaaa-0001-0002-0304-050607080902', first: 4096, last: 8191, name: 'second' },
    ];
    const image = new Image({ num_blocks: 16384, partitions });
    writeFileSync(disk, image.bytes);
    const target = await startTarget(socket);
    const calls = await client(socket);
    await calls.call('bdev_file_create', { filename: disk, name: 'F' });
    await calls.call('bdev_wait_for_examine');
    expect((await calls.call('bdev_get_bdevs', {})).map(({ name }) => name)).toEqual(['F', 'Fp1', 'Fp2']);
    const config = join(directory, 'config.json');
    writeFileSync(config, await rpc('save_config'));
    await target.stop();
    expect((await verified(config)).sort()).toEqual(['Fp1', 'Fp2']);
    // Nothing was written outside of the partitions.
    const after = readFileSync(disk);
    const before = Buffer.from(image.bytes.buffer);
    expect(after.subarray(0, 64 * 512).equals(before.subarray(0, 64 * 512))).toBe(true);
    expect(after.subarray(8192 * 512).equals(before.subarray(8192 * 512))).toBe(true);
    expect(after.equals(before)).toBe(false);
  });
});
