import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { methods as mallocMethods } from '@spdk-ts/bdev-malloc/schema';
import { registerSchema } from '@spdk-ts/rpc-schema';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RpcConnectionError } from './client.ts';
import { RpcServer } from './server.ts';
import { connectUnix } from './stream-client.ts';
import { listenUnix, type UnixListener } from './unix-listener.ts';

registerSchema(...mallocMethods);

let directory: string;
let path: string;
let server: RpcServer;
let listener: UnixListener;
const sockets: Socket[] = [];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'rpc-'));
  path = join(directory, 'rpc.sock');
  server = new RpcServer();
  server.register('log_get_level', () => 'NOTICE');
  server.register('bdev_malloc_create', ({ name }) => name ?? 'Malloc0');
  // Answers as late as it is told, so that answers overtake each other.
  server.register('bdev_get_bdevs', async ({ timeout }) => {
    await sleep(timeout ?? 0);
    return [];
  });
  listener = await listenUnix(server, { path });
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await listener.close();
  rmSync(directory, { recursive: true });
});

interface Raw {
  readonly socket: Socket;
  /** Everything received until the server closed. */
  readonly all: Promise<string>;
  /** The next `count` lines, parsed. */
  lines(
    count: number,
  ): Promise<{ id: unknown; result?: unknown; error?: { code: number; message: string } }[]>;
}

