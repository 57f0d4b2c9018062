import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { loadModuleSchemas } from '@spdk-ts/app/modules';
import { errnoError, listenUnix, listenWebSocket, RpcServer, type UnixListener } from '@spdk-ts/rpc';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { run } from './run.ts';
import { shellWords } from './shell-words.ts';

const directory = mkdtempSync(join(tmpdir(), 'rpc-cli-'));
const path = join(directory, 'rpc.sock');
const server = new RpcServer();
let listener: UnixListener;
const bdevs = new Map<string, { name: string; block_size: number; num_blocks: number }>();

beforeAll(async () => {
  await loadModuleSchemas();
  server.register('bdev_malloc_create', ({ name = 'Malloc0', block_size, num_blocks }) => {
    if (bdevs.has(name)) throw errnoError('EEXIST', `there is a bdev "${name}"; choose another name`);
    bdevs.set(name, { name, block_size, num_blocks });
    return name;
  });
  server.register('bdev_malloc_delete', ({ name }) => bdevs.delete(name));
  server.register('nvmf_get_transports', () => [...bdevs.values()] as never);
  server.register('log_get_level', () => 'NOTICE');
  server.register('bdev_null_resize', () => true);
  server.register('framework_get_subsystems', () => [{ subsystem: 'bdev', depends_on: [] }]);
  server.register('framework_get_config', () =>
    [...bdevs.values()].map((params) => ({ method: 'bdev_malloc_create', params })),
  );
  listener = await listenUnix(server, { path });
});

afterAll(async () => {
  await listener.close();
  rmSync(directory, { recursive: true });
});

beforeEach(() => bdevs.clear());

/** Runs the program in this process. `input` is what comes in on the standard input, if it is no terminal. */
async function rpc(words: string[], input?: string) {
  const stdin = Object.assign(new PassThrough(), { isTTY: input === undefined });
  stdin.end(input ?? '');
  let out = '';
  let err = '';
  const output = {
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
    },
  };
  const code = await run(words, { stdin, output });
  return { code, out, err };
}

const call = (...words: string[]) => rpc(['-s', path, ...words]);
const ok = (out: string) => ({ code: 0, out, err: '' });

