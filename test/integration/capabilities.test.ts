/** What the target says about the ways of doing I/O that it found, where they are and where they are refused. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { native } from '@spdk-ts/native';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { cleanUp, programs, run, temporaryDirectory } from './app-process.ts';
import { TcpTarget } from './nvmf-tcp-target.ts';

interface Capability {
  name: string;
  available: boolean;
  reason?: string;
  detail?: string;
}

const compiler = process.env['CC'] || 'cc';
const canCompile = spawnSync(compiler, ['--version']).status === 0;

/** Compiles a program into a folder that goes away after the tests. */
function compile(name: string): string {
  const source = fileURLToPath(new URL(`../host/${name}.c`, import.meta.url));
  const output = join(temporaryDirectory(), name);
  const { status, stderr } = spawnSync(compiler, ['-o', output, source], { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  return output;
}

let target: TcpTarget | null = null;
afterEach(async () => {
  await target?.stop();
  target = null;
});
afterAll(cleanUp);

async function ask(): Promise<Map<string, Capability>> {
  const { capabilities } = await target!.target.rpc('framework_get_capabilities');
  return new Map(capabilities.map((one: Capability) => [one.name, one]));
}

/** Features of io_uring, and what they need. */
const rings = ['io_uring', 'sock_uring', 'uring_deferred_taskrun', 'uring_zero_copy_send'];

describe('a target', () => {
  it('names everything that it knows of, each with a reason where it is absent', async () => {
    target = await TcpTarget.start();
    const found = await ask();
    for (const name of [...rings, 'kernel_aio', 'cpu_pinning', 'native_addon', 'sock_posix'])
      expect(found.has(name), name).toBe(true);
    for (const { name, available, reason } of found.values()) {
      expect(available, name).toBe(reason === undefined);
      expect(reason, name).not.toBe('');
    }
    expect(found.get('native_addon')!.available).toBe(native !== null);
    expect(target.target.output).toContain('I/O paths: ');
    for (const { reason } of found.values()) {
      if (reason === undefined) continue;
      const line = native === null ? found.get('native_addon')!.reason! : reason;
      expect(target.target.output).toContain(line);
    }
  });

  it('says that io_uring is switched off where it is', async () => {
    target = await TcpTarget.start({}, undefined, { args: ['--no-uring'] });
    const { available, reason } = (await ask()).get('io_uring')!;
    expect([available, reason]).toEqual([false, 'switched off']);
  });

  it.skipIf(native === null || !canCompile).each([
    ['EPERM, as containers do', 1, 'forbidden to this process: io_uring_setup: Operation not permitted'],
    ['ENOSYS, as old kernels do', 38, 'not in this kernel'],
  ])('serves over portable sockets where the kernel answers %s', async (_, errno, why) => {
    target = await TcpTarget.start({}, undefined, { under: [compile('refuse-rings'), String(errno)] });
    const found = await ask();
    for (const name of rings) {
      expect(found.get(name)!.available, name).toBe(false);
      expect(found.get(name)!.reason, name).toContain(why);
      expect(found.get(name)!.reason, name).toContain('seccomp');
    }
    expect(found.get('kernel_aio')).toMatchObject({ available: false });
    expect(found.get('native_addon')!.available).toBe(true);
    expect(target.target.output).toMatch(/sock_uring, bdev_uring are not available: /);
    await target.expectService();
  });
});

describe('ring sizes', () => {
  it.skipIf(native === null)('are what the command line asks for', async () => {
    const args = ['--uring-entries', '64', '--uring-cq-entries', '128'];
    target = await TcpTarget.start({}, undefined, { args });
    expect((await ask()).get('io_uring')!.detail).toContain('64 entries, 128 completions');
    expect(target.target.output).toContain('64 entries, 128 completions');
  });

  it.each<[string, string[], string]>([
    ['no power of two', ['--uring-entries', '100'], 'give a power of two from 1 to 32768'],
    ['more than the kernel takes', ['--uring-cq-entries', '131072'], 'give a power of two from 1 to 65536'],
    ['no number', ['--uring-entries', 'many'], 'give a power of two'],
    [
      'fewer completions than entries',
      ['--uring-cq-entries', '512'],
      'must not be less than --uring-entries',
    ],
  ])('are refused if they are %s', async (_, args, why) => {
    const { code, stderr } = await run(programs.spdkTs, 'tgt', '--no-rpc-server', ...args);
    expect(code).toBe(1);
    expect(stderr).toContain(why);
  });

  it('are options of both programs', async () => {
    for (const [program, ...args] of [[programs.spdkTs, 'tgt'], [programs.bdevperf]]) {
      const { stdout } = await run(program!, ...args, '--help');
      expect(stdout).toMatch(/--uring-entries <number>[\s\S]*--uring-cq-entries <number>/);
    }
  });
});
