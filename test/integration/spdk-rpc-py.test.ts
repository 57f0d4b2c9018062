// Holds rpc.ts and the RPC server against SPDK's own Python client, where a tree of SPDK is at hand:
//   SPDK_SRC=/path/to/spdk npx vitest run --project integration test/integration/spdk-rpc-py.test.ts
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { methods as mallocMethods } from '@spdk-ts/bdev-malloc/schema';
import { errnoError, listenUnix, RpcServer, type UnixListener } from '@spdk-ts/rpc';
import { registerSchema } from '@spdk-ts/rpc-schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

registerSchema(...mallocMethods);

const spdk = process.env['SPDK_SRC'];
const rpcTs = fileURLToPath(new URL('../../apps/rpc/bin/rpc.js', import.meta.url));

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function start(program: string, words: string[], input?: string): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = execFile(program, words, { timeout: 30_000 }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), out, err }),
    );
    child.stdin?.end(input ?? '');
  });
}

const py = (...words: string[]) => start('python3', [join(spdk!, 'scripts/rpc.py'), ...words]);
const ts = (...words: string[]) => start(process.execPath, [rpcTs, ...words]);

/** False switches are sent by rpc.py and left out by rpc.ts; both mean the same. c2h_success is true by default. */
function request({ out }: Outcome): unknown {
  const parsed = JSON.parse(out.replace(/^Request:/, ''), (key, value) =>
    value === false &&
    !['c2h_success', 'enable', 'allow_any_host', 'enabled', 'enable_quickack'].includes(key)
      ? undefined
      : value,
  );
  if (parsed.params.c2h_success === true) delete parsed.params.c2h_success;
  return parsed;
}

const commands = [
  'rpc_get_methods -c',
  'spdk_kill_instance SIGINT',
  'framework_get_config bdev --with-batches',
  'framework_set_scheduler static -p 1000 --mappings 1:2',
  'framework_monitor_context_switch --no-monitor',
  'thread_set_cpumask -i 1 -m 0x3',
  'log_enable_timestamps --no-timestamps',
  'notify_get_notifications -i 3 -n 4',
  'iobuf_set_options --small-pool-count 100 --enable-numa',
  'sock_impl_set_options -i posix -r 4096 --no-quickack -p 2',
  'bdev_set_options -p 100 --auto-examine',
  'bdev_get_bdevs -b Malloc0 -t 100',
  'bdev_get_iostat --names A,B --reset-mode all',
  'bdev_reset_iostat -b A -m maxmin',
  'bdev_enable_histogram --no-histogram A -o read --granularity 5',
  'bdev_get_histogram_borders A --borders 1,10,100',
  'bdev_malloc_create 64.5 4096 -b M -u ceccf520-691e-4b46-9546-34af789907c5 -m 8 -i -t 1',
  'bdev_null_create N 100 512 -p 4096 -g 8',
  'bdev_null_resize N 200',
  'nvmf_set_max_subsystems -x 8',
  'nvmf_set_config -p sanitize,nvme_mi -m 0x3 --discovery-filters transport,svcid',
  'nvmf_set_crdt -t1 1 -t2 2 -t3 3',
  'nvmf_create_transport -t TCP -q 64 -m 8 -c 8192 -i 262144 -u 8192 -z -o -f --no-srq --masked-oncs all',
  'nvmf_create_transport -t TCP',
  'nvmf_get_subsystems nqn.2016-06.io.spdk:cnode1',
  'nvmf_create_subsystem nqn.2016-06.io.spdk:cnode1 -a -s SPDK001 -d model -m 8 -i 1 -I 9 -r',
  'nvmf_subsystem_add_listener nqn.2016-06.io.spdk:cnode1 -t tcp -a 127.0.0.1 -s 4420 -f ipv4 -n inaccessible',
  'nvmf_subsystem_add_listener discovery -t tcp -a ::1 -s 8009',
  'nvmf_subsystem_remove_listener discovery -t tcp -a ::1 -s 8009',
  'nvmf_subsystem_add_ns nqn.2016-06.io.spdk:cnode1 Malloc0 -n 4 -g 00112233445566778899aabbccddeeff',
  'nvmf_subsystem_remove_ns nqn.2016-06.io.spdk:cnode1 4',
  'nvmf_subsystem_add_host nqn.2016-06.io.spdk:cnode1 nqn.host --psk key0',
  'nvmf_subsystem_remove_host nqn.2016-06.io.spdk:cnode1 nqn.host -T 100',
  'nvmf_subsystem_allow_any_host nqn.2016-06.io.spdk:cnode1 --no-allow-any-host',
  'nvmf_discovery_add_referral -t tcp -a 10.0.0.1 -s 8009 -k -n discovery',
  'nvmf_discovery_remove_referral -t tcp -a 10.0.0.1 -s 8009',
  'nvmf_discovery_get_referrals -t target',
  'nvmf_subsystem_get_controllers nqn.2016-06.io.spdk:cnode1 -t target',
  'nvmf_subsystem_get_qpairs nqn.2016-06.io.spdk:cnode1',
  'nvmf_subsystem_get_listeners nqn.2016-06.io.spdk:cnode1',
  'nvmf_delete_subsystem nqn.2016-06.io.spdk:cnode1',
  'nvmf_get_transports --trtype TCP',
  'nvmf_publish_mdns_prr -t target',
  'nvmf_stop_mdns_prr',
  'nvmf_get_stats -t target',
  'vhost_create_blk_controller vhost.0 Malloc0 --cpumask 0x3 -r -p --transport vhost_user_blk',
  'vhost_create_blk_controller vhost.0 Malloc0',
  'vhost_get_controllers -n vhost.0',
  'vhost_controller_set_coalescing vhost.0 10 60000',
  'vhost_delete_controller vhost.0',
];