describe('rpc.ts', () => {
  it('calls methods as rpc.py does and prints as it does', async () => {
    expect(await call('bdev_malloc_create', '-b', 'M', '1', '512')).toEqual(ok('M\n'));
    expect(bdevs.get('M')).toEqual({ name: 'M', block_size: 512, num_blocks: 2048 });
    expect(await call('log_get_level')).toEqual(ok('"NOTICE"\n'));
    expect(await call('bdev_null_resize', 'N', '8')).toEqual(ok('true\n'));
    expect(await call('nvmf_get_transports')).toEqual(
      ok(`${JSON.stringify([...bdevs.values()], null, 2)}\n`),
    );
    expect(await call('bdev_malloc_delete', 'M')).toEqual(ok(''));
    expect(await call('nvmf_get_transports')).toEqual(ok('[]\n'));
  });

  it('shows errors with their code and leaves with 1', async () => {
    await call('bdev_malloc_create', '--name=M', '1', '512');
    const { code, out, err } = await call('bdev_malloc_create', '--na', 'M', '1', '512');
    expect([code, out]).toEqual([1, '']);
    expect(err).toContain('"method": "bdev_malloc_create"');
    expect(err).toContain('Got JSON-RPC error response');
    expect(err).toContain('"code": -17');
    expect(err).toContain('File exists: there is a bdev \\"M\\"; choose another name');
  });

  it.each([
    [['bdev_malloc_create', '1'], "missing required argument 'block_size'"],
    [['bdev_malloc_create', '1', '-1'], 'parameter "block_size" is -1, out of range'],
    [
      ['bdev_malloc_create', '1', '5k'],
      'parameter "block_size" is "5k"; give an integer from 0 to 4294967295 (bytes)',
    ],
    [['bdev_malloc_create', '0', '512'], 'total_size is 0 MiB; give at least one block of 512 bytes'],
    [['bdev_enable_histogram', 'M'], 'give --histogram or --no-histogram'],
    [['thread_set_cpumask', '-i', '1'], "required option '-m, --cpumask <value>' not specified"],
    [['log_set_level', 'LOUD'], 'give one of "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"'],
    [['bdev_get_bdvs'], 'Did you mean bdev_get_bdevs?'],
    [['call', 'log_get_level', '{x}'], 'params is not JSON'],
    [['-t', 'soon', 'log_get_level'], '-t is "soon"; give a number'],
    [['--nothing'], "unknown option '--nothing'"],
    [['load_config', '-j', '/no/such/file'], 'there is no file /no/such/file'],
    [['save_config', '-i', 'x'], '--indent is "x"; give an integer'],
  ])('says what to change: %j', async (words, text) => {
    const { code, err } = await call(...words);
    expect(code).toBe(1);
    expect(err).toContain(text);
  });

  it('shows requests without sending them', async () => {
    const { out } = await call('--dry-run', 'nvmf_set_crdt', '-t1', '5', '--crdt2=7');
    expect(JSON.parse(out.replace('Request:', ''))).toEqual({
      method: 'nvmf_set_crdt',
      params: { crdt1: 5, crdt2: 7 },
    });
    const listener = await call(
      '--dry-run',
      ...shellWords('nvmf_subsystem_add_listener discovery -t tcp -a ::1 -s 4420'),
    );
    expect(JSON.parse(listener.out.replace('Request:', '')).params).toEqual({
      nqn: 'nqn.2014-08.org.nvmexpress.discovery',
      listen_address: { trtype: 'tcp', traddr: '::1', trsvcid: '4420' },
    });
    const { out: transport } = await call(
      '--dry-run',
      'nvmf_create_transport',
      '-t',
      'TCP',
      '-o',
      '--no-srq',
      '--masked-oncs',
      'all',
      '-u',
      '8192',
    );
    expect(JSON.parse(transport.replace('Request:', '')).params).toEqual({
      trtype: 'TCP',
      io_unit_size: 8192,
      c2h_success: false,
      no_srq: true,
      masked_oncs: ['nvmcmps', 'nvmdsmsv', 'nvmwzsv', 'reservs', 'nvmcpys'],
    });
    expect((await call('--dry-run', 'save_config')).err).toContain('leave out --dry-run');
  });

  it('calls anything raw', async () => {
    const params = '{"name": "R", "block_size": 512, "num_blocks": 8}';
    expect(await call('call', 'bdev_malloc_create', params)).toEqual(ok('"R"\n'));
    expect((await call('call', 'no_such_method')).err).toContain('"code": -32601');
  });

  it('runs a script from its input over one connection', async () => {
    const script = "# disks\nbdev_malloc_create -b 'A B' 1 512\n\nbdev_malloc_create -b C 1 512\n";
    expect(await rpc(['-s', path], script)).toEqual(ok('A B\nC\n'));
    const failed = await rpc(
      ['-s', path],
      'bdev_malloc_delete X\nbdev_malloc_create -b C 1 512\nlog_get_level\n',
    );
    expect(failed.code).toBe(1);
    expect(failed.err).toMatch(/^Exception:\nbdev_malloc_delete X\nbdev_malloc_create -b C 1 512 <<<\n/);
    expect(failed.out).toBe('');
  });

  it('sends a script as one batch', async () => {
    const answer = await rpc(['-s', path, '-b'], 'log_get_level\nbdev_malloc_create -b D 1 512\n');
    expect(answer).toEqual(ok('"NOTICE"\n"D"\n'));
    const failed = await rpc(['-s', path, '-b'], 'log_get_level\nbdev_malloc_create -b D 1 512\n');
    expect([failed.code, failed.out]).toEqual([1, '"NOTICE"\n']);
    expect(failed.err).toContain('"code": -17');
  });

  it('serves scripts that keep it running', async () => {
    const lines = [
      `-s ${path} log_get_level`,
      `-s ${path} nothing`,
      `-s ${path} bdev_malloc_create -b E 1 512`,
      '',
    ];
    const { code, out } = await rpc(['--server'], lines.join('\n'));
    expect(code).toBe(0);
    expect(out).toBe('"NOTICE"\n**STATUS=0\n**STATUS=1\nE\n**STATUS=0\n');
  });

  it('saves and loads, and saves the same', async () => {
    for (const name of ['A', 'B']) await call('bdev_malloc_create', '-b', name, '1', '512');
    const { out: saved } = await call('save_config');
    const file = join(directory, 'config.json');
    writeFileSync(file, `// saved\n${saved}`);
    bdevs.clear();
    expect(await call('load_config', '-j', file)).toEqual(ok(''));
    expect((await call('save_config')).out).toBe(saved);
    expect((await call('save_config', '-i', '-1')).out.split('\n')).toHaveLength(2);

    const { out: one } = await call('save_subsystem_config', '-n', 'bdev');
    expect(JSON.parse(one).subsystem).toBe('bdev');
    bdevs.clear();
    expect(await call('load_subsystem_config', '-j', one)).toEqual(ok(''));
    expect((await call('save_subsystem_config', '-n', 'bdev')).out).toBe(one);
    expect((await call('load_config', '-j', saved)).err).toContain('bdev: bdev_malloc_create: File exists');
  });

  it('speaks WebSocket', async () => {
    const web = await listenWebSocket(server, { address: '0' });
    expect(await rpc(['-s', web.url, 'log_get_level'])).toEqual(ok('"NOTICE"\n'));
    const bare = `ws://127.0.0.1:${web.port}`;
    expect(await rpc(['-s', bare, '--token', web.token, 'log_get_level'])).toEqual(ok('"NOTICE"\n'));
    expect((await rpc(['-s', bare, 'log_get_level'])).err).toContain('and the token right?');
    await web.close();
  });

  it('tries again when told', async () => {
    const late = join(directory, 'late.sock');
    expect((await rpc(['-s', late, 'log_get_level'])).err).toContain('Is the application running?');
    const answer = rpc(['-s', late, '-r', '50', 'log_get_level']);
    const other = await listenUnix(server, { path: late });
    expect(await answer).toEqual(ok('"NOTICE"\n'));
    await other.close();
  });

  it('helps', async () => {
    const help = await rpc(['--help']);
    expect(help.code).toBe(0);
    for (const word of ['save_config', 'bdev_malloc_create', 'nvmf:', '--dry-run'])
      expect(help.out).toContain(word);
    const { out } = await rpc(['bdev_malloc_create', '--help']);
    expect(out).toContain('Usage: rpc.ts bdev_malloc_create [options] <total_size> <block_size>');
    const bare = await rpc([]);
    expect([bare.code, bare.err.slice(0, 6)]).toEqual([1, 'Usage:']);
  });
});

