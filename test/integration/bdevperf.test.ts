// bdevperf-ts as a whole process. With a tree of SPDK at hand its own client is tried too:
//   SPDK_SRC=/path/to/spdk npx vitest run --project integration test/integration/bdevperf.test.ts
// Times are never asserted: machines that run this may be busy.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectUnix, type RpcClient } from '@spdk-ts/rpc';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

const program = fileURLToPath(new URL('../../apps/bdevperf/bin/bdevperf.js', import.meta.url));
const spdk = process.env['SPDK_SRC'];

interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

const running_now = new Set<ChildProcess>();

class Run {
  readonly child: ChildProcess;
  out = '';
  err = '';
  readonly ended: Promise<Outcome>;

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    running_now.add(this.child);
    this.child.stdout!.on('data', (data) => {
      this.out += data;
    });
    this.child.stderr!.on('data', (data) => {
      this.err += data;
    });
    this.ended = new Promise((resolve) => {
      this.child.on('close', (code) => {
        running_now.delete(this.child);
        resolve({ code, out: this.out, err: this.err });
      });
    });
  }

  async until(what: RegExp): Promise<void> {
    for (let i = 0; i < 1000 && !what.test(this.out + this.err); i++) {
      if (this.child.exitCode !== null) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(this.out + this.err).toMatch(what);
  }
}

const run = (...args: string[]): Promise<Outcome> => new Run(args).ended;

let dir: string;
let disk: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'bdevperf-'));
  disk = join(dir, 'disk.img');
});
// A test that failed may have left one behind.
afterEach(() => {
  for (const child of running_now) child.kill('SIGKILL');
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** The table's rows: numbers by bdev (and Total). */
function rows(out: string): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const line of out.split('\n')) {
    const match = /^(?:\t|\r) (\w+) +: +([-\d. ]+)$/.exec(line);
    if (match !== null) found.set(match[1]!, match[2]!.trim().split(/ +/).map(Number));
  }
  return found;
}

/** Every bdev did I/O, none of it failed, and the total is there. */
function expectRows({ code, out, err }: Outcome, ...names: string[]): void {
  expect(code, out + err).toBe(0);
  const table = rows(out);
  expect([...table.keys()].sort()).toEqual([...names, 'Total'].sort());
  for (const name of names) {
    const [runtime, iops, mibps, failed, timeouts, average, min, max] = table.get(name)!;
    expect(runtime).toBeGreaterThan(0);
    expect(iops).toBeGreaterThan(0);
    expect(mibps).toBeGreaterThanOrEqual(0);
    expect([failed, timeouts]).toEqual([0, 0]);
    expect(min).toBeLessThanOrEqual(average!);
    expect(average).toBeLessThanOrEqual(max!);
  }
}

const malloc = ['--bdev', 'malloc:8M:4096'];
const nothing = ['--bdev', 'null:64M:4096'];
const file = (): string[] => ['--bdev', `file:${disk}:8M:4096`];
const load = (workload: string, ...more: string[]): string[] => [
  '-q',
  '8',
  '-o',
  '8k',
  '-w',
  workload,
  '-t',
  '1',
  ...more,
];

describe('workloads', () => {
  it.each(['read', 'write', 'randread', 'randwrite', 'write_zeroes'])(
    '%s on null, malloc and file',
    async (workload) => {
      expectRows(await run(...nothing, ...malloc, ...file(), ...load(workload)), 'Null0', 'Malloc0', 'File0');
    },
  );

  it.each(['rw', 'randrw'])('%s on null, malloc and file', async (workload) => {
    const outcome = await run(...nothing, ...malloc, ...file(), ...load(workload, '-M', '70'));
    expectRows(outcome, 'Null0', 'Malloc0', 'File0');
    expect(outcome.out).toContain(
      `Job: Null0 (Core Mask 0x1, workload: ${workload}, percentage: 70, depth: 8, IO size: 8192)`,
    );
  });

  it.each(['verify', 'reset', 'flush'])('%s on malloc and file', async (workload) => {
    const outcome = await run(...malloc, ...file(), ...load(workload));
    expect(outcome.code, outcome.out + outcome.err).toBe(0);
    if (workload !== 'reset') expectRows(outcome, 'Malloc0', 'File0');
    if (workload !== 'flush')
      expect(outcome.out).toContain('\t Verification LBA range: start 0x0 length 0x400\n');
  });

  it('unmap on malloc', async () => expectRows(await run(...malloc, ...load('unmap')), 'Malloc0'));

  it.each(['poll', 'interrupt'])('verify on malloc and file in %s mode', async (mode) => {
    expectRows(
      await run('--reactor-mode', mode, ...malloc, ...file(), ...load('verify')),
      'Malloc0',
      'File0',
    );
  });

  it('large and deep, random map, Zipf, unique writes, reads in place', async () => {
    expectRows(await run(...malloc, '-q', '64', '-o', '1M', '-w', 'verify', '-t', '1'), 'Malloc0');
    expectRows(await run(...malloc, ...load('randwrite', '-D', '-U')), 'Malloc0');
    expectRows(await run(...malloc, ...load('randread', '-F', '0.9', '-Z')), 'Malloc0');
  });
});

