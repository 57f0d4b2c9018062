/** nvme-ts and nvme-identify as their users run them, against a target in this process. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createTarget, type RunningTarget } from '@spdk-ts/app';
import { DISCOVERY_NQN } from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { pattern } from '../host/index.ts';

const bin = (name: string): string =>
  fileURLToPath(new URL(`../../apps/nvme/bin/${name}.js`, import.meta.url));

let target: RunningTarget;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'nvme-cli-'));
  target = await createTarget({ namespaces: [{ size_bytes: 1024 * 1024 }] });
  const zones = { zone_size: 128, max_open_zones: 4 };
  await target.rpc('bdev_malloc_create', { name: 'Zoned', num_blocks: 1024, block_size: 512, ...zones });
  await target.rpc('bdev_malloc_kv_create', { name: 'Keys', num_blocks: 1024, block_size: 512 });
  for (const [bdev_name, nsid] of [
    ['Zoned', 2],
    ['Keys', 3],
  ])
    await target.rpc('nvmf_subsystem_add_ns', { nqn: target.subnqn, namespace: { bdev_name, nsid } });
});
afterAll(async () => {
  await target?.stop();
  rmSync(folder, { recursive: true });
});

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const run = (name: string, args: readonly string[]): Promise<Ran> =>
  new Promise((resolve) => {
    execFile(process.execPath, [bin(name), ...args], (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
  });

/** Runs a verb (`zns report-zones`), which succeeds. */
async function nvme(verb: string, ...args: string[]): Promise<string> {
  const { code, out, err } = await run('nvme-ts', [...verb.split(' '), target.transportId, ...args]);
  expect(err).toBe('');
  expect(code).toBe(0);
  return out;
}

const nvmeJson = async (verb: string, ...args: string[]) =>
  JSON.parse(await nvme(verb, ...args, '-o', 'json'));

it('identifies', async () => {
  expect(await nvmeJson('id-ctrl')).toMatchObject({
    mn: 'spdk-ts bdev Controller',
    subnqn: target.subnqn,
    nn: 32,
  });
  expect(await nvme('id-ctrl')).toMatch(/^mdts {6}: 5$/m);
  expect(await nvmeJson('id-ns', '-n', '1')).toMatchObject({ nsze: 2048, ncap: 2048 });
  expect(await nvmeJson('list-ns')).toEqual({ nsid_list: [{ nsid: 1 }, { nsid: 2 }, { nsid: 3 }] });
  expect(await nvmeJson('ns-descs', '-n', '3')).toMatchObject({ csi: 1 });
  const report = JSON.parse((await run('nvme-identify', [target.transportId, '--json'])).out);
  expect(report).toMatchObject({ version: '2.0', controller: { subnqn: target.subnqn } });
  expect(report.namespaces.map(({ nsid, csi }: { nsid: number; csi: number }) => [nsid, csi])).toEqual([
    [1, 0],
    [2, 2],
    [3, 1],
  ]);
  const { out } = await run('nvme-identify', [target.transportId]);
  expect(out).toContain('Serial Number:  ');
  expect(out).toContain('Namespace ID:2\nCommand Set Identifier:                  ZONED (02h)\n');
});

it('logs, features and discovery', async () => {
  expect(await nvmeJson('smart-log')).toMatchObject({ availableSpare: 100 });
  expect((await nvmeJson('get-log', '-i', '2', '-l', '512')).data).toMatch(/^000000[0-9a-f]{1018}$/);
  expect(await nvme('get-log', '-i', '3', '-l', '16')).toMatch(/^0000: {3}[0-9a-f]{2} /m);
  expect(await nvme('get-feature', '-f', '0x0f')).toContain('(KEEP ALIVE TIMER), current value:0x00002710');
  await nvme('set-feature', '-f', '4', '-V', '0x150');
  const { trsvcid, subnqn } = { trsvcid: String(target.port), subnqn: DISCOVERY_NQN };
  const at = target.transportId.replace(/subnqn:.*/, `subnqn:${subnqn}`);
  const found = await run('nvme-ts', ['discover', at, '-o', 'json']);
  expect(JSON.parse(found.out).records).toEqual([
    expect.objectContaining({
      trtype: 'tcp',
      adrfam: 'ipv4',
      trsvcid,
      subnqn: target.subnqn,
      subtype: 'nvme subsystem',
    }),
  ]);
});

it('blocks, and any command', async () => {
  const file = join(folder, 'blocks');
  const data = pattern(1024, 7);
  writeFileSync(file, data);
  await nvme('write', '-s', '4', '-c', '1', '-d', file);
  expect((await nvmeJson('read', '-s', '4', '-c', '1')).data).toBe(data.toString('hex'));
  const passed = await nvmeJson('io-passthru', '-O', '2', '-n', '1', '-r', '-l', '512', '--cdw10', '5');
  expect(passed.data).toBe(data.subarray(512).toString('hex'));
  const told = await nvmeJson('admin-passthru', '-O', '6', '-r', '-l', '4096', '--cdw10', '1');
  expect(told.data).toContain(Buffer.from('spdk-ts bdev Controller').toString('hex'));
  await nvme('flush');
});

it('zones', async () => {
  const file = join(folder, 'zone');
  writeFileSync(file, pattern(1536, 8));
  expect(await nvmeJson('zns zone-append', '-n', '2', '-s', '128', '-d', file)).toEqual({ lba: 128 });
  expect(await nvmeJson('zns zone-append', '-n', '2', '-s', '128', '-d', file)).toEqual({ lba: 131 });
  const { nr_zones, zones } = await nvmeJson('zns report-zones', '-n', '2');
  expect([nr_zones, zones[1].wp]).toEqual([8, 134]);
  await nvme('zns reset-zone', '-n', '2', '-s', '128');
  expect(await nvme('zns report-zones', '-n', '2')).toContain('SLBA: 0x80 WP: 0x80 Cap: 0x80 State: empty');
});

it('keys', async () => {
  await nvme('kv store', '-n', '3', '-k', 'one', '--value', 'first');
  await nvme('kv store', '-n', '3', '-k', 'two', '--value', 'second');
  const { length, value } = await nvmeJson('kv retrieve', '-n', '3', '-k', 'one');
  expect([length, Buffer.from(value, 'hex').toString()]).toEqual([5, 'first']);
  expect((await nvmeJson('kv list', '-n', '3')).keys.sort()).toEqual(['one', 'two']);
  await nvme('kv delete', '-n', '3', '-k', 'one');
  const { code, err } = await run('nvme-ts', ['kv', 'exist', target.transportId, '-n', '3', '-k', 'one']);
  expect([code, err]).toEqual([1, expect.stringMatching(/exist failed: .*\(sct 0, sc 87h\)/)]);
});

it('says what is wrong', async () => {
  expect(await run('nvme-ts', ['id-ctrl', '/dev/nvme0'])).toMatchObject({
    code: 1,
    err: expect.stringContaining('/dev/nvme0'),
  });
  expect((await run('nvme-ts', ['id-ctrl', 'traddr:127.0.0.1'])).err).toContain('trtype is missing');
  expect((await run('nvme-ts', ['get-log', target.transportId, '-i', '2', '-l', '3'])).err).toContain(
    '--log-len is 3',
  );
  const bad = await run('nvme-ts', ['admin-passthru', target.transportId, '-O', '0xc1']);
  expect([bad.code, bad.err]).toEqual([1, expect.stringMatching(/NVMe status: Invalid Command Opcode/)]);
});