describe('the program as it is installed', () => {
  const bin = fileURLToPath(new URL('../bin/rpc.js', import.meta.url));
  const start = (words: string[], input = '') =>
    new Promise<{ code: number | null; out: string; err: string }>((resolve) => {
      const child = spawn(process.execPath, [bin, ...words]);
      let out = '';
      let err = '';
      child.stdout.on('data', (chunk) => {
        out += chunk;
      });
      child.stderr.on('data', (chunk) => {
        err += chunk;
      });
      child.on('close', (code) => resolve({ code, out, err }));
      child.stdin.end(input);
    });

  it('tells its version', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
    expect(await start(['--version'])).toEqual(ok(`${version}\n`));
  });

  it('calls, reads scripts and configurations, and fails with 1', async () => {
    expect(await start(['-s', path, 'bdev_malloc_create', '-b', 'S', '1', '512'])).toEqual(ok('S\n'));
    expect(await start(['-s', path], 'log_get_level\n')).toEqual(ok('"NOTICE"\n'));
    const { out } = await start(['-s', path, 'save_config']);
    bdevs.clear();
    expect(await start(['-s', path, 'load_config'], out)).toEqual(ok(''));
    expect(bdevs.has('S')).toBe(true);
    expect((await start(['-s', path, 'call', 'nothing'])).code).toBe(1);
  });
});
