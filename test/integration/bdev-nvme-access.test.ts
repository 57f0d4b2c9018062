/** The bdev module nvme with keys of the keyring: TLS, DH-HMAC-CHAP, other keys under load, and what is saved of them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '@spdk-ts/nvme';
import { formatDhchapSecret, formatInterchangePsk } from '@spdk-ts/nvme-auth';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { eventually, freePort, type Json, listenAddress, Target } from '../linux-guest/target.ts';

const NQN = 'nqn.2026-11.io.spdk-ts:keys';
const HOST = 'nqn.2014-08.org.nvmexpress:uuid:6f3b5c1e-9f0a-4a53-8d57-0c1d2e3f4a5b';
const secret = (byte: number): string => formatDhchapSecret({ hash: 1, key: new Uint8Array(32).fill(byte) });
const contents: Readonly<Record<string, string>> = {
  psk: formatInterchangePsk({ hash: 1, key: new Uint8Array(32).fill(0x5a) }),
  host: secret(0x31),
  host2: secret(0x32),
  ctrlr: secret(0x33),
  ctrlr2: secret(0x34),
};

let folder: string;
let back: Target;
let front: Target;
let secure: number;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bdev-nvme-keys-'));
  [back, front] = [await Target.start(), await Target.start()];
  for (const [name, text] of Object.entries(contents)) {
    const path = join(folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    for (const target of [back, front]) await target.rpc('keyring_file_add_key', { name, path });
  }
  secure = await freePort();
  await back.createMalloc('Malloc0', 16 * 1024 * 1024);
  await back.createTransport();
  await back.rpc('nvmf_create_subsystem', { nqn: NQN, serial_number: 'KEYS' });
  await back.rpc('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: 'Malloc0' } });
  const listener = { listen_address: listenAddress(secure), secure_channel: true };
  await back.rpc('nvmf_subsystem_add_listener', { nqn: NQN, ...listener });
  const keys = { psk: 'psk', dhchap_key: 'host', dhchap_ctrlr_key: 'ctrlr' };
  await back.rpc('nvmf_subsystem_add_host', { nqn: NQN, host: HOST, ...keys });
});
afterAll(async () => {
  for (const target of [front, back]) {
    await target?.stop();
    await target?.dispose();
  }
  rmSync(folder, { recursive: true });
});

const attach = (more: object = {}) => ({
  ...{
    name: 'Nvme0',
    trtype: 'TCP',
    traddr: '127.0.0.1',
    trsvcid: String(secure),
    subnqn: NQN,
    hostnqn: HOST,
  },
  ...{ ctrlr_loss_timeout_sec: 30, reconnect_delay_sec: 1 },
  ...{ psk: 'psk', dhchap_key: 'host', dhchap_ctrlr_key: 'ctrlr' },
  ...more,
});

const savedCall = async (target: Target): Promise<Json> => {
  const { config } = (await target.config()).subsystems.find(({ subsystem }: Json) => subsystem === 'bdev');
  return config.find(({ method }: Json) => method === 'bdev_nvme_attach_controller')?.params;
};
const users = async (name: string): Promise<number> =>
  (await front.rpc('keyring_get_keys')).find((key: Json) => key.name === name).refcnt;
const states = async (): Promise<string[]> =>
  (await back.rpc('nvmf_subsystem_get_qpairs', { nqn: NQN })).map(({ auth }: Json) => auth?.state);

it('attaches with keys of the keyring, and holds them', async () => {
  for (const [parameter, name] of [
    ['psk', 'none'],
    ['dhchap_key', 'nothing'],
  ])
    await expect(
      front.rpc('bdev_nvme_attach_controller', attach({ [parameter!]: name })),
    ).rejects.toMatchObject({
      code: -126,
      message: expect.stringContaining(`${parameter}: there is no key "${name}"`),
    });
  await expect(front.rpc('bdev_nvme_attach_controller', attach({ dhchap_key: 'host2' }))).rejects.toThrow(
    /DH-HMAC-CHAP: the controller refuses/,
  );
  await expect(front.rpc('bdev_nvme_attach_controller', attach({ psk: 'host' }))).rejects.toThrow(
    /psk: it does not begin with "NVMeTLSkey-1:"/,
  );
  expect(await users('host')).toBe(1);
  expect(await front.rpc('bdev_nvme_attach_controller', attach())).toEqual(['Nvme0n1']);
  expect(await users('host')).toBe(2);
  expect(await savedCall(front)).toEqual(attach());
});

it('takes other keys, beside I/O through it, and reconnects with them', async () => {
  const port = await freePort();
  const proxy = 'nqn.2026-11.io.spdk-ts:proxy';
  await front.export(proxy, ['Nvme0n1'], port);
  const set = (keys: object) => front.rpc('bdev_nvme_set_keys', { name: 'Nvme0', ...keys });
  await expect(set({ dhchap_key: 'other' })).rejects.toMatchObject({ code: -126 });
  await using connection = await connect(`trtype:TCP traddr:127.0.0.1 trsvcid:${port} subnqn:${proxy}`);
  const namespace = connection.namespace(1);
  let reads = 0;
  let stopping = false;
  const load = (async () => {
    for (; !stopping; reads++) expect((await namespace.read(reads % 100, 8)).length).toBe(4096);
  })();
  const goesOn = async (): Promise<void> => {
    const before = reads;
    await Promise.race([load, eventually(30, 'I/O goes on', () => reads > before + 20)]);
  };
  await goesOn();
  await back.rpc('nvmf_subsystem_set_keys', {
    ...{ nqn: NQN, host: HOST, dhchap_key: 'host2', dhchap_ctrlr_key: 'ctrlr2' },
  });
  expect(await set({ dhchap_key: 'host2', dhchap_ctrlr_key: 'ctrlr2' })).toBe(true);
  await goesOn();
  // A queue that was just being opened when the target changed its keys may have cost the connection.
  await eventually(10, 'every queue is authenticated', async () => {
    const [controller] = await front.rpc('bdev_nvme_get_controllers', { name: 'Nvme0' });
    const all = await states();
    return (
      controller.ctrlrs[0].state === 'enabled' &&
      all.length > 1 &&
      all.every((state) => state === 'completed')
    );
  });
  expect([await users('host'), await users('host2')]).toEqual([1, 2]);
  expect(await savedCall(front)).toEqual(attach({ dhchap_key: 'host2', dhchap_ctrlr_key: 'ctrlr2' }));
  expect(await front.rpc('bdev_nvme_reset_controller', { name: 'Nvme0' })).toBe(true);
  await goesOn();
  stopping = true;
  await load;
  // Those that the target does not know: nothing has changed but the connection.
  await expect(set({ dhchap_key: 'host', dhchap_ctrlr_key: 'ctrlr2' })).rejects.toMatchObject({
    code: -13,
    message: expect.stringContaining('the controller refuses'),
  });
  expect([await users('host'), await users('host2')]).toEqual([1, 2]);
  await connection.close();
  await front.rpc('nvmf_delete_subsystem', { nqn: proxy });
});

it('what is saved names the keys, never their contents, and brings everything back', async () => {
  const config = await front.config();
  const text = JSON.stringify([config, front.output]);
  for (const content of Object.values(contents)) expect(text).not.toContain(content.split(':')[2]);
  front = await front.replaceBy(config);
  expect(await front.config()).toEqual(config);
  expect((await front.rpc('bdev_get_bdevs', { name: 'Nvme0n1' })).length).toBe(1);
  await front.rpc('bdev_nvme_detach_controller', { name: 'Nvme0' });
  expect(await users('host2')).toBe(1);
});

it('takes other keys on each of several paths', async () => {
  const second = await freePort();
  const listener = { listen_address: listenAddress(second), secure_channel: true };
  await back.rpc('nvmf_subsystem_add_listener', { nqn: NQN, ...listener });
  const proxy = 'nqn.2026-11.io.spdk-ts:paths';
  const keys = (host: string, ctrlr: string) => ({ dhchap_key: host, dhchap_ctrlr_key: ctrlr });
  for (const trsvcid of [secure, second])
    await front.rpc('bdev_nvme_attach_controller', {
      ...attach({ trsvcid: String(trsvcid), ...keys('host2', 'ctrlr2') }),
      multipath_opts: { policy: 'active_active' },
    });
  const port = await freePort();
  await front.export(proxy, ['Nvme0n1'], port);
  await using connection = await connect(`trtype:TCP traddr:127.0.0.1 trsvcid:${port} subnqn:${proxy}`);
  const namespace = connection.namespace(1);
  const reads = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) expect((await namespace.read(i, 8)).length).toBe(4096);
  };
  const paths = async (): Promise<string[]> => {
    const [{ ctrlrs }] = await front.rpc('bdev_nvme_get_controllers', { name: 'Nvme0' });
    return ctrlrs.map(({ state }: Json) => state);
  };
  await reads();
  const held = (await users('host2')) as number;
  await back.rpc('nvmf_subsystem_set_keys', { nqn: NQN, host: HOST, ...keys('host', 'ctrlr') });
  expect(await front.rpc('bdev_nvme_set_keys', { name: 'Nvme0', ...keys('host', 'ctrlr') })).toBe(true);
  await reads();
  // Each path holds the new key, and none the old one.
  expect([await users('host'), await users('host2')]).toEqual([3, held - 2]);
  expect((await front.rpc('keyring_get_keys')).length).toBe(Object.keys(contents).length);
  const { config } = (await front.config()).subsystems.find(({ subsystem }: Json) => subsystem === 'bdev');
  const saved = config.filter(({ method }: Json) => method === 'bdev_nvme_attach_controller');
  expect(saved.map(({ params }: Json) => [params.trsvcid, params.dhchap_key])).toEqual([
    [String(secure), 'host'],
    [String(second), 'host'],
  ]);
  await eventually(10, 'both paths', async () => (await paths()).join() === 'enabled,enabled');
  // Both are connected to with them.
  expect(await front.rpc('bdev_nvme_reset_controller', { name: 'Nvme0' })).toBe(true);
  expect(await paths()).toEqual(['enabled', 'enabled']);
  await reads();
  await eventually(10, 'every queue is authenticated', async () => {
    const all = await states();
    return all.length >= 4 && all.every((state) => state === 'completed');
  });
});
