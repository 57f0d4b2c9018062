import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { saveConfig } from '@spdk-ts/rpc';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  AppProcess,
  cleanUp,
  client,
  programs,
  run,
  startTarget,
  temporaryDirectory,
} from './app-process.ts';

let directory: string;
let socket: string;

beforeEach(() => {
  directory = temporaryDirectory();
  socket = join(directory, 'rpc.sock');
});
afterEach(cleanUp);

const NQN = 'nqn.2026-11.io.example:life';

describe('programs', () => {
  it.each(['spdkTs', 'rpc', 'bdevperf'] as const)('%s has --help and --version', async (name) => {
    const version = await run(programs[name], '--version');
    expect(version).toMatchObject({ code: 0 });
    expect(version.stdout).toMatch(/\d+\.\d+\.\d+/);
    const help = await run(programs[name], '--help');
    expect(help).toMatchObject({ code: 0 });
    expect(help.stdout).toContain('Usage:');
  });

  it('refuse what they do not know, and say what was wrong', async () => {
    const option = await run(programs.spdkTs, 'tgt', '--no-such-option');
    expect(option.code).toBe(1);
    expect(option.stderr).toContain("unknown option '--no-such-option'");
    const mask = await run(programs.spdkTs, 'tgt', '-r', socket, '-m', 'xyz');
    expect(mask.code).toBe(1);
    expect(mask.stderr).toContain("core mask 'xyz' is neither hexadecimal (0x3) nor a list ([0,1])");
  });
});

