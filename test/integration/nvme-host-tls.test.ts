/** The host over TLS: keys of both identities, DH-HMAC-CHAP inside it, and errors that say why there is no connection. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { Random } from '@spdk-ts/env';
import { connect } from '@spdk-ts/nvme';
import { formatDhchapSecret, formatInterchangePsk } from '@spdk-ts/nvme-auth';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort, listenAddress, Target } from '../linux-guest/target.ts';
import { HostBed, implementations } from '../nvme-host/host-bed.ts';
import { sweep } from '../nvme-host/sweep.ts';

const SEED = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000);
const NQN = 'nqn.2026-11.io.spdk-ts:tls';
const HOST = 'nqn.2014-08.org.nvmexpress:uuid:6f3b5c1e-9f0a-4a53-8d57-0c1d2e3f4a5b';
const BOTH = 'nqn.2014-08.org.nvmexpress:uuid:6f3b5c1e-9f0a-4a53-8d57-0c1d2e3f4a5c';
const psk = formatInterchangePsk({ hash: 1, key: new Uint8Array(32).fill(0x5a) });
const other = formatInterchangePsk({ hash: 1, key: new Uint8Array(32).fill(0x5b) });
const long = formatInterchangePsk({ hash: 2, key: new Uint8Array(48).fill(0x5c) });
const unbound = formatInterchangePsk({ hash: 0, key: new Uint8Array(32).fill(0x5d) });
const dhchap_key = formatDhchapSecret({ hash: 1, key: new Uint8Array(32).fill(0x3c) });
const dhchap_ctrlr_key = formatDhchapSecret({ hash: 3, key: new Uint8Array(64).fill(0x3d) });

let folder: string;
let target: Target;
let plain: number;
let secure: number;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'host-tls-'));
  target = await Target.start();
  [plain, secure] = [await freePort(), await freePort()];
  const keys = { psk, unbound, host: dhchap_key, ctrlr: dhchap_ctrlr_key };
  for (const [name, text] of Object.entries(keys)) {
    const path = join(folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    await target.rpc('keyring_file_add_key', { name, path });
  }
  await target.createMalloc('Malloc0', 64 * 1024 * 1024);
  await target.createTransport();
  await target.rpc('nvmf_create_subsystem', { nqn: NQN, serial_number: 'TLS' });
  await target.rpc('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: 'Malloc0' } });
  await target.rpc('nvmf_subsystem_add_listener', { nqn: NQN, listen_address: listenAddress(plain) });
  const listener = { listen_address: listenAddress(secure), secure_channel: true };
  await target.rpc('nvmf_subsystem_add_listener', { nqn: NQN, ...listener });
  await target.rpc('nvmf_subsystem_add_host', { nqn: NQN, host: HOST, psk: 'psk' });
  const both = { psk: 'unbound', dhchap_key: 'host', dhchap_ctrlr_key: 'ctrlr' };
  await target.rpc('nvmf_subsystem_add_host', { nqn: NQN, host: BOTH, ...both });
});
afterAll(async () => {
  try {
    expect(await target.stop(), target.output).toBe(0);
  } finally {
    await target.dispose();
    rmSync(folder, { recursive: true });
  }
});

const at = (port: number): string => `trtype:TCP traddr:127.0.0.1 trsvcid:${port} subnqn:${NQN}`;

describe.each(implementations)('beside %s sockets', (implementation) => {
  it.each([0, 1] as const)(
    `all sizes, with an identity of version %i (seed ${SEED})`,
    async (psk_version) => {
      const bed = await HostBed.start(implementation);
      try {
        const options = { hostnqn: HOST, psk, psk_version, data_digest: psk_version === 1 };
        const controller = await bed.connect(secure, NQN, options);
        const plainly = await bed.connect(plain, NQN, { hostnqn: HOST });
        const random = new Random(SEED);
        const sizes = Array.from({ length: 48 }, (_, i) => (i + 1) * 512);
        sizes.push(128 * 1024, 1024 * 1024);
        const secured = await controller.openIoQueue();
        const bare = await plainly.openIoQueue();
        expect(await bed.read(bare, 100_000, bed.place(512), 512)).toBe(0);
        await sweep(bed, secured, sizes, 16, random);
        await sweep(bed, bare, [512, 65_536], 2, random);
        await controller.close();
        await plainly.close();
      } finally {
        await bed.stop();
        expect(bed.reactor.buffers.used).toBe(0);
      }
    },
  );
});

it('DH-HMAC-CHAP over TLS, both ways', async () => {
  const options = { hostnqn: BOTH, psk: unbound, dhchap_key, dhchap_ctrlr_key };
  await using connection = await connect(at(secure), options);
  expect((await connection.namespace(1).read(0, 1)).length).toBe(512);
  const qpairs = await target.rpc('nvmf_subsystem_get_qpairs', { nqn: NQN });
  expect(qpairs).toHaveLength(2);
  for (const { auth, listen_address } of qpairs) {
    expect(auth.state).toBe('completed');
    expect(listen_address.trsvcid).toBe(String(secure));
  }
});

it('a controller that is reset connects over TLS again', async () => {
  await using connection = await connect(at(secure), { hostnqn: HOST, psk, reconnect_delay_ms: 10 });
  const { events } = connection;
  connection.controller.reset();
  for (const type of ['disconnected', 'connected'])
    expect((await events.next()).value).toMatchObject({ type });
  expect((await connection.namespace(1).read(0, 1)).length).toBe(512);
});

const refusal = (port: number, options: object): Promise<unknown> =>
  connect(at(port), { hostnqn: HOST, connect_timeout_ms: 5000, ...options }).then(
    () => 'connected',
    (error) => error,
  );

const failed = (code: string, message: RegExp) => ({ code, message: expect.stringMatching(message) });

it('tells why there is no connection', async () => {
  expect(await refusal(secure, { psk: other })).toMatchObject(
    failed('EAUTH', /PSK identity "NVMe0R01 .*" is refused \(.*\): the controller has another key/),
  );
  const stranger = 'nqn.2026-11.io.spdk-ts:stranger';
  expect(await refusal(secure, { psk, hostnqn: stranger })).toMatchObject(
    failed('EAUTH', new RegExp(`"NVMe0R01 ${stranger} ${NQN}" is refused .* has no key of this identity`)),
  );
  expect(await refusal(secure, {})).toMatchObject(
    failed('ECONNECT', /before its ICResp; its listener may be one for TLS: give a psk/),
  );
  expect(await refusal(plain, { psk })).toMatchObject(
    failed('EAUTH', /the peer answers with something else than TLS|the listener may be one without TLS/),
  );
  expect(await refusal(secure, { psk: long })).toMatchObject(failed('EUNSUPPORTED', /SHA-384/));
  expect(await refusal(secure, { psk: 'NVMeTLSkey-1:01:abc:' })).toMatchObject(failed('EINVAL', /^psk: /));
  expect(await refusal(await freePort(), { psk })).toMatchObject(failed('ECONNECT', /ECONNREFUSED/));
});

it('a peer that is silent, or does without the key, is left', async () => {
  const silent = createServer();
  const port = await new Promise<number>((resolve) =>
    silent.listen(0, '127.0.0.1', () => resolve((silent.address() as { port: number }).port)),
  );
  expect(await refusal(port, { psk, connect_timeout_ms: 300 })).toMatchObject(
    failed('ETIMEOUT', /answers no TLS handshake in time/),
  );
  silent.close();
  const keyless = createTlsServer({ minVersion: 'TLSv1.3', pskCallback: () => null as never });
  const other = await new Promise<number>((resolve) =>
    keyless.listen(0, '127.0.0.1', () => resolve((keyless.address() as { port: number }).port)),
  );
  expect(await refusal(other, { psk })).toMatchObject({ code: 'EAUTH' });
  keyless.close();
});

const bin = (path: string): string => fileURLToPath(new URL(`../../apps/${path}.js`, import.meta.url));
const run = (program: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> =>
  new Promise((resolve) => {
    execFile(process.execPath, [bin(program), ...args], (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
  });

it('programs take keys from files', async () => {
  const open = join(folder, 'open');
  writeFileSync(open, psk, { mode: 0o644 });
  const nvme = (...args: string[]) =>
    run('nvme/bin/nvme-ts', 'list-ns', at(secure), '--hostnqn', HOST, ...args);
  expect(await nvme('--psk-path', join(folder, 'psk'))).toMatchObject({ code: 0, out: '[   0]:0x1\n' });
  expect(await nvme('--tls-key', psk, '--psk-version', '1')).toMatchObject({ code: 0 });
  expect((await nvme('--psk-path', open)).err).toMatch(/open has mode 0644/);
  expect((await nvme('--psk-path', open, '--tls-key', psk)).err).toContain('exclude each other');
  const load = ['-q', '8', '-o', '4096', '-w', 'randread', '-t', '1'];
  const perf = (...args: string[]) =>
    run('nvme-perf/bin/nvme-perf', ...load, '-r', `${at(secure)} hostnqn:${BOTH}`, ...args);
  const keys = ['--dhchap-key', join(folder, 'host'), '--dhchap-ctrlr-key', join(folder, 'ctrlr')];
  const ran = await perf('-S', 'ssl', '--psk-path', join(folder, 'unbound'), ...keys);
  expect(ran.err).toBe('');
  expect(Number(/^Total\s*:\s+([\d.]+)/m.exec(ran.out)?.[1])).toBeGreaterThan(0);
  expect((await perf('-S', 'ssl')).err).toContain('-S ssl needs --psk-path');
});
