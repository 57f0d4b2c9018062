import { methods as mallocMethods } from '@spdk-ts/bdev-malloc/schema';
import { defineMethod, optional, registerSchema, required, t } from '@spdk-ts/rpc-schema';
import { describe, expect, it } from 'vitest';
import { errnoError, RpcError, stateMessage } from './errors.ts';
import { parseMessage } from './message.ts';
import { type RpcConnection, RpcServer, type RpcServerOptions } from './server.ts';

registerSchema(...mallocMethods);

const connection: RpcConnection = { id: 1, transport: 'unix', onClose: () => () => {} };

function makeServer(options: RpcServerOptions = {}) {
  const server = new RpcServer(options);
  server.register('bdev_malloc_create', ({ name, num_blocks }) => name ?? `Malloc${num_blocks}`);
  server.register('bdev_malloc_delete', ({ name }) => {
    throw errnoError('ENODEV', `no malloc bdev is named "${name}"; bdev_get_bdevs lists what there is`);
  });
  server.register('log_get_level', () => 'NOTICE');
  server.register('framework_start_init', () => server.setState('runtime'));
  return server;
}

async function ask(server: RpcServer, text: string): Promise<unknown> {
  const answer = await server.answer(parseMessage(new TextEncoder().encode(text)), connection);
  return answer === undefined ? undefined : JSON.parse(answer);
}

const failure = (code: number, message: unknown, id: unknown = 1) => ({
  jsonrpc: '2.0',
  id,
  error: expect.objectContaining({ code, message }),
});

