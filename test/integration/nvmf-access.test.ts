// Who may connect: TLS with pre-shared keys, DH-HMAC-CHAP over sockets, and what of keys can be seen from outside.
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import {
  formatDhchapSecret,
  formatInterchangePsk,
  groupPrime,
  parseInterchangePsk,
  retainedPsk,
  tlsPsk,
} from '@spdk-ts/nvme-auth';
import { decodeDiscoveryLog, encodeIcReq, tcpSecurity, treq, viewOf } from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  authenticate,
  DEFAULT_HOSTNQN,
  type HostOptions,
  pattern,
  RawHost,
  RawQueue,
  read,
  write,
} from '../host/index.ts';
import { eventually, freePort, type Json, listenAddress, Target } from '../linux-guest/target.ts';

const NQN = 'nqn.2026-11.io.spdk-ts:access';
const DISCOVERY = 'nqn.2014-08.org.nvmexpress.discovery';
const PSK = formatInterchangePsk({ hash: 1, key: new Uint8Array(32).fill(0x5a) });
const LONG_PSK = formatInterchangePsk({ hash: 2, key: new Uint8Array(48).fill(0x5b) });
const SECRET = formatDhchapSecret({ hash: 1, key: new Uint8Array(32).fill(0x3c) });
const CTRL_SECRET = formatDhchapSecret({ hash: 3, key: new Uint8Array(64).fill(0x3d) });
const OTHER_HOST = 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001';

let folder: string;
let target: Target;
let plain: number;
let secure: number;

const keyOf = (version: 0 | 1, subnqn = NQN, text = PSK) =>
  tlsPsk(version, retainedPsk(parseInterchangePsk(text), DEFAULT_HOSTNQN), DEFAULT_HOSTNQN, subnqn);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'access-'));
  target = await Target.start();
  [plain, secure] = [await freePort(), await freePort()];
  for (const [name, text] of Object.entries({ psk: PSK, long: LONG_PSK, host: SECRET, ctrlr: CTRL_SECRET })) {
    const path = join(folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    await target.rpc('keyring_file_add_key', { name, path });
  }
  await target.createMalloc('Malloc0', 16 * 1024 * 1024);
  await target.createTransport();
  await target.rpc('nvmf_create_subsystem', { nqn: NQN, serial_number: 'ACCESS' });
  await target.rpc('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: 'Malloc0' } });
  await target.rpc('nvmf_subsystem_add_listener', { nqn: NQN, listen_address: listenAddress(plain) });
  const listener = { listen_address: listenAddress(secure), secure_channel: true };
  await target.rpc('nvmf_subsystem_add_listener', { nqn: NQN, ...listener });
  await target.rpc('nvmf_subsystem_add_listener', { nqn: DISCOVERY, ...listener });
  await target.rpc('nvmf_subsystem_add_host', { nqn: NQN, host: DEFAULT_HOSTNQN, psk: 'psk' });
  await target.rpc('nvmf_subsystem_add_host', { nqn: DISCOVERY, host: DEFAULT_HOSTNQN, psk: 'psk' });
});

afterAll(async () => {
  try {
    expect(await target.stop(), target.output).toBe(0);
  } finally {
    await target.dispose();
    rmSync(folder, { recursive: true });
  }
});

const host = async (options: Partial<HostOptions> & { port: number }, queues = 2): Promise<RawHost> => {
  const connected = await RawHost.connect({ subnqn: NQN, ...options });
  await connected.setQueueCount(queues);
  await connected.openQueues(queues);
  return connected;
};

/** Data written and read back on every queue, each at a place of its own from block `at` on. */
async function exchange({ queues }: RawHost, at = 0): Promise<void> {
  for (const [i, queue] of queues.entries())
    for (const bytes of [512, 4096, 128 * 1024]) {
      const lba = at + i * 1024;
      const data = pattern(bytes, lba + bytes);
      expect((await write(queue, lba, data)).status).toBe(0);
      const back = await read(queue, lba, bytes);
      expect(Buffer.compare(back.data, data)).toBe(0);
    }
}

