import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { aioUnavailable } from '@spdk-ts/file-io';
import { describe, expect, it } from 'vitest';
import { ModuleBed, uringUnavailable } from '../../test/bed.ts';
import { directSuite } from '../../test/direct-suite.ts';
import control from './index.ts';
import reactor from './reactor.ts';

const unavailable = aioUnavailable();
const rings = uringUnavailable === '' ? [false, true] : [false];
if (unavailable === '')
  directSuite({ name: 'aio', control, reactor, holes: { fallocate: true }, rings, aborts: false });
else console.log(`no tests of aio bdevs: ${unavailable}`);

describe('aio bdev', () => {
  it.skipIf(unavailable === '')(
    'is refused where there is no AIO, with the reason and what to do',
    async () => {
      const bed = await ModuleBed.start(control, reactor);
      const params = { name: 'A', filename: '/etc/passwd', block_size: 512 };
      await expect(bed.rpc.call('bdev_aio_create', params)).rejects.toMatchObject({
        code: -95,
        message: expect.stringMatching(/^Operation not supported: .*use bdev_file_create/),
      });
    },
  );

  it.skipIf(unavailable !== '')('unmaps only with fallocate; tells its options, and saves them', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bdev-aio-'));
    const filename = join(folder, 'disk');
    writeFileSync(filename, Buffer.alloc(8192));
    const bed = await ModuleBed.start(control, reactor);
    const types = (name: string) => bed.bdevs.info(bed.bdevs.get(name)!).supported_io_types;
    await bed.rpc.call('bdev_aio_create', { name: 'A', filename, block_size: 512, nowait: true });
    expect(types('A')).toMatchObject({
      read: true,
      write: true,
      write_zeroes: true,
      unmap: false,
      flush: true,
    });
    const info = bed.bdevs.info(bed.bdevs.get('A')!);
    expect(info.product_name).toBe('AIO disk');
    expect(info.driver_specific).toMatchObject({
      aio: { filename, block_size_override: true, readonly: false, fallocate: false, nowait: true },
    });
    expect(bed.bdevs.config()[1]).toMatchObject({
      method: 'bdev_aio_create',
      params: { name: 'A', filename, block_size: 512, readonly: false, fallocate: false, nowait: true },
    });
    await bed.until(bed.rpc.call('bdev_aio_delete', { name: 'A' }));
    await bed.rpc.call('bdev_aio_create', { name: 'A', filename, block_size: 512, fallocate: true });
    expect(types('A')).toMatchObject({ unmap: true });
    await bed.until(bed.bdevs.stop());
    rmSync(folder, { recursive: true });
  });
});