async function raw(): Promise<Raw> {
  const socket = connect({ path, allowHalfOpen: true });
  sockets.push(socket);
  let text = '';
  let wake = () => {};
  socket.on('data', (chunk) => {
    text += chunk;
    wake();
  });
  socket.on('error', () => {});
  const all = new Promise<string>((resolve) => {
    socket.on('end', () => {
      wake();
      resolve(text);
    });
    socket.on('close', () => resolve(text));
  });
  await new Promise((resolve) => socket.once('connect', resolve));
  return {
    socket,
    all,
    async lines(count) {
      for (;;) {
        const parts = text.split('\n');
        if (parts.length > count) {
          text = parts.slice(count).join('\n');
          return parts.slice(0, count).map((line) => JSON.parse(line));
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

const call = (id: number, method = 'log_get_level', params?: unknown) =>
  JSON.stringify({ id, method, params });

describe('listenUnix', () => {
  it('reads requests byte by byte', async () => {
    const { socket, lines } = await raw();
    for (const byte of Buffer.from(` \n${call(1)}${call(2)}`)) {
      socket.write(Buffer.of(byte));
      await turn();
    }
    expect((await lines(2)).map(({ id, result }) => [id, result])).toEqual([
      [1, 'NOTICE'],
      [2, 'NOTICE'],
    ]);
  });

  it('answers thousands of requests sent at once, and ends each answer with a newline', async () => {
    const { socket, lines } = await raw();
    socket.write(Array.from({ length: 5000 }, (_, id) => call(id)).join(''));
    const answers = await lines(5000);
    expect(new Set(answers.map(({ id }) => id)).size).toBe(5000);
  });

  it('does not keep a quick answer waiting behind a slow one', async () => {
    const { socket, lines } = await raw();
    socket.write(call(1, 'bdev_get_bdevs', { timeout: 50 }) + call(2));
    expect((await lines(2)).map(({ id }) => id)).toEqual([2, 1]);
  });

  it('accepts pretty-printed requests as rpc.py sends them', async () => {
    const { socket, lines } = await raw();
    socket.write(JSON.stringify({ jsonrpc: '2.0', method: 'log_get_level', id: 1 }, null, 2));
    expect(await lines(1)).toEqual([{ jsonrpc: '2.0', id: 1, result: 'NOTICE' }]);
  });

  it.each([
    ['garbage', 'GET / HTTP/1.1\r\n\r\n', "Parse error: 'G' at byte 0"],
    [
      'bad UTF-8',
      Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
      'Parse error: the text is not UTF-8',
    ],
    ['deep nesting', '['.repeat(1000), 'Parse error: nested deeper than 64 levels'],
    [
      'too many values',
      `[${'0,'.repeat(9000)}`,
      'Parse error: more than 8192 values; send several smaller requests',
    ],
    [
      'a huge request',
      `{"method":"${'x'.repeat(257 * 1024)}"`,
      'Invalid request: larger than 262144 bytes; send several',
    ],
  ])('answers %s with an error and closes', async (_what, bytes, message) => {
    const { socket, all } = await raw();
    socket.write(bytes);
    const answers = (await all)
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(answers).toEqual([
      {
        jsonrpc: '2.0',
        id: null,
        error: { code: expect.any(Number), message: expect.stringContaining(message) },
      },
    ]);
    const other = await raw();
    other.socket.write(call(1));
    expect(await other.lines(1)).toHaveLength(1);
  });

  it('answers what came before garbage', async () => {
    const { socket, all } = await raw();
    socket.write(`${call(1, 'bdev_get_bdevs', { timeout: 30 })}}`);
    const ids = (await all)
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).id);
    expect(ids).toEqual([null, 1]);
  });

  it('takes a request just below the limit', async () => {
    const { socket, lines } = await raw();
    const name = 'x'.repeat(256 * 1024 - 200);
    socket.write(call(1, 'bdev_malloc_create', { name, block_size: 512, num_blocks: 1 }));
    expect((await lines(1))[0]!.result).toBe(name);
  });

  it('goes on after a value that is no request', async () => {
    const { socket, lines } = await raw();
    socket.write(`"hello"${call(1)}`);
    expect((await lines(2)).map(({ id }) => id)).toEqual([null, 1]);
  });

  it('still answers a client that closed its side', async () => {
    const { socket, all } = await raw();
    socket.end(call(1, 'bdev_get_bdevs', { timeout: 30 }));
    expect(JSON.parse(await all)).toMatchObject({ id: 1, result: [] });
    const cut = await raw();
    cut.socket.end('{"method"');
    expect(JSON.parse(await cut.all).error.message).toContain('ended inside a request');
  });

  it('serves 64 clients at once and lets the 65th wait', async () => {
    const clients = await Promise.all(Array.from({ length: 64 }, () => connectUnix(path)));
    const results = await Promise.all(clients.map((client) => client.call('log_get_level')));
    expect(results).toEqual(new Array(64).fill('NOTICE'));
    const late = await connectUnix(path);
    const answer = late.call('log_get_level');
    expect(await Promise.race([answer, sleep(100, 'waits')])).toBe('waits');
    expect(listener.connections).toBe(64);
    clients[0]!.close();
    expect(await answer).toBe('NOTICE');
    for (const client of [...clients, late]) client.close();
  });

  it('drops a client that does not read its answers', async () => {
    const big = 'x'.repeat(8 * 1024 * 1024);
    // Late, so that all are in work before the first is written and reading stops.
    server.unregister('bdev_malloc_create');
    server.register('bdev_malloc_create', async () => {
      await sleep(50);
      return big;
    });
    const { socket } = await raw();
    socket.pause();
    const params = { block_size: 512, num_blocks: 1 };
    socket.write(Array.from({ length: 40 }, (_, id) => call(id, 'bdev_malloc_create', params)).join(''));
    await expect.poll(() => listener.connections).toBe(1);
    await expect.poll(() => listener.connections, { timeout: 10_000 }).toBe(0);
  });

  it('stops reading requests while answers wait to be read', async () => {
    const big = 'x'.repeat(1024 * 1024);
    let calls = 0;
    server.unregister('bdev_malloc_create');
    server.register('bdev_malloc_create', () => {
      calls += 1;
      return big;
    });
    const socket = connect(path);
    sockets.push(socket);
    const params = { block_size: 512, num_blocks: 1 };
    socket.write(Array.from({ length: 200 }, (_, id) => call(id, 'bdev_malloc_create', params)).join(''));
    await sleep(300);
    expect(calls).toBeLessThan(40);
    let answers = 0;
    socket.on('data', (chunk: Buffer) => {
      if (chunk.includes(0x0a)) answers += chunk.filter((byte) => byte === 0x0a).length;
    });
    await expect.poll(() => answers, { timeout: 60_000 }).toBe(200);
    expect(calls).toBe(200);
  }, 90_000);

  it('tells handlers that their connection is closed, and does not wait for them for ever', async () => {
    let gone = false;
    server.unregister('log_get_level');
    server.register('log_get_level', (_params, { connection }) => {
      connection?.onClose(() => {
        gone = true;
      });
      return new Promise(() => {});
    });
    const { socket } = await raw();
    socket.write(call(1));
    await sleep(20);
    await listener.close();
    expect(gone).toBe(true);
    listener = await listenUnix(server, { path });
  });

  it('lets one instance have a path', async () => {
    await expect(listenUnix(server, { path })).rejects.toThrow(
      `RPC Unix domain socket path ${path} in use. Specify another.`,
    );
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(
      await connectUnix(path).then((client) => client.call('log_get_level').finally(() => client.close())),
    ).toBe('NOTICE');
  });

  it('takes over the socket of a process that died, and nothing else', async () => {
    await listener.close();
    listener = await listenUnix(server, { path, lockFile: () => ({ release() {} }) });
    // Left behind as after SIGKILL: the socket is there, nobody holds the lock.
    const second = await listenUnix(server, { path, lockFile: () => ({ release() {} }) });
    await second.close();
    const file = join(directory, 'file');
    writeFileSync(file, 'precious');
    await expect(listenUnix(server, { path: file })).rejects.toThrow('exists and is not a socket');
    await expect(listenUnix(server, { path: `/${'x'.repeat(108)}` })).rejects.toThrow('Give a shorter one');
    await expect(listenUnix(server, { path: join(directory, 'no', 'such') })).rejects.toThrow(
      'Give another path',
    );
  });

  it('answers what is in work when it closes', async () => {
    const client = await connectUnix(path);
    const answer = client.call('bdev_get_bdevs', { timeout: 50 });
    await sleep(10);
    await listener.close();
    expect(await answer).toEqual([]);
    await client.closed;
    await expect(client.call('log_get_level')).rejects.toBeInstanceOf(RpcConnectionError);
    listener = await listenUnix(server, { path });
  });
});

describe('RpcClient', () => {
  it('matches answers, sends batches, runs out of time', async () => {
    const client = await connectUnix(path, { timeout_ms: 1000 });
    const slow = client.call('bdev_get_bdevs', { timeout: 40, name: undefined });
    expect(await client.call('log_get_level')).toBe('NOTICE');
    expect(await slow).toEqual([]);
    expect(
      await client.batch([
        { method: 'log_get_level' },
        { method: 'nothing' },
        { method: 'log_get_level', params: {} },
      ]),
    ).toEqual([
      { result: 'NOTICE' },
      { error: expect.objectContaining({ code: -32601 }) },
      { result: 'NOTICE' },
    ]);
    await expect(client.call('bdev_get_bdevs', { timeout: 500 }, { timeout_ms: 20 })).rejects.toThrow(
      'no answer to bdev_get_bdevs within 0.02 s; wait longer',
    );
    await expect(client.call('bdev_malloc_create', { block_size: -1, num_blocks: 1 })).rejects.toMatchObject({
      code: -32603,
      data: { parameter: 'block_size' },
    });
    client.close();
    await expect(client.call('log_get_level')).rejects.toThrow('the client is closed');
  });
});
