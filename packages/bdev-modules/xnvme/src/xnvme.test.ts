import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { aioUnavailable, type FileContext } from '@spdk-ts/file-io';
import { setLogWriter } from '@spdk-ts/log';
import { native } from '@spdk-ts/native';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModuleBed, uringUnavailable } from '../../test/bed.ts';
import { againstModel } from '../../test/stack.ts';
import control from './index.ts';
import reactor from './reactor.ts';

const BYTES = 128 * 1024;
const unavailable: Record<string, string> = { libaio: aioUnavailable(), io_uring: uringUnavailable };
const here = ['libaio', 'io_uring'].filter((name) => unavailable[name] === '');
for (const [name, why] of Object.entries(unavailable))
  if (why !== '') console.log(`no tests of xnvme over ${name}: ${why}`);

let folder = '';
let before: (line: string) => void;
const path = (file = 'disk'): string => join(folder, file);
const start = (uring = uringUnavailable === ''): Promise<ModuleBed> =>
  ModuleBed.start(control, reactor, { uring });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bdev-xnvme-'));
  writeFileSync(path(), Buffer.alloc(BYTES));
  before = setLogWriter(() => {});
});
afterEach(() => {
  setLogWriter(before);
  rmSync(folder, { recursive: true });
});

describe.each(here)('xnvme bdev over %s', (io_mechanism) => {
  const create = (bed: ModuleBed, params: Record<string, unknown> = {}): Promise<string> =>
    bed.rpc.call('bdev_xnvme_create', { name: 'X', filename: path(), io_mechanism, ...params });

  it.each([true, false])('does every I/O type as the model does: conserve_cpu %s', async (conserve_cpu) => {
    const bed = await start();
    await create(bed, { conserve_cpu });
    const channel = bed.channel('X');
    await againstModel(bed, channel, { numRuns: 8 });
    expect(readFileSync(path()).length).toBe(BYTES);
    channel.put();
    expect(await bed.until(bed.rpc.call('bdev_xnvme_delete', { name: 'X' }))).toBe(true);
    await expect(bed.rpc.call('bdev_xnvme_delete', { name: 'X' })).rejects.toMatchObject({ code: -19 });
  });

  it('tells whether it is polled, or why not, and is saved as the call that makes it again', async () => {
    const bed = await start();
    await create(bed, { block_size: 4096, conserve_cpu: true });
    const info = bed.bdevs.info(bed.bdevs.get('X')!);
    expect(info.product_name).toBe('xNVMe bdev');
    expect(info.driver_specific).toEqual({
      xnvme: {
        ...{ filename: path(), io_mechanism, conserve_cpu: true },
        ...{ polled: false, not_polled: 'conserve_cpu is true' },
      },
    });
    const config = bed.bdevs.config();
    expect(config[1]).toMatchObject({
      method: 'bdev_xnvme_create',
      params: { name: 'X', filename: path(), io_mechanism, conserve_cpu: true, block_size: 4096 },
    });
    await bed.until(bed.bdevs.stop());
    const again = await start();
    await again.rpc.call('bdev_xnvme_create', config[1]!.params as never);
    expect(again.bdevs.config()).toEqual(config);
    await again.until(again.bdevs.stop());
    await create(again);
    const xnvme = again.bdevs.info(again.bdevs.get('X')!).driver_specific['xnvme'] as Record<string, unknown>;
    // Polled only where the device under this folder can be: else there is a reason.
    expect(xnvme['polled'] === true).toBe(xnvme['not_polled'] === undefined);
    if (io_mechanism === 'libaio') expect(xnvme['not_polled']).toContain('no polled completions');
    expect(again.bdevs.get('X')!.block_size).toBe(512);
    await again.until(again.bdevs.stop());
  });

  it('says what to change when it cannot be made, and leaves nothing open', async () => {
    const bed = await start();
    const descriptors = (): number => readdirSync('/proc/self/fd').length;
    const open = descriptors();
    const wrong: [Record<string, unknown>, number, RegExp][] = [
      [{ filename: path('none') }, -2, /filename ".*none" cannot be opened/],
      [{ filename: folder }, -21, /Is a directory/],
      [{ filename: '/dev/null' }, -22, /neither a regular file nor a block device/],
      [{ block_size: 1000 }, -22, /block_size is 1000; give a power of two/],
      [{ io_mechanism: 'posix' }, -22, /io_mechanism is "posix"; give one of libaio, io_uring, io_uring_cmd/],
    ];
    for (const [params, code, message] of wrong)
      await expect(create(bed, params), String(message)).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message),
      });
    expect(descriptors()).toBe(open);
    await create(bed);
    expect((bed.bdevs.get('X')!.context as FileContext).filename).toBe(path());
    await expect(create(bed)).rejects.toMatchObject({ code: -17 });
    await expect(create(bed, { name: 'Y' })).rejects.toMatchObject({ code: -16 });
    await bed.until(bed.bdevs.stop());
  });
});

describe.skipIf(native === null || uringUnavailable !== '')('xnvme bdev over io_uring_cmd', () => {
  it('wants the generic device of a namespace, and leaves nothing else open', async () => {
    const bed = await start();
    const descriptors = (): number => readdirSync('/proc/self/fd').length;
    const open = descriptors();
    const wrong: [string, number, RegExp][] = [
      [path(), -22, /is no character device, which io_uring_cmd needs; give .*\/dev\/ng0n1/],
      ['/dev/null', -22, /"\/dev\/null" is no namespace's device; give .*\/dev\/ng0n1/],
      [path('ng9n9'), -2, /cannot be opened/],
    ];
    for (const [filename, code, message] of wrong)
      await expect(
        bed.rpc.call('bdev_xnvme_create', { name: 'X', filename, io_mechanism: 'io_uring_cmd' }),
      ).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    expect(descriptors()).toBe(open);
  });
});

describe('xnvme bdev without a ring', () => {
  it.each(['io_uring', 'io_uring_cmd'])('is refused over %s, with the reason', async (io_mechanism) => {
    const bed = await start(false);
    await expect(
      bed.rpc.call('bdev_xnvme_create', { name: 'X', filename: path(), io_mechanism }),
    ).rejects.toMatchObject({
      code: -95,
      message: expect.stringMatching(/cannot use io_uring.*have no io_uring.*use bdev_file_create/),
    });
  });
});