describe('RpcServer', () => {
  it('answers a call and lists what it answers', async () => {
    const server = makeServer();
    expect(
      await ask(server, '{"method":"bdev_malloc_create","id":1,"params":{"block_size":512,"num_blocks":8}}'),
    ).toEqual({ jsonrpc: '2.0', id: 1, result: 'Malloc8' });
    expect(server.methods()).toEqual([
      'rpc_get_methods',
      'notify_subscribe',
      'notify_unsubscribe',
      'bdev_malloc_create',
      'bdev_malloc_delete',
      'log_get_level',
      'framework_start_init',
    ]);
    expect(await ask(server, '{"method":"rpc_get_methods","id":"a","params":{"current":true}}')).toEqual({
      jsonrpc: '2.0',
      id: 'a',
      result: expect.not.arrayContaining(['framework_start_init']),
    });
  });

  it('keeps to states, in the words scripts know', async () => {
    const server = makeServer({ state: 'startup' });
    expect(await ask(server, '{"method":"bdev_malloc_create","id":1}')).toEqual(
      failure(-1, stateMessage.startup),
    );
    expect(await ask(server, '{"method":"log_get_level","id":1}')).toMatchObject({ result: 'NOTICE' });
    expect(await ask(server, '{"method":"framework_start_init","id":1}')).toMatchObject({ result: true });
    expect(server.state).toBe('runtime');
    expect(await ask(server, '{"method":"framework_start_init","id":1}')).toEqual(
      failure(-1, stateMessage.runtime),
    );
  });

  it('keeps to the allow-list, but not for calls from inside', async () => {
    const server = makeServer({ allowed: ['rpc_get_methods'] });
    expect(await ask(server, '{"method":"log_get_level","id":1}')).toEqual(
      failure(-32601, expect.stringContaining('add it to --rpcs-allowed')),
    );
    expect(await ask(server, '{"method":"rpc_get_methods","id":1}')).toMatchObject({
      result: ['rpc_get_methods'],
    });
    expect(await server.call('log_get_level')).toBe('NOTICE');
    expect(await server.call('rpc_get_methods')).toContain('log_get_level');
  });

  it('tells methods it does not have from methods nobody has', async () => {
    const server = makeServer();
    expect(await ask(server, '{"method":"bdev_get_bdevs","id":1}')).toEqual(
      failure(-32601, expect.stringMatching(/^Method not found: bdev_get_bdevs exists, but nothing/)),
    );
    expect(await ask(server, '{"method":"log_get_levle","id":1}')).toEqual(
      failure(-32601, expect.stringContaining('did you mean log_get_level?')),
    );
  });

  it.each([
    [
      '{"method":"bdev_malloc_create","id":1,"params":{"block_size":512}}',
      -32603,
      'spdk_json_decode_object failed: parameter "num_blocks" is missing; add an integer',
    ],
    [
      '{"method":"bdev_malloc_create","id":1,"params":[]}',
      -32603,
      'spdk_json_decode_object failed: params is []; give an object of named parameters',
    ],
    [
      '{"method":"bdev_malloc_delete","id":1,"params":{"name":"a","name":"b"}}',
      -32603,
      'parameter "name" is given twice; keep one',
    ],
    [
      '{"method":"rpc_get_methods","id":1,"params":{"curent":true}}',
      -32602,
      'Invalid parameters: unknown parameter "curent"; did you mean "current"?',
    ],
    [
      '{"method":"log_get_level","id":1,"params":{"x":true}}',
      -32602,
      'log_get_level requires no parameters; remove "x"',
    ],
    [
      '{"method":"bdev_malloc_delete","id":1,"params":{"name":"M"}}',
      -19,
      'No such device: no malloc bdev is named "M"; bdev_get_bdevs lists',
    ],
  ])('says what to change: %s', async (request, code, message) => {
    expect(await ask(makeServer(), request)).toEqual(failure(code, expect.stringContaining(message)));
  });

  it.each([
    ['17', null, 'Invalid request: it is 17; send an object'],
    ['{"id":1}', 1, 'method is missing'],
    ['{"id":1,"method":5}', 1, 'method is 5'],
    ['{"id":{"a":1},"method":"x"}', null, 'id is {"a":1}; give a string or a number'],
    [`{"id":"${'x'.repeat(129)}","method":"x"}`, null, 'id has 129 characters; give at most 128'],
    ['{"id":1,"method":"x","jsonrpc":"1.0"}', 1, 'jsonrpc is "1.0"; give "2.0" or leave it out'],
    ['{"id":1,"method":"x","parms":{}}', 1, 'unknown key "parms"; use jsonrpc, method, params and id'],
    ['{"id":1,"method":"x","params":3}', 1, 'params is 3; give an object'],
    ['{"id":1,"method":"x","method":"y"}', 1, '"method" is given twice; keep one'],
    ['[]', null, 'the batch is empty'],
  ])('refuses what is no request: %s', async (request, id, message) => {
    expect(await ask(makeServer(), request)).toEqual(failure(-32600, expect.stringContaining(message), id));
  });

  it('gives ids back as they were written', async () => {
    const text = await makeServer().answer(
      parseMessage(new TextEncoder().encode('{"id":12345678901234567890,"method":"log_get_level"}')),
      connection,
    );
    expect(text).toBe('{"jsonrpc":"2.0","id":12345678901234567890,"result":"NOTICE"}');
  });

  it('is silent on notifications unless they fail', async () => {
    const server = makeServer();
    expect(await ask(server, '{"method":"log_get_level"}')).toBeUndefined();
    expect(await ask(server, '{"method":"log_get_level","id":null}')).toBeUndefined();
    expect(await ask(server, '{"method":"nothing"}')).toEqual(failure(-32601, expect.any(String), null));
  });

  it('answers batches at once, in order, without their notifications', async () => {
    const server = makeServer();
    expect(
      await ask(
        server,
        '[{"method":"log_get_level","id":1},{"method":"log_get_level"},5,{"method":"bdev_malloc_delete","id":2,"params":{"name":"a","name":"b"}},{"method":"log_get_level","id":3}]',
      ),
    ).toEqual([
      { jsonrpc: '2.0', id: 1, result: 'NOTICE' },
      failure(-32600, expect.any(String), null),
      failure(-32603, expect.stringContaining('given twice'), 2),
      { jsonrpc: '2.0', id: 3, result: 'NOTICE' },
    ]);
    expect(await ask(server, '[{"method":"log_get_level"}]')).toBeUndefined();
  });

  it('turns what handlers throw into errors', async () => {
    const server = new RpcServer();
    const thrown: unknown[] = [
      new RpcError(-32602, 'Invalid parameters: mine', { parameter: 'x' }),
      Object.assign(new Error('ENOENT: no such file, open /x'), { errno: -2, code: 'ENOENT' }),
      new Error('oops'),
    ];
    server.register('log_get_level', () => {
      throw thrown.shift();
    });
    const codes = [];
    for (let i = 0; i < 3; i++)
      codes.push(await server.call('log_get_level').catch((error) => [error.code, error.message]));
    expect(codes).toEqual([
      [-32602, 'Invalid parameters: mine'],
      [-2, 'No such file or directory: ENOENT: no such file, open /x'],
      [-32603, 'Internal error: oops'],
    ]);
  });

  it('serves methods of plugins', async () => {
    const server = makeServer({ checkResults: true });
    const method = defineMethod({
      name: 'plugin_add',
      text: 'Adds.',
      params: { a: required(t.u32, 'First.'), b: optional(t.u32, 'Second.') },
      result: t.u32,
      own: true,
    });
    server.registerMethod(method, ({ a, b }) => a + (b ?? 0.5));
    expect(await server.call('plugin_add', { a: 1, b: 2 })).toBe(3);
    await expect(server.call('plugin_add', { a: 1 })).rejects.toThrow(
      'plugin_add: the result is 1.5, not an integer',
    );
    expect(() => server.registerMethod(method, () => 1)).toThrow('registered already');
    expect(server.unregister('plugin_add')).toBe(true);
    expect(() => server.register('plugin_other' as 'log_get_level', () => 'INFO')).toThrow(
      'not in the schema',
    );
  });

  it('refuses answers that are too large', async () => {
    const server = new RpcServer();
    const half = 'x'.repeat(20 * 1024 * 1024);
    server.register('notify_get_types', () => [half, half]);
    server.register('bdev_malloc_create', () => half);
    expect(await ask(server, '{"method":"notify_get_types","id":1}')).toEqual(
      failure(-32603, expect.stringContaining('ask for less')),
    );
    const one = '{"method":"bdev_malloc_create","params":{"block_size":1,"num_blocks":1},"id":1}';
    expect(await ask(server, `[${one},${one}]`)).toEqual(
      failure(-32603, expect.stringContaining('ask for less'), null),
    );
  });

  it('pushes events only to those who can receive them', async () => {
    expect(await ask(makeServer(), '{"method":"notify_subscribe","id":1}')).toEqual(
      failure(-95, expect.stringContaining('poll notify_get_notifications')),
    );
  });
});
