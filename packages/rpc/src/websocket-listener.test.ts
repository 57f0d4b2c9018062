import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { RpcServer } from './server.ts';
import { connectWebSocket, listenWebSocket } from './websocket.ts';
import { parseListenAddress, type WebSocketListener } from './websocket-listener.ts';

let server: RpcServer;
let listener: WebSocketListener;
const origin = 'http://dashboard.example';

beforeEach(async () => {
  server = new RpcServer();
  server.register('log_get_level', () => 'NOTICE');
  listener = await listenWebSocket(server, { address: '0', token: 'secret', origins: [origin] });
});

afterEach(() => listener.close());

/** Tries to connect; resolves to the HTTP status, 101 if it was let in. */
function knock(
  query: string,
  headers: Record<string, string> = {},
  protocols: string[] = [],
): Promise<number> {
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://127.0.0.1:${listener.port}/${query}`, protocols, { headers });
    socket.on('open', () => {
      socket.close();
      resolve(101);
    });
    socket.on('unexpected-response', (_request, response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    socket.on('error', () => {});
  });
}

describe('listenWebSocket', () => {
  it('listens on the loopback unless told otherwise', () => {
    expect(listener.host).toBe('127.0.0.1');
    expect(parseListenAddress(':9000')).toEqual({ host: '127.0.0.1', port: 9000 });
    expect(parseListenAddress('9000')).toEqual({ host: '127.0.0.1', port: 9000 });
    expect(parseListenAddress('0.0.0.0:9000')).toEqual({ host: '0.0.0.0', port: 9000 });
    expect(parseListenAddress('[::1]:9000')).toEqual({ host: '::1', port: 9000 });
    for (const bad of ['', 'host', '1:2:3', 'host:99999']) {
      expect(() => parseListenAddress(bad)).toThrow('give HOST:PORT');
    }
  });

  it('wants the token, in any of its places', async () => {
    expect(await knock('')).toBe(401);
    expect(await knock('?token=wrong')).toBe(401);
    expect(await knock('', { Authorization: 'Bearer wrong' })).toBe(401);
    expect(await knock('?token=secret')).toBe(101);
    expect(await knock('', { Authorization: 'Bearer secret' })).toBe(101);
    expect(await knock('', {}, ['spdk-rpc', 'token.secret'])).toBe(101);
  });

  it('lets in only pages of allowed origins', async () => {
    expect(await knock('?token=secret', { Origin: 'http://evil.example' })).toBe(403);
    expect(await knock('?token=secret', { Origin: 'null' })).toBe(403);
    expect(await knock('?token=secret', { Origin: origin })).toBe(101);
  });

  it('answers plain HTTP with 426', async () => {
    const response = await fetch(`http://127.0.0.1:${listener.port}/?token=secret`);
    expect(response.status).toBe(426);
    expect(response.headers.get('upgrade')).toBe('websocket');
  });

  it('makes a random token of its own', async () => {
    const other = await listenWebSocket(server, { address: '127.0.0.1:0' });
    expect(other.token).toMatch(/^[\w-]{32}$/);
    const client = await connectWebSocket(other.url);
    expect(await client.call('log_get_level')).toBe('NOTICE');
    client.close();
    await other.close();
  });

  it('carries calls, batches and errors', async () => {
    const client = await connectWebSocket(`ws://127.0.0.1:${listener.port}/`, { token: 'secret' });
    expect(await client.call('log_get_level')).toBe('NOTICE');
    expect(await client.batch([{ method: 'log_get_level' }])).toEqual([{ result: 'NOTICE' }]);
    await expect(client.call('nothing')).rejects.toMatchObject({ code: -32601 });
    client.close();
  });

  it('answers garbage and goes on, for messages have ends', async () => {
    const socket = new WebSocket(listener.url);
    const answers: { error?: { code: number }; result?: unknown }[] = [];
    socket.on('message', (data) => answers.push(JSON.parse(String(data))));
    await new Promise((resolve) => socket.once('open', resolve));
    for (const text of ['nonsense', '{"method"', '{}{}', '{"method":"log_get_level","id":1}'])
      socket.send(text);
    await expect.poll(() => answers.length).toBe(4);
    expect(answers.map(({ error, result }) => error?.code ?? result)).toEqual([
      -32700,
      -32700,
      -32700,
      'NOTICE',
    ]);
    socket.send('x'.repeat(300 * 1024));
    expect(await new Promise((resolve) => socket.once('close', resolve))).toBe(1009);
  });

  it('pushes events to subscribers, of the types they asked for', async () => {
    const client = await connectWebSocket(listener.url);
    const events: unknown[] = [];
    client.onNotification((event) => events.push(event));
    await client.call('notify_subscribe', { types: ['bdev_register'] });
    server.broadcast('bdev_register', 'Malloc0', 7);
    server.broadcast('bdev_unregister', 'Malloc0', 8);
    await client.call('log_get_level');
    expect(events).toEqual([{ type: 'bdev_register', ctx: 'Malloc0', id: 7 }]);
    expect(await client.call('notify_unsubscribe')).toBe(true);
    server.broadcast('bdev_register', 'Malloc1', 9);
    expect(await client.call('notify_unsubscribe')).toBe(false);
    expect(events).toHaveLength(1);
    client.close();
  });

  it('has room for 64', async () => {
    const clients = await Promise.all(Array.from({ length: 64 }, () => connectWebSocket(listener.url)));
    expect(await knock('?token=secret')).toBe(503);
    for (const client of clients) client.close();
    await expect.poll(() => listener.connections).toBe(0);
    expect(await knock('?token=secret')).toBe(101);
  });

  it('tells what is wrong with an address', async () => {
    await expect(listenWebSocket(server, { address: `127.0.0.1:${listener.port}` })).rejects.toThrow(
      'Give another with --ws',
    );
    await expect(connectWebSocket(`ws://127.0.0.1:${listener.port}/?token=x`)).rejects.toThrow(
      'and the token right?',
    );
  });
});
