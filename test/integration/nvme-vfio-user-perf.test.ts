/** nvme-perf, nvme-identify and nvme-ts over vfio-user, as their users run them: queues on several reactors of another process. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { native } from '@spdk-ts/native';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DeviceModel, MODEL_NQN, type ModelOptions } from '../nvme-host/device-model.ts';

const program = (path: string): string => fileURLToPath(new URL(`../../apps/${path}`, import.meta.url));

function run(path: string, ...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [program(path), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err })));
}

// vfio-user passes descriptors of memory, which only the addon can.
describe.skipIf(native === null)('over vfio-user', () => {
  let model: DeviceModel;
  const begin = (options: ModelOptions): void => {
    model.stop();
    model = new DeviceModel(options);
  };
  beforeEach(() => {
    model = new DeviceModel();
  });
  afterEach(() => model.stop());

  it.each([
    ['mapped', {}, ['-w', 'randread', '-o', '4096']],
    ['shadow', { mappable: false, shadow: true }, ['-w', 'randrw', '-M', '50', '-o', '512', '-P', '2']],
    ['trapped', { mappable: false }, ['-w', 'write', '-o', '131072', '-O', '4096']],
  ] as const)('nvme-perf on two reactors, doorbells %s', async (kind, options, args) => {
    begin(options);
    const { code, out, err } = await run(
      'nvme-perf/bin/nvme-perf.js',
      ...['-q', '16', '-t', '1', '-c', '[0,1]', '--transport-stats', ...args],
      ...['-r', model.transportId],
    );
    expect(err).toBe('');
    expect(code, out).toBe(0);
    expect(out).toContain(`VFIOUSER (addr:${model.folder} subnqn:${MODEL_NQN})`);
    const counts = (name: string): number[] =>
      [...out.matchAll(new RegExp(`\\t${name}:\\s+(\\d+)`, 'g'))].map(([, text]) => Number(text));
    const [completed, copied] = [counts('nvme_completions'), counts('copied_requests')];
    expect(completed.length).toBe(2);
    expect(Math.min(...completed)).toBeGreaterThan(0);
    expect(out.match(/\tdoorbells:\s+(\w+)/)?.[1]).toBe(kind);
    // Data are in place, but for the first commands.
    for (const [i, many] of copied.entries())
      expect(many).toBeLessThanOrEqual(Math.max(64, completed[i]! / 10));
    for (const name of ['mapped', 'shadow', 'trapped'])
      expect(
        counts(`${name}_doorbells`).every((count) => count > 0),
        name,
      ).toBe(name === kind || (name === 'trapped' && kind !== 'mapped'));
    expect([model.queues, model.shutDown]).toEqual([0, true]);
  });

  it('nvme-perf tells why it cannot go on', async () => {
    const running = run(
      'nvme-perf/bin/nvme-perf.js',
      ...['-q', '16', '-o', '4096', '-w', 'read', '-t', '30', '-r', model.transportId],
    );
    await expect.poll(() => model.prps, { timeout: 20_000 }).toBeGreaterThan(1000);
    model.drop();
    const { code, out, err } = await running;
    expect(code).toBe(1);
    expect(out + err).toMatch(
      /Read of 8 blocks at LBA \d+ of .* failed: .*the server has closed the connection/,
    );
  });

  it('nvme-identify and nvme-ts', async () => {
    const identify = await run('nvme/bin/nvme-identify.js', model.transportId);
    expect([identify.err, identify.code]).toEqual(['', 0]);
    expect(identify.out).toContain(MODEL_NQN);
    const listed = await run('nvme/bin/nvme-ts.js', 'list-ns', model.transportId);
    expect([listed.err, listed.code]).toEqual(['', 0]);
    expect(listed.out).toMatch(/\[\s*0\]:\s*0x1/);
    const missing = await run('nvme/bin/nvme-ts.js', 'id-ctrl', 'trtype:VFIOUSER traddr:/nowhere');
    expect(missing.code).not.toBe(0);
    expect(missing.err).toMatch(/nowhere\/cntrl: .*No such file/);
  });
});