test.each([0, 1] as const)(
  'I/O over TLS with an identity of version %i, beside plain I/O',
  async (version) => {
    const both = [await host({ port: secure, tls: keyOf(version) }, 4), await host({ port: plain })];
    await Promise.all(both.map((one, i) => exchange(one, i * 8192)));
    for (const one of both) one.close();
  },
);

test.skipIf(process.env['SPDK_TS_NATIVE'] === '0')(
  'no session ticket comes, on which Linux hosts would end the connection (the portable path cannot turn them off)',
  async () => {
    const { identity, key } = keyOf(1);
    const socket = connectTls({
      ...{ port: secure, host: '127.0.0.1', minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' },
      pskCallback: () => ({ identity, psk: key }),
      checkServerIdentity: () => undefined,
    });
    let tickets = 0;
    socket.on('session', () => tickets++);
    await once(socket, 'secureConnect');
    const icReq = new Uint8Array(128);
    encodeIcReq(viewOf(icReq), 0, { pfv: 0, hpda: 0, dgst: 0, maxr2t: 1 });
    socket.write(icReq);
    // Tickets follow the handshake at once: before the first answer.
    await once(socket, 'data');
    socket.destroy();
    expect(tickets).toBe(0);
    expect(target.output).not.toContain('session tickets');
  },
);

test('TLS with digests, and I/O larger than records', async () => {
  const one = await host({ port: secure, tls: keyOf(1), digests: 3 });
  await exchange(one);
  one.close();
});

const refused = async (tls: { identity: string; key: Uint8Array }): Promise<string> => {
  const queue = await RawQueue.open({ port: secure, tls }).catch((error: Error) => error.message);
  if (typeof queue !== 'string') queue.close();
  return typeof queue === 'string' ? queue : '';
};

test('a wrong key, an unknown identity, and one of SHA-384 are refused, the last with the reason', async () => {
  const { identity, key } = keyOf(0);
  expect(await refused({ identity, key: new Uint8Array(32) })).not.toBe('');
  expect(await refused({ identity: `${identity}x`, key })).not.toBe('');
  expect(await refused({ identity: identity.replace('R01', 'R02'), key })).not.toBe('');
  await eventually(5, 'the reason is logged', () =>
    /TLS_AES_256_GCM_SHA384: the TLS of Node/.test(target.output),
  );
  const one = await host({ port: secure, tls: keyOf(0) });
  await exchange(one);
  one.close();
});

test('a plain host at a TLS listener, and a TLS host at a plain one, get nowhere', async () => {
  await expect(RawQueue.open({ port: secure })).rejects.toThrow();
  await expect(RawQueue.open({ port: plain, tls: keyOf(0) })).rejects.toThrow();
});

test('who proved to be one host cannot connect as another, or to another subsystem', async () => {
  const as = (options: Partial<HostOptions>) =>
    RawHost.connect({ port: secure, subnqn: NQN, tls: keyOf(0), ...options });
  await target.rpc('nvmf_subsystem_add_host', { nqn: NQN, host: OTHER_HOST });
  await expect(as({ hostnqn: OTHER_HOST })).rejects.toThrow(/sct 1h, sc 84h/);
  await expect(as({ subnqn: DISCOVERY })).rejects.toThrow(/sct 1h, sc 84h/);
  await target.rpc('nvmf_subsystem_remove_host', { nqn: NQN, host: OTHER_HOST });
});

test('the discovery log tells of TLS', async () => {
  const one = await RawHost.connect({ port: secure, subnqn: DISCOVERY, tls: keyOf(1, DISCOVERY) });
  const page = await one.admin.submitRead({ opcode: 2, cdw10: 0x70 | (2047 << 16), psdt: 1 }, 8192);
  const found = decodeDiscoveryLog(page.data).entries.map((e) => [e.trsvcid, e.treq, e.sectype]);
  expect(found).toContainEqual([String(secure), treq.secureChannelRequired, tcpSecurity.tls13]);
  expect(found).toContainEqual([String(plain), treq.notSpecified, tcpSecurity.none]);
  one.close();
});

test('a host whose key is taken away is disconnected and cannot come back', async () => {
  const one = await host({ port: secure, tls: keyOf(1) });
  await target.rpc('nvmf_subsystem_remove_host', { nqn: NQN, host: DEFAULT_HOSTNQN });
  await one.admin.stream.closed;
  expect(await refused(keyOf(1))).not.toBe('');
  await target.rpc('nvmf_subsystem_add_host', { nqn: NQN, host: DEFAULT_HOSTNQN, psk: 'psk' });
  (await host({ port: secure, tls: keyOf(1) })).close();
});

test('connections that do not speak TLS, or stop in its middle, hold nobody up', async () => {
  const sockets = Array.from({ length: 40 }, (_, i) => {
    const socket = connect(secure, '127.0.0.1');
    socket.on('error', () => {});
    // The beginning of a ClientHello, nothing at all, or noise.
    if (i % 3 === 0) socket.write(Buffer.from('160301', 'hex'));
    if (i % 3 === 1) socket.write(pattern(300, i));
    return socket;
  });
  const one = await host({ port: secure, tls: keyOf(0) });
  await exchange(one);
  one.close();
  for (const socket of sockets) socket.destroy();
  await eventually(10, 'no controller is left', async () => (await target.controllers()).length === 0);
});

const refusal = (method: string, params: object): Promise<string> =>
  target.rpc(method, params).then(
    () => '',
    (error: Error) => error.message,
  );

test('a key of SHA-384 is refused with the reason, and so is an address that is of the other kind', async () => {
  const params = { nqn: NQN, host: OTHER_HOST, psk: 'long' };
  expect(await refusal('nvmf_subsystem_add_host', params)).toMatch(/TLS_AES_128_GCM_SHA256 only/);
  const listener = { nqn: DISCOVERY, listen_address: listenAddress(plain), secure_channel: true };
  expect(await refusal('nvmf_subsystem_add_listener', listener)).toMatch(/secure_channel is true/);
});

test('DH-HMAC-CHAP on every queue, over TLS as well', async () => {
  await target.rpc('nvmf_subsystem_remove_host', { nqn: NQN, host: DEFAULT_HOSTNQN });
  const keys = { psk: 'psk', dhchap_key: 'host', dhchap_ctrlr_key: 'ctrlr' };
  await target.rpc('nvmf_subsystem_add_host', { nqn: NQN, host: DEFAULT_HOSTNQN, ...keys });
  const prove = async (queue: RawQueue): Promise<void> => {
    const names = { hostnqn: DEFAULT_HOSTNQN, subnqn: NQN };
    const options = { ...names, secret: SECRET, ctrlSecret: CTRL_SECRET };
    const result = await authenticate(queue.authentication, options, groupPrime);
    expect(result).toEqual({ ok: true, hash: 3, group: 5 });
  };
  for (const way of [{ port: plain }, { port: secure, tls: keyOf(1) }]) {
    const one = await host({ ...way, authenticate: prove });
    await exchange(one);
    const qpairs: Json[] = await target.rpc('nvmf_subsystem_get_qpairs', { nqn: NQN });
    expect(qpairs.map(({ auth }) => auth)).toEqual(
      qpairs.map(() => ({ state: 'completed', digest: 'sha512', dhgroup: 'ffdhe8192' })),
    );
    one.close();
  }
  await expect(RawHost.connect({ port: plain, subnqn: NQN })).rejects.toThrow(/sct 1h, sc 91h/);
});

test('no key is shown or logged, and what is saved brings everything back', async () => {
  const config = await target.config();
  const seen = JSON.stringify([
    config,
    await target.rpc('nvmf_get_subsystems'),
    await target.rpc('keyring_get_keys'),
    target.output,
  ]);
  for (const text of [PSK, LONG_PSK, SECRET, CTRL_SECRET]) {
    const [, , base64] = text.split(':');
    expect(seen).not.toContain(base64);
    expect(seen).not.toContain(Buffer.from(base64!, 'base64').subarray(0, -4).toString('hex'));
  }
  for (const version of [0, 1] as const) {
    const { key } = keyOf(version);
    expect(seen).not.toContain(Buffer.from(key).toString('hex'));
  }
  target = await target.replaceBy(config);
  expect(await target.config()).toEqual(config);
});

test('a file that others may read is no key', async () => {
  const path = join(folder, 'open');
  writeFileSync(path, PSK);
  chmodSync(path, 0o644);
  expect(await refusal('keyring_file_add_key', { name: 'open', path })).toMatch(/0644.*0600/);
});

/** Names of the modules that a target of its own, which `use` makes something of, has loaded on any of its threads. */
async function loadedBy(use: (target: Target) => Promise<void>): Promise<Set<string>> {
  const coverage = mkdtempSync(join(folder, 'loaded-'));
  const one = await Target.start({ env: { NODE_V8_COVERAGE: coverage } });
  try {
    await one.createTransport();
    await use(one);
    expect(await one.stop(), one.output).toBe(0);
  } finally {
    await one.dispose();
  }
  const reports: Json[] = readdirSync(coverage).map((name) =>
    JSON.parse(readFileSync(join(coverage, name), 'utf8')),
  );
  const scripts = new Set<string>(
    reports.flatMap(({ result }) => result.map(({ url }: { url: string }) => url)),
  );
  return new Set([...scripts].filter((url) => url.startsWith('file:')).flatMap(modulesIn));
}

/** A script is a module, or, in lib/, has several, each after a comment with its name. */
function modulesIn(url: string): string[] {
  const parts = readFileSync(fileURLToPath(url), 'utf8').matchAll(/^\/\/ dist\/(?:.*\/)?([\w-]+\.js)$/gm);
  return [basename(url), ...Array.from(parts, ([, name]) => name!)];
}

test('what is needed for keys is loaded with the first of them, on each thread', async () => {
  const lazy = {
    keys: ['host-keys-control.js', 'tls-psk.js', 'dhchap-secret.js'],
    tls: ['secure-channel.js', 'posix-tls.js'],
    dhchap: ['authentication.js', 'qpair-authentication.js', 'authentication-control.js', 'dh-pool.js'],
  };
  const subsystem = async (one: Target, secure_channel: boolean, keys: object): Promise<number> => {
    const port = await freePort();
    await one.rpc('nvmf_create_subsystem', { nqn: NQN, serial_number: 'ACCESS' });
    const listener = { listen_address: listenAddress(port), secure_channel };
    await one.rpc('nvmf_subsystem_add_listener', { nqn: NQN, ...listener });
    await one.rpc('nvmf_subsystem_add_host', { nqn: NQN, host: DEFAULT_HOSTNQN, ...keys });
    return port;
  };
  const idle = await loadedBy(async (one) => {
    const port = await subsystem(one, false, {});
    (await RawHost.connect({ port, subnqn: NQN })).close();
  });
  expect(idle).toContain('connect.js');
  expect(idle).toContain('target.js');
  for (const name of Object.values(lazy).flat()) expect(idle).not.toContain(name);

  const busy = await loadedBy(async (one) => {
    for (const name of ['psk', 'host'])
      await one.rpc('keyring_file_add_key', { name, path: join(folder, name) });
    const port = await subsystem(one, true, { psk: 'psk', dhchap_key: 'host' });
    const names = { hostnqn: DEFAULT_HOSTNQN, subnqn: NQN };
    const prove = async (queue: RawQueue): Promise<void> => {
      await authenticate(queue.authentication, { ...names, secret: SECRET, groups: [0] }, groupPrime);
    };
    (await RawHost.connect({ port, subnqn: NQN, tls: keyOf(1), authenticate: prove })).close();
  });
  for (const name of Object.values(lazy).flat()) expect(busy).toContain(name);
});