describe('a target', () => {
  it('says what it is, answers, and ends in order on SIGTERM', async () => {
    const pidFile = join(directory, 'pid');
    const target = await startTarget(socket, '-m', '[0,1]', '-f', pidFile, '--no-huge', '-s', '512');
    expect(target.stderr).toMatch(/spdk-ts tgt v\d+\.\d+\.\d+/);
    expect(target.stderr).toContain('2 reactor(s) on core(s) 0,1, adaptive mode');
    expect(target.stderr).toContain('I/O paths: ');
    expect(target.stderr).toContain('--no-huge has no effect: hugepages are never used');
    expect(target.stderr).toContain('--mem-size has no effect');
    expect(readFileSync(pidFile, 'utf8')).toBe(`${target.pid}\n`);
    expect(await target.stop('SIGTERM')).toMatchObject({ code: 0, signal: null });
    expect([existsSync(pidFile), existsSync(socket)]).toEqual([false, false]);
  });

  it('ends in order when it is asked to at any moment of its start', async () => {
    for (const after of ['spdk-ts tgt v', 'reactor(s) on core(s)', 'I/O paths: ']) {
      const pidFile = join(directory, 'pid');
      const target = new AppProcess(programs.spdkTs, ['tgt', '-r', socket, '-f', pidFile]);
      await target.says(after);
      expect(await target.stop('SIGTERM')).toMatchObject({ code: 0, signal: null });
      expect([existsSync(pidFile), existsSync(socket)]).toEqual([false, false]);
    }
  });

  it('runs more reactors than there are cores, with a notice', async () => {
    const target = await startTarget(socket, '-m', '0xff00f');
    expect(target.stderr).toMatch(/there are more reactors \(12\) than CPUs/);
    const rpc = await client(socket);
    const { reactors } = await rpc.call('framework_get_reactors');
    expect(reactors.map(({ lcore }) => lcore)).toEqual([0, 1, 2, 3, 12, 13, 14, 15, 16, 17, 18, 19]);
    expect(await target.stop()).toMatchObject({ code: 0 });
  });

  it('lets no second one have its socket, and its successor have it even after kill -9', async () => {
    const first = await startTarget(socket);
    const second = await run(programs.spdkTs, 'tgt', '-r', socket);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(`RPC Unix domain socket path ${socket} in use. Specify another.`);
    await first.stop('SIGKILL');
    const third = await startTarget(socket);
    expect((await (await client(socket)).call('spdk_get_version')).version).toContain('spdk-ts');
    expect(await third.stop('SIGINT')).toMatchObject({ code: 0 });
  });

  it('waits for framework_start_init where it is told to', async () => {
    const target = await startTarget(socket, '--wait-for-rpc');
    const rpc = await client(socket);
    await expect(rpc.call('bdev_get_bdevs')).rejects.toMatchObject({
      code: -1,
      message: 'Method may only be called after framework is initialized using framework_start_init RPC.',
    });
    await rpc.call('iobuf_set_options', { small_pool_count: 4096, large_pool_count: 256 });
    await rpc.call('bdev_set_options', { bdev_io_pool_size: 4096 });
    const waiting = rpc.call('framework_wait_init');
    expect(await rpc.call('framework_start_init')).toBe(true);
    expect(await waiting).toBe(true);
    await expect(rpc.call('bdev_set_options', {})).rejects.toMatchObject({ code: -1 });
    expect(await rpc.call('bdev_get_bdevs')).toEqual([]);
    expect(await target.stop()).toMatchObject({ code: 0 });
  });

  it('ends when it is asked to by RPC', async () => {
    const target = await startTarget(socket);
    expect(await (await client(socket)).call('spdk_kill_instance', { sig_name: 'SIGTERM' })).toBe(true);
    expect(await target.ended).toMatchObject({ code: 0 });
  });

  it('needs less than 150 MB with a 64 MiB malloc bdev that nobody touches', async () => {
    const target = await startTarget(socket);
    const rpc = await client(socket);
    await rpc.call('bdev_malloc_create', { name: 'Malloc0', block_size: 512, num_blocks: 131072 });
    const resident = Number(
      /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${target.pid}/status`, 'utf8'))?.[1],
    );
    expect(resident).toBeGreaterThan(10_000);
    expect(resident).toBeLessThan(150_000);
  });
});

describe('a configuration', () => {
  const make = async (): Promise<void> => {
    const rpc = await client(socket);
    await rpc.call('bdev_malloc_create', { name: 'M0', block_size: 4096, num_blocks: 1024 });
    await rpc.call('bdev_null_create', { name: 'N0', block_size: 512, num_blocks: 2048 });
    await rpc.call('bdev_file_create', {
      name: 'F0',
      filename: join(directory, 'disk'),
      size: 1 << 20,
      block_size: 512,
    });
    await rpc.call('bdev_enable_histogram', { name: 'M0', enable: true });
    await rpc.call('nvmf_create_transport', { trtype: 'TCP', max_queue_depth: 64 });
    await rpc.call('nvmf_create_subsystem', { nqn: NQN, serial_number: 'S1', max_namespaces: 8 });
    await rpc.call('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: 'M0', nsid: 3 } });
    await rpc.call('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: 'F0' } });
    await rpc.call('nvmf_subsystem_add_host', { nqn: NQN, host: 'nqn.2026-11.io.example:host' });
    const listen_address = { trtype: 'TCP', adrfam: 'IPv4', traddr: '127.0.0.1', trsvcid: '4501' };
    await rpc.call('nvmf_subsystem_add_listener', { nqn: NQN, listen_address });
    const address = { trtype: 'TCP', adrfam: 'IPv4', traddr: '127.0.0.2', trsvcid: '4502' };
    await rpc.call('nvmf_discovery_add_referral', { address });
  };

  it('is the same after save, load and save', async () => {
    const first = await startTarget(socket);
    await make();
    const saved = await saveConfig(await client(socket));
    await first.stop();
    const file = join(directory, 'config.json');
    writeFileSync(file, `// as it was saved\n${JSON.stringify(saved)}`);
    const second = await startTarget(socket, '--json', file);
    expect(await saveConfig(await client(socket))).toEqual(saved);
    await second.stop();

    // The same by hand: rpc.ts save_config, and load_config into a target that waits for it.
    writeFileSync(file, JSON.stringify(saved));
    const third = await startTarget(socket, '--wait-for-rpc');
    expect(await run(programs.rpc, '-s', socket, 'load_config', '-j', file)).toMatchObject({ code: 0 });
    const printed = await run(programs.rpc, '-s', socket, 'save_config');
    expect(JSON.parse(printed.stdout)).toEqual(saved);
    await third.stop();
  });

  it('that is wrong ends the start with the file, the call and the reason', async () => {
    const file = join(directory, 'config.json');
    const config = [{ method: 'bdev_malloc_create', params: { name: 'M0', block_size: 500, num_blocks: 8 } }];
    writeFileSync(file, JSON.stringify({ subsystems: [{ subsystem: 'bdev', config }] }));
    const ended = await run(programs.spdkTs, 'tgt', '-r', socket, '--json', file);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain(file);
    expect(ended.stderr).toContain('bdev_malloc_create');
    expect(ended.stderr).toContain('block_size');
    expect(existsSync(socket)).toBe(false);

    writeFileSync(file, '{ "subsystems": [');
    expect((await run(programs.spdkTs, 'tgt', '-r', socket, '-c', file)).stderr).toContain(
      'is not valid JSON',
    );
    const tolerant = await startTarget(socket, '--json-ignore-init-errors');
    expect(await tolerant.stop()).toMatchObject({ code: 0 });
  });
});

describe('statistics', () => {
  const keys = (value: object): string[] => Object.keys(value).sort();

  it('have exactly the fields that strict clients decode', async () => {
    await startTarget(socket, '-m', '0x3');
    const rpc = await client(socket);
    await rpc.call('bdev_malloc_create', { name: 'M0', block_size: 512, num_blocks: 1024 });
    await rpc.call('nvmf_create_transport', { trtype: 'TCP' });
    await rpc.call('nvmf_create_subsystem', { nqn: NQN, allow_any_host: true });
    await rpc.call('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: 'M0' } });

    const reactors = await rpc.call('framework_get_reactors');
    expect(keys(reactors)).toEqual(['pid', 'reactors', 'tick_rate']);
    for (const reactor of reactors.reactors) {
      expect(keys(reactor)).toEqual(
        ['busy', 'idle', 'in_interrupt', 'irq', 'lcore', 'lw_threads', 'numa_id', 'sys', 'tid', 'usr'].sort(),
      );
      for (const thread of reactor.lw_threads)
        expect(keys(thread)).toEqual(['cpumask', 'elapsed', 'id', 'name']);
    }
    const stats = await rpc.call('thread_get_stats');
    expect(stats.threads.map(({ name }) => name)).toContain('app_thread');
    for (const thread of stats.threads)
      expect(keys(thread)).toEqual([
        'active_pollers_count',
        'busy',
        'cpumask',
        'id',
        'idle',
        'name',
        'paused_pollers_count',
        'timed_pollers_count',
      ]);
    const pollers = await rpc.call('thread_get_pollers');
    const all = pollers.threads.flatMap((thread) => [...thread.active_pollers, ...thread.timed_pollers]);
    expect(all.length).toBeGreaterThan(2);
    for (const { period_ticks, ...poller } of all) {
      expect(period_ticks === undefined || period_ticks > 0).toBe(true);
      expect(keys(poller)).toEqual(['busy_count', 'id', 'name', 'run_count', 'state']);
    }
    const channels = await rpc.call('thread_get_io_channels');
    expect(channels.threads.flatMap(({ io_channels }) => io_channels.map(({ name }) => name))).toContain(
      'bdev_M0',
    );
  });

  it('move while the target works, and events are recorded', async () => {
    const target = new AppProcess(programs.spdkTs, ['tgt', '-r', socket, '--reactor-mode', 'poll']);
    await target.says('listening on');
    const rpc = await client(socket);
    const before = (await rpc.call('framework_get_reactors')).reactors[0]!;
    await new Promise((resolve) => setTimeout(resolve, 50));
    const after = (await rpc.call('framework_get_reactors')).reactors[0]!;
    expect(after.busy + after.idle).toBeGreaterThan(before.busy + before.idle);
    await rpc.call('bdev_null_create', { name: 'N0', block_size: 512, num_blocks: 8 });
    await rpc.call('bdev_null_resize', { name: 'N0', new_size: 1 });
    await rpc.call('bdev_null_delete', { name: 'N0' });
    const events = await rpc.call('notify_get_notifications', {});
    expect(events.map(({ type, ctx }) => [type, ctx])).toEqual([
      ['bdev_register', 'N0'],
      ['bdev_resize', 'N0'],
      ['bdev_unregister', 'N0'],
    ]);
  });
});

describe('the WebSocket', () => {
  it('serves who has the token, pushes events, and turns away web pages', async () => {
    const target = new AppProcess(programs.spdkTs, [
      'tgt',
      '-r',
      socket,
      '--ws',
      '0',
      '--ws-token',
      'secret',
    ]);
    await target.says('listening on ws://');
    const url = /ws:\/\/\S+/.exec(target.stderr)![0];
    expect(url).toContain('127.0.0.1');
    const { WebSocket } = await import('ws');
    const open = (options: object, address = url): Promise<InstanceType<typeof WebSocket>> =>
      new Promise((resolve, reject) => {
        const connecting = new WebSocket(address, options);
        connecting.on('open', () => resolve(connecting));
        connecting.on('error', reject);
      });
    await expect(open({}, url.replace('secret', 'guess'))).rejects.toThrow('401');
    await expect(open({ origin: 'http://example.com' })).rejects.toThrow('403');
    const connection = await open({});
    const messages: { id?: number; method?: string; params?: unknown }[] = [];
    connection.on('message', (data) => messages.push(JSON.parse(String(data))));
    connection.send('{"jsonrpc":"2.0","id":1,"method":"notify_subscribe"}');
    connection.send(
      '{"jsonrpc":"2.0","id":2,"method":"bdev_null_create","params":{"name":"W0","block_size":512,"num_blocks":8}}',
    );
    for (let i = 0; i < 200 && messages.length < 3; i++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    connection.close();
    expect(messages.find(({ method }) => method === 'notify')?.params).toMatchObject({
      type: 'bdev_register',
      ctx: 'W0',
    });
  });
});