describe('without anything to say', () => {
  it('uses a memory disk, and says so', async () => {
    const outcome = await run('-q', '128', '-o', '512', '-w', 'randread', '-t', '1');
    expectRows(outcome, 'Malloc0');
    expect(outcome.out).toMatch(
      /^No bdev was named \(--bdev, -c\): using malloc:64M as Malloc0\nRunning I\/O for 1 seconds\.\.\.\n\n {96}Latency\(us\)\n\r Device Information/,
    );
  });

  it('says what it assumed', async () => {
    const { out, code } = await run('-t', '1');
    expect(code).toBe(0);
    expect(out).toContain('Not given, so: -w randread -q 128 -o 4k\n');
  });

  it('has help and a version', async () => {
    const help = await run('--help');
    expect(help.code).toBe(0);
    for (const option of ['-q, --queue-depth', '-o, --io-size', '--bdev', '-c, --config', '-m, --cpumask'])
      expect(help.out).toContain(option);
    expect((await run('--version')).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('verification', () => {
  it('finds out a file that is changed from outside', async () => {
    const victim = join(dir, 'victim.img');
    const running = new Run([
      '--bdev',
      `file:${victim}:64k:4096`,
      '-q',
      '4',
      '-o',
      '4k',
      '-w',
      'verify',
      '-t',
      '60',
    ]);
    await running.until(/Running I\/O/);
    const fd = openSync(victim, 'r+');
    const garbage = new Uint8Array(100).fill(0x42);
    let stop = false;
    void running.ended.then(() => {
      stop = true;
    });
    for (let i = 0; !stop; i = (i + 1) % 16) {
      writeSync(fd, garbage, 0, garbage.length, i * 4096 + 1000);
      if (i === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    closeSync(fd);
    const { code, out } = await running.ended;
    expect(code).toBe(1);
    expect(out).toMatch(/^Buffer mismatch! Target: File0 Disk Offset: \d+$/m);
    expect(out).toMatch(/^ {2}block \d+, byte \d+ of it: expected 0x[0-9a-f]{8}, found 0x42424242/m);
    expect(out).toMatch(/^ {2}found: +block \d+, generation \d+, damaged$/m);
    expect(out).toMatch(/^Job: File0 ended in about \d+\.\d\d seconds with error$/m);
  });

  it('finds out a bdev that forgets', async () => {
    const { code, out } = await run(...nothing, ...load('verify'));
    expect(code).toBe(1);
    expect(out).toContain('Buffer mismatch! Target: Null0 Disk Offset: 0');
  });

  it('goes on with -f, and still ends with 1', async () => {
    const output = join(dir, 'failures.json');
    const { code, out } = await run(...nothing, ...load('verify', '-f', '--json-output', output));
    expect(code).toBe(1);
    expect(out).not.toContain('with error');
    const [job] = JSON.parse(readFileSync(output, 'utf8')).results;
    expect(job).toMatchObject({ job: 'Null0', status: 'finished' });
    expect(job.io_failed).toBeGreaterThan(0);
  });
});

describe('several reactors and jobs', () => {
  it('spreads bdevs over the cores', async () => {
    const outcome = await run('-m', '0x3', '--bdev', 'malloc:4M', '--bdev', 'malloc:4M', ...load('verify'));
    expectRows(outcome, 'Malloc0', 'Malloc1');
    expect(outcome.out).toContain('Job: Malloc0 (Core Mask 0x1, workload: verify');
    expect(outcome.out).toContain('Job: Malloc1 (Core Mask 0x2, workload: verify');
  });

  it('runs on every core of every bdev (-C), one thread a core (-E)', async () => {
    for (const more of [[], ['-E']]) {
      const outcome = await run('-m', '[0,1]', ...malloc, ...load('verify', '-C', ...more));
      expectRows(outcome, 'Malloc0');
      expect(outcome.out).toContain('(Core Mask 0x1, workload: verify, depth: 8, IO size: 8192)');
      expect(outcome.out).toContain('(Core Mask 0x2, workload: verify, depth: 8, IO size: 8192)');
      expect(outcome.out).toContain('Verification LBA range: start 0x0 length 0x200\n');
      expect(outcome.out).toContain('Verification LBA range: start 0x200 length 0x200\n');
    }
  });

  it('takes jobs from a file', async () => {
    const jobs = join(dir, 'jobs.ini');
    writeFileSync(
      jobs,
      '[global]\nfilename=Malloc0\nbs=4k\niodepth=4\nrw=randread\n' +
        '[one]\ncpumask=0x1\n[two]\ncpumask=0x2\nrw=verify\nfilename=Malloc1:Null0\noffset=0\nlength=64\n',
    );
    const bdevs = ['--bdev', 'malloc:4M:4096', '--bdev', 'malloc:4M:4096', ...nothing];
    const { code, out } = await run('-m', '0x3', ...bdevs, '-j', jobs, '-t', '1', '-f');
    expect(out).toContain('Using job config with 2 jobs\nRunning I/O for 1 seconds...\n');
    expect(out).toContain('Job: Malloc0 (Core Mask 0x1, workload: randread, depth: 4, IO size: 4096)');
    expect(out).toContain('Job: Malloc1 (Core Mask 0x2, workload: verify, depth: 4, IO size: 4096)');
    expect(out).toContain('Verification LBA range: start 0x0 length 0x40\n');
    expect(code).toBe(1);
    writeFileSync(jobs, '[one]\nfilename=Nobody\nbs=4k\niodepth=1\nrw=read\n');
    const unknown = await run(...bdevs, '-j', jobs, '-t', '1');
    expect(unknown.code).toBe(1);
    expect(unknown.err).toContain("Unable to find bdev 'Nobody'; there are Malloc0, Malloc1, Null0");
  });
});

describe('output', () => {
  it('shows percentiles with -l and buckets with -ll', async () => {
    const { out, code } = await run(...nothing, ...load('read', '-ll'));
    expect(code).toBe(0);
    expect(out).toMatch(
      /\n Latency summary\n\r =+\n\r Job: Null0 \(Core Mask 0x1\)\n {2}1\.00000% : +\d+\.\d{3}us\n/,
    );
    expect(out).toMatch(/\n 99\.99999% : +\d+\.\d{3}us\n\n\r Latency histogram\n\r =+\n\r Job: Null0/);
    expect(out).toMatch(/\n *\d+\.\d{3} - +\d+\.\d{3}: +100\.0000% {2}\( +\d+\)\n\n$/);
    expect((await run(...nothing, ...load('read', '-l'))).out).not.toContain('Latency histogram');
  });

  it('shows tables on the way with -S', async () => {
    const outcome = await run(
      ...nothing,
      '-q',
      '8',
      '-o',
      '4k',
      '-w',
      'read',
      '-t',
      '3',
      '-S',
      '1',
      '-P',
      '2',
    );
    expect(outcome.code).toBe(0);
    expect(outcome.out.match(/Job: Null0/g)!.length).toBeGreaterThan(1);
    expect(outcome.out.match(/Latency\(us\)/g)).toHaveLength(2);
  });

  it("writes perform_tests' answer to a file", async () => {
    const output = join(dir, 'results.json');
    expect((await run(...malloc, ...load('rw', '--json-output', output))).code).toBe(0);
    const answer = JSON.parse(readFileSync(output, 'utf8'));
    expect(answer.core_count).toBe(1);
    expect(Object.keys(answer.results[0])).toEqual([
      ...[
        'job',
        'core_mask',
        'workload',
        'percentage',
        'status',
        'queue_depth',
        'io_size',
        'runtime',
        'iops',
      ],
      ...['mibps', 'io_failed', 'io_timeout', 'avg_latency_us', 'min_latency_us', 'max_latency_us'],
    ]);
  });

  it('explains options without effect', async () => {
    const { err, code } = await run(...nothing, ...load('read', '-H', '--no-huge', '-s', '512'));
    expect(code).toBe(0);
    expect(err).toContain('-H has no effect: hugepages are never used');
    expect(err).toContain('--no-huge has no effect');
  });
});

describe('what cannot be done is refused with a reason', () => {
  it.each<[string, string[], string]>([
    [
      'a wrong size',
      [...malloc, ...load('read', '-o', '1000')],
      'IO size (1000) is not a multiple of the block size of bdev Malloc0 (4096): try -o 4k',
    ],
    [
      'no size',
      ['-o', 'big'],
      "option '-o, --io-size <size>' argument 'big' is invalid. 'big' is not a size such as 4096, 4k or 1M",
    ],
    ['no workload', ['-w', 'dance'], "'dance' is not one of read, write, randread"],
    [
      'no bdev of that name',
      [...malloc, '-T', 'Nvme0n1'],
      "Unable to find bdev 'Nvme0n1'; there are Malloc0",
    ],
    [
      'a bdev that cannot',
      [...nothing, ...load('unmap')],
      'bdev Null0 does not support unmap, which the workload unmap needs',
    ],
    ['no such file', ['--bdev', 'file:/does/not/exist'], '/does/not/exist'],
    ['no such configuration', ['-c', '/does/not/exist'], '/does/not/exist'],
    ['no such job file', ['-j', '/does/not/exist'], 'cannot read the job file'],
    [
      'too large an I/O',
      ['--bdev', 'malloc:1M', ...load('read', '-o', '2M')],
      'not even one I/O of 2M fits in bdev Malloc0 (1M)',
    ],
    ['an unknown option', ['--frobnicate'], "unknown option '--frobnicate'"],
    ['-P without -S', ['-P', '3'], '-P needs -S'],
    [
      '-D without random',
      [...malloc, ...load('verify', '-D')],
      '-D is for randread, randwrite and randrw only, not verify',
    ],
  ])('%s', async (_, args, text) => {
    const { code, out, err } = await run(...args);
    expect(code).toBe(1);
    expect(err).toContain(text);
    expect(out).not.toContain('Latency(us)');
    expect(err).not.toMatch(/^ +at /m);
  });

  it('an empty configuration', async () => {
    const config = join(dir, 'empty.json');
    writeFileSync(config, '{"subsystems":[]}');
    const { code, err } = await run('-c', config, ...load('read'));
    expect(code).toBe(1);
    expect(err).toContain('there is no bdev to run on: make one with --bdev, or in the configuration (-c)');
  });
});

describe('signals', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)('%s ends the test and prints what was measured', async (signal) => {
    const output = join(dir, `${signal}.json`);
    const running = new Run([
      ...malloc,
      '-q',
      '8',
      '-o',
      '4k',
      '-w',
      'verify',
      '-t',
      '1000',
      '--json-output',
      output,
    ]);
    await running.until(/Running I\/O/);
    await new Promise((resolve) => setTimeout(resolve, 300));
    running.child.kill(signal);
    const outcome = await running.ended;
    expectRows(outcome, 'Malloc0');
    expect(outcome.out).toMatch(/^Received shutdown signal, test time was about \d+\.\d{6} seconds$/m);
    expect(JSON.parse(readFileSync(output, 'utf8')).results[0]).toMatchObject({
      status: 'terminated',
      io_failed: 0,
    });
  });
});

describe('perform_tests', () => {
  let running: Run;
  let client: RpcClient;
  let socket: string;

  const start = async (...args: string[]): Promise<void> => {
    socket = join(dir, 'rpc.sock');
    running = new Run(['-z', '-r', socket, ...args]);
    await running.until(/waiting for perform_tests/);
    client = await connectUnix(socket);
  };
  const stop = async (): Promise<Outcome> => {
    client.close();
    running.child.kill('SIGTERM');
    return await running.ended;
  };

  it('runs tests with what is given, again and again', async () => {
    await start(...malloc, '-q', '4', '-o', '4k', '-w', 'read', '-t', '1');
    expect(await client.call('perform_tests', {})).toMatchObject({
      results: [
        {
          ...{ job: 'Malloc0', core_mask: '0x1', workload: 'read', status: 'finished', queue_depth: 4 },
          ...{ io_size: 4096, io_failed: 0, io_timeout: 0 },
        },
      ],
      core_count: 1,
    });
    const changed = await client.call('perform_tests', {
      queue_depth: 2,
      io_size: '8k',
      workload_type: 'verify',
    });
    expect(changed).toMatchObject({
      results: [
        { workload: 'verify', queue_depth: 2, io_size: 8192, verify_range: { start: 0, length: 1024 } },
      ],
    });
    // what one call changes holds for the next
    const mixed = await client.call('perform_tests', { workload_type: 'randrw', rw_percentage: 30 });
    expect(mixed).toMatchObject({ results: [{ workload: 'randrw', percentage: 30, queue_depth: 2 }] });
    expect((await stop()).code).toBe(0);
    expect(running.out.match(/Running I\/O for 1 seconds\.\.\./g)).toHaveLength(3);
  });

  it('refuses what cannot be, and a second test at the same time', async () => {
    await start('-t', '1');
    await expect(client.call('perform_tests', {})).rejects.toMatchObject({
      code: -32602,
      message: 'No jobs defined or bdevs created',
    });
    await client.call('bdev_malloc_create', { name: 'M', block_size: 4096, num_blocks: 256 });
    await expect(client.call('perform_tests', { io_size: '1000' })).rejects.toMatchObject({ code: -32602 });
    await expect(client.call('perform_tests', { io_size: 'x' })).rejects.toThrow('io_size');
    await expect(client.call('perform_tests', { rw_percentage: 101 })).rejects.toThrow('rw_percentage');
    await expect(client.call('perform_tests', { workload_type: 'dance' } as never)).rejects.toThrow(
      'workload_type',
    );
    const first = client.call('perform_tests', { time_in_sec: 1 });
    await expect(client.call('perform_tests', {})).rejects.toMatchObject({ code: -32603 });
    expect(await first).toMatchObject({ results: [{ job: 'M', status: 'finished', workload: 'randread' }] });
    await client.call('bdev_malloc_delete', { name: 'M' });
    expect((await stop()).code).toBe(0);
  });

  it('ends the jobs of a bdev that is deleted', async () => {
    await start(...malloc, '-w', 'randread', '-t', '1000');
    const test = client.call('perform_tests', {});
    await running.until(/Running I\/O/);
    await client.call('bdev_malloc_delete', { name: 'Malloc0' });
    expect(await test).toMatchObject({ results: [{ job: 'Malloc0' }] });
    await stop();
  });

  it('answers a test that was ended by a signal, then ends', async () => {
    await start(...malloc, '-w', 'randread', '-t', '1000');
    const test = client.call('perform_tests', {});
    await running.until(/Running I\/O/);
    running.child.kill('SIGINT');
    expect(await test).toMatchObject({ results: [{ status: 'terminated' }] });
    expect((await running.ended).code).toBe(0);
  });

  it('answers a failed test with an error that carries the results, and ends with 1', async () => {
    await start(...nothing, '-w', 'verify', '-t', '10');
    await expect(client.call('perform_tests', {})).rejects.toMatchObject({
      code: -32603,
      message: expect.stringContaining('bdevperf failed with error Input/output error: data read at block'),
      data: { results: [{ status: 'failed' }] },
    });
    expect((await running.ended).code).toBe(1);
  });

  it("waits for the framework's start when told to", async () => {
    socket = join(dir, 'wait.sock');
    running = new Run(['--wait-for-rpc', '-r', socket, ...malloc, ...load('read')]);
    await running.until(/waiting for framework_start_init/);
    client = await connectUnix(socket);
    expect(running.out).toBe('');
    await client.call('framework_start_init', {});
    client.close();
    expectRows(await running.ended, 'Malloc0');
  });

  it.skipIf(spdk === undefined || !existsSync(join(spdk, 'examples/bdev/bdevperf/bdevperf.py')))(
    "works with SPDK's own client",
    async () => {
      await start(...malloc, '-q', '4', '-o', '4k', '-w', 'read', '-t', '1');
      const script = join(spdk!, 'examples/bdev/bdevperf/bdevperf.py');
      const args = [
        script,
        '-s',
        socket,
        'perform_tests',
        '-q',
        '3',
        '-o',
        '8k',
        '-w',
        'randrw',
        '-M',
        '40',
        '-t',
        '1',
      ];
      const out = await new Promise<string>((resolve, reject) => {
        execFile('python3', args, (error, stdout, stderr) =>
          error ? reject(new Error(stderr + stdout)) : resolve(stdout),
        );
      });
      expect(JSON.parse(out)).toMatchObject({
        results: [{ workload: 'randrw', percentage: 40, queue_depth: 3, io_size: 8192, status: 'finished' }],
      });
      expect((await stop()).code).toBe(0);
    },
  );
});
