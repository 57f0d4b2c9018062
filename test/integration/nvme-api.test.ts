/** The typed API, with a target in the same process; its example; and who proves itself to whom. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createTarget } from '@spdk-ts/app';
import { connect, NvmeError } from '@spdk-ts/nvme';
import {
  type DhchapGroupName,
  type DhchapHashName,
  dhchapGroup,
  dhchapHash,
  formatDhchapSecret,
} from '@spdk-ts/nvme-auth';
import { adminOpcode } from '@spdk-ts/nvme-spec';
import { expect, it } from 'vitest';
import { pattern } from '../host/index.ts';

const HOST = 'nqn.2014-08.org.nvmexpress:uuid:6f3b5c1e-9f0a-4a53-8d57-0c1d2e3f4a5b';

it('connects, identifies, writes and reads', async () => {
  await using target = await createTarget({
    namespaces: [{ size_bytes: 8 * 1024 * 1024 }, { size_bytes: 4 * 1024 * 1024, block_size: 4096 }],
  });
  await using connection = await connect(target.transportId);
  expect(await connection.identify()).toMatchObject({ subnqn: target.subnqn });
  expect(
    connection.namespaces.map(({ nsid, num_blocks, block_size }) => [nsid, num_blocks, block_size]),
  ).toEqual([
    [1, 16_384, 512],
    [2, 1024, 4096],
  ]);
  for (const nsid of [1, 2]) {
    const namespace = connection.namespace(nsid);
    const { block_size } = namespace.info;
    // 3 MiB: more than the controller takes at once.
    const data = pattern(3 * 1024 * 1024, nsid);
    await namespace.write(10, data);
    await namespace.flush();
    expect(Buffer.compare(await namespace.read(10, data.length / block_size), data)).toBe(0);
    expect(Buffer.compare(await namespace.read(11, 1), data.subarray(block_size, 2 * block_size))).toBe(0);
  }
  const { status, dw0 } = await connection.adminCommand({ opcode: adminOpcode.getFeatures, cdw10: 0x0f });
  expect([status, dw0]).toEqual([0, 10_000]);
});

it('says what is wrong', async () => {
  await using target = await createTarget();
  await using connection = await connect(target.transportId);
  const namespace = connection.namespace(1);
  await expect(namespace.read(131_071, 2)).rejects.toThrow(
    'blocks 131071…131073 are not in namespace 1, which has 131072',
  );
  await expect(namespace.write(0, new Uint8Array(100))).rejects.toThrow('it must be whole blocks of 512');
  expect(() => connection.namespace(9)).toThrow('there is no namespace 9: active are 1');
  await expect(connect(target.transportId.replace('in-process', 'other'))).rejects.toMatchObject({
    code: 'ESTATUS',
  });
  await connection.close();
  await expect(namespace.read(0, 1)).rejects.toBeInstanceOf(NvmeError);
});

it('the example', async () => {
  const example = fileURLToPath(new URL('../../examples/nvme-host/main.mjs', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [example], { timeout: 30_000 });
  expect(stdout).toBe('1048576 bytes read back: the same\nnamespace 2 has come\n');
});

it('DH-HMAC-CHAP: all hash functions and groups, both ways, and keys that differ', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'nvme-auth-'));
  try {
    await using target = await createTarget();
    const { subnqn } = target;
    const secret = formatDhchapSecret({ hash: 1, key: new Uint8Array(32).fill(0x3c) });
    const ctrlr = formatDhchapSecret({ hash: 3, key: new Uint8Array(64).fill(0x3d) });
    for (const [name, text] of Object.entries({ host: secret, ctrlr })) {
      const path = join(folder, name);
      writeFileSync(path, text, { mode: 0o600 });
      await target.rpc('keyring_file_add_key', { name, path });
    }
    await target.rpc('nvmf_subsystem_allow_any_host', { nqn: subnqn, allow_any_host: false });
    const keys = { dhchap_key: 'host', dhchap_ctrlr_key: 'ctrlr' };
    await target.rpc('nvmf_subsystem_add_host', { nqn: subnqn, host: HOST, ...keys });
    for (const digest of Object.keys(dhchapHash) as DhchapHashName[])
      for (const group of Object.keys(dhchapGroup) as DhchapGroupName[]) {
        const offer = { dhchap_digests: [digest], dhchap_dhgroups: [group] };
        const options = {
          hostnqn: HOST,
          dhchap_key: secret,
          dhchap_ctrlr_key: ctrlr,
          num_io_queues: 1,
          ...offer,
        };
        await using connection = await connect(target.transportId, options);
        expect((await connection.namespace(1).read(0, 1)).length, `${digest} ${group}`).toBe(512);
        const [queue] = (await target.rpc('nvmf_subsystem_get_qpairs', { nqn: subnqn })) as {
          auth: unknown;
        }[];
        expect(queue!.auth).toEqual({ state: 'completed', digest, dhgroup: group });
      }
    const refusal = async (more: object): Promise<unknown> =>
      connect(target.transportId, { hostnqn: HOST, ...more }).then(
        () => 'connected',
        (error) => error,
      );
    expect(await refusal({})).toMatchObject({
      code: 'EAUTH',
      message: expect.stringContaining('requires DH-HMAC-CHAP'),
    });
    expect(await refusal({ dhchap_key: ctrlr })).toMatchObject({
      code: 'EAUTH',
      message: expect.stringContaining('the controller refuses: authentication failed (the keys differ)'),
    });
    expect(await refusal({ dhchap_key: secret, dhchap_ctrlr_key: secret })).toMatchObject({
      code: 'EAUTH',
      message: expect.stringContaining('the controller is not believed'),
    });
    expect(await refusal({ dhchap_key: 'DHHC-1:00:abc:' })).toMatchObject({ code: 'EINVAL' });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