describe.skipIf(spdk === undefined)("SPDK's rpc.py", () => {
  const directory = mkdtempSync(join(tmpdir(), 'rpc-py-'));
  const path = join(directory, 'rpc.sock');
  const server = new RpcServer({ state: 'startup' });
  const bdevs = new Map<string, { name: string; block_size: number; num_blocks: number }>();
  let listener: UnixListener;

  beforeAll(async () => {
    server.register('spdk_get_version', () => ({
      version: 'spdk-ts v0.1.0',
      fields: { major: 0, minor: 1, patch: 0, suffix: '' },
    }));
    server.register('framework_start_init', () => server.setState('runtime'));
    server.register('framework_wait_init', () => true);
    server.register('framework_get_subsystems', () => [{ subsystem: 'bdev', depends_on: [] }]);
    server.register('framework_get_config', () =>
      [...bdevs.values()].map((params) => ({ method: 'bdev_malloc_create', params })),
    );
    server.register('log_get_level', () => 'NOTICE');
    server.register('spdk_kill_instance', () => true);
    server.register('bdev_malloc_create', ({ name = 'Malloc0', block_size, num_blocks }) => {
      if (bdevs.has(name)) throw errnoError('EEXIST', `there is a bdev "${name}"`);
      bdevs.set(name, { name, block_size, num_blocks });
      return name;
    });
    let ticks = 0;
    server.register('bdev_get_iostat', () => {
      ticks += 1e9;
      const zero = Object.fromEntries(
        ['read', 'write', 'unmap', 'copy'].flatMap((type) => [
          [`num_${type}_ops`, ticks / 1e6],
          [`${type}_latency_ticks`, ticks],
          [`max_${type}_latency_ticks`, 0],
          [`min_${type}_latency_ticks`, 0],
        ]),
      );
      const bytes = {
        bytes_read: ticks,
        bytes_written: ticks,
        bytes_unmapped: 0,
        bytes_copied: 0,
        io_error: {},
      };
      return { tick_rate: 1e9, ticks, bdevs: [{ name: 'Malloc0', ...bytes, ...zero } as never] };
    });
    listener = await listenUnix(server, { path });
  });

  afterAll(async () => {
    await listener.close();
    rmSync(directory, { recursive: true });
  });

  it.each(commands)('makes the same call as rpc.ts: %s', async (line) => {
    const words = ['--dry-run', ...line.split(' ')];
    const [theirs, ours] = await Promise.all([py(...words), ts(...words)]);
    expect(ours.err).toBe('');
    expect(request(ours)).toEqual(request(theirs));
  });

  it('drives the server unmodified, from start to configuration', async () => {
    const call = (...words: string[]) => py('-s', path, ...words);
    const early = await call('bdev_malloc_create', '1', '512');
    expect([early.code, early.out]).toEqual([
      1,
      expect.stringContaining('may only be called after framework is initialized'),
    ]);
    expect((await call('framework_start_init')).code).toBe(0);
    expect((await call('framework_wait_init')).code).toBe(0);
    for (const words of [
      ['spdk_get_version'],
      ['log_get_level'],
      ['rpc_get_methods', '-c'],
      ['bdev_get_iostat'],
      ['framework_get_subsystems'],
    ]) {
      const [theirs, ours] = [await call(...words), await ts('-s', path, ...words)];
      expect(theirs.code).toBe(0);
      if (words[0] !== 'bdev_get_iostat') expect(ours.out).toBe(theirs.out);
    }
    expect((await call('bdev_malloc_create', '-b', 'M', '1', '512')).out).toBe('M\n');
    const again = await call('bdev_malloc_create', '-b', 'M', '1', '512');
    expect([again.code, again.out]).toEqual([1, expect.stringContaining('"code": -17')]);
    expect((await call('log_get_flags')).out).toContain('"code": -32601');
    const saved = await call('save_config');
    expect((await ts('-s', path, 'save_config')).out).toBe(saved.out);
    bdevs.clear();
    expect((await call('load_config', '-j', saved.out)).code).toBe(0);
    expect((await call('save_config')).out).toBe(saved.out);
  });

  it('sends scripts, batches and co-process commands', async () => {
    const feed = (words: string[], input: string) =>
      start('python3', [join(spdk!, 'scripts/rpc.py'), ...words], input);
    expect((await feed(['-s', path], 'log_get_level\nlog_get_level\n')).out).toBe('"NOTICE"\n"NOTICE"\n');
    // It also prints a null for every call it puts aside.
    const batch = await feed(['-s', path, '-b'], 'log_get_level\nlog_get_level\n');
    expect(batch.out).toContain('"NOTICE"\n"NOTICE"\n');
    expect((await feed(['--server'], `-s ${path} log_get_level\n`)).out).toBe('"NOTICE"\n**STATUS=0\n');
  });

  it('feeds iostat.py', async () => {
    const child = spawn('python3', [join(spdk!, 'scripts/iostat.py'), '-s', path, '-i', '1', '-t', '2']);
    let out = '';
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    child.stderr.on('data', (chunk) => {
      out += chunk;
    });
    const code = await new Promise((resolve) => child.on('close', resolve));
    expect(out).toContain('Malloc0');
    expect(code).toBe(0);
  });
});
