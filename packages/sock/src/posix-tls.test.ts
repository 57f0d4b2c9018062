import { connect, createServer, type Server, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TlsHandshakes } from './posix-tls.ts';

const KEY = new Uint8Array(32).fill(7);
const IDENTITY = 'NVMe0R01 nqn.host nqn.subsystem';

type End = { socket: Socket; identity: string } | { reason: string };

let server: Server;
let handshakes: TlsHandshakes;
let ends: Promise<End>[];
let sockets: Socket[];

async function listen(timeout_ms: number): Promise<void> {
  handshakes = new TlsHandshakes((identity) => (identity === IDENTITY ? KEY : null), timeout_ms);
  server = createServer((raw) => {
    sockets.push(raw);
    ends.push(
      new Promise((resolve) =>
        handshakes.start(raw, {
          tlsSecured: (socket, identity) => resolve({ socket, identity }),
          tlsFailed: (reason) => resolve({ reason }),
        }),
      ),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
}
const port = (): number => (server.address() as { port: number }).port;

beforeEach(async () => {
  [ends, sockets] = [[], []];
  await listen(60_000);
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

/** How the first handshake ended. */
async function ended(): Promise<End> {
  while (ends.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  const end = await ends[0]!;
  expect(handshakes.size).toBe(0);
  return end;
}
const reason = async (): Promise<string> => {
  const end = await ended();
  return 'reason' in end ? end.reason : '';
};

function client(identity: string, psk: Uint8Array, options: object = {}): TLSSocket {
  const socket = connectTls({
    ...{ host: '127.0.0.1', port: port(), minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' },
    pskCallback: () => ({ identity, psk }),
    checkServerIdentity: () => undefined,
    ...options,
  });
  socket.on('error', () => {});
  sockets.push(socket);
  return socket;
}
function plain(): Socket {
  const socket = connect(port(), '127.0.0.1');
  socket.on('error', () => {});
  sockets.push(socket);
  return socket;
}
const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => socket.once('close', () => resolve()));

test('who has the key is heard, by the name that it has proved', async () => {
  const peer = client(IDENTITY, KEY);
  const end = await ended();
  if (!('socket' in end)) throw new Error(end.reason);
  expect(end.identity).toBe(IDENTITY);
  expect(peer.getCipher()).toMatchObject({ name: 'TLS_AES_128_GCM_SHA256', version: 'TLSv1.3' });
  const bytes = Buffer.alloc(100_000, 'spdk-ts');
  end.socket.pipe(end.socket);
  const back: Buffer[] = [];
  peer.on('data', (chunk: Buffer) => back.push(chunk));
  peer.end(bytes);
  await closed(peer);
  expect(Buffer.compare(Buffer.concat(back), bytes)).toBe(0);
});

test('another key', async () => {
  const peer = client(IDENTITY, new Uint8Array(32).fill(8));
  expect(await reason()).not.toBe('');
  if (!peer.destroyed) await closed(peer);
});

test('an identity that nobody has, and one of a suite that is not had', async () => {
  client('NVMe0R01 nqn.other nqn.subsystem', KEY);
  expect(await reason()).toBe('there is no key for PSK identity "NVMe0R01 nqn.other nqn.subsystem"');
  ends = [];
  client('NVMe1R02 nqn.host nqn.subsystem x=', KEY);
  expect(await reason()).toMatch(/TLS_AES_256_GCM_SHA384: the TLS of Node\.js takes/);
});

test('an older version of TLS, and no TLS at all', async () => {
  client(IDENTITY, KEY, { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: 'PSK' });
  expect(await reason()).not.toBe('');
  ends = [];
  const peer = plain();
  peer.write(Buffer.alloc(128));
  expect(await reason()).not.toBe('');
  if (!peer.destroyed) await closed(peer);
});

test('who says nothing is not waited for', async () => {
  server.close();
  await listen(20);
  const peer = plain();
  expect(await reason()).toMatch(/timeout/i);
  if (!peer.destroyed) await closed(peer);
});

test('who goes away, and what is ended from here', async () => {
  plain().end(Buffer.from('160301', 'hex'));
  expect(await reason()).not.toBe('');
  ends = [];
  plain();
  while (handshakes.size === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  handshakes.close();
  expect(await reason()).not.toBe('');
});
