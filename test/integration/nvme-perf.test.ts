/** nvme-perf as its users run it, against our target. */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { NQN, TcpTarget } from './nvmf-tcp-target.ts';

const program = fileURLToPath(new URL('../../apps/nvme-perf/bin/nvme-perf.js', import.meta.url));

let target: TcpTarget;
beforeAll(async () => {
  target = await TcpTarget.start();
});
afterAll(() => target?.stop());

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function run(
  args: readonly string[],
  onOutput: (all: string, kill: () => void) => void = () => {},
): Promise<Ran> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
    onOutput(out, () => child.kill('SIGINT'));
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err })));
}

const trid = (nqn: string | null = NQN): string =>
  `trtype:TCP adrfam:IPv4 traddr:127.0.0.1 trsvcid:${target.port}${nqn === null ? '' : ` subnqn:${nqn}`}`;

const rate = (out: string): number => Number(/^Total\s*:\s+([\d.]+)/m.exec(out)?.[1]);

it.each([
  ['randread', '4096', []],
  ['randwrite', '512', ['-P', '2', '-H', '-I']],
  ['randrw', '64k', ['-M', '30', '-O', '4096', '--disable-sq-flow-control']],
  ['write', '1M', ['-c', '[0,1]', '--use-every-core', '-a', '1']],
  ['read', '4k', ['-F', '0.8', '--fua', '-S', 'posix']],
])('loads with %s of %s %j', async (workload, size, more) => {
  const { code, out, err } = await run([
    '-q',
    '8',
    '-o',
    size,
    '-w',
    workload,
    '-t',
    '1',
    '-r',
    trid(),
    ...more,
  ]);
  expect(err).toBe('');
  expect(code, out).toBe(0);
  expect(out).toContain(
    'Initializing NVMe Controllers\nAttached to NVMeoF Controller at TCP (addr:127.0.0.1 ',
  );
  expect(out).toContain('Initialization complete. Launching workers.');
  expect(rate(out)).toBeGreaterThan(0);
});

it('finds subsystems by discovery, and does as many I/Os as it is told', async () => {
  const args = [
    '-q',
    '4',
    '-o',
    '4096',
    '-w',
    'randread',
    '-t',
    '60',
    '-d',
    '1000',
    '-L',
    '--transport-stats',
  ];
  const { code, out } = await run([...args, '-r', trid(null)]);
  expect(code, out).toBe(0);
  expect(out).toContain(
    `Associating TCP (addr:127.0.0.1 subnqn:${NQN}) NSID 1 with lcore ${availableParallelism() - 1}`,
  );
  expect(out).toContain('\tnvme_completions:   1000\n');
  expect(out).toMatch(/ 99\.99999% : +[\d.]+us/);
});

it('a signal ends the load, and what was measured is shown', async () => {
  let sent = false;
  const args = ['-q', '4', '-o', '4096', '-w', 'randread', '-t', '600', '-r', trid()];
  const { code, out } = await run(args, (all, kill) => {
    if (sent || !all.includes('Launching workers')) return;
    sent = true;
    setTimeout(kill, 300);
  });
  expect(code, out).toBe(0);
  expect(rate(out)).toBeGreaterThan(0);
});

it('says what is wrong', async () => {
  const args = ['-q', '4', '-w', 'randread', '-t', '1'];
  const odd = await run([...args, '-o', '516', '-r', trid()]);
  expect(odd.code).toBe(1);
  expect(odd.out).toContain('IO size 516 (-o) is not a multiple of nsid 1 sector size 512');
  expect(odd.err).toBe('nvme-perf: there is no namespace to run on\n');
  const nobody = await run([...args, '-o', '4k', '-r', trid('nqn.2026-11.io.spdk-ts:none')]);
  expect(nobody.code).toBe(1);
  expect(nobody.err).toMatch(/^nvme-perf: trtype:TCP .*: Connect to nqn.2026-11.io.spdk-ts:none failed: /);
  const missing = await run(['-q', '4']);
  expect(missing.code).toBe(1);
  expect(missing.err).toContain("required option '-o, --io-size <size>' not specified");
});
