import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IoStatus, KvStatus } from '@spdk-ts/bdev';
import file from '@spdk-ts/bdev-file';
import uring from '@spdk-ts/bdev-uring';
import { afterAll, describe, expect, it } from 'vitest';
import { loadReactorPlugin, ModuleBed, uringUnavailable } from '../../test/bed.ts';
import { KvUser, valueBytes } from '../../test/kv-model.ts';
import control from './index.ts';
import reactorHalf from './reactor.ts';

const MIB = 1024 * 1024;
const folder = mkdtempSync(join(tmpdir(), 'spdk-ts-kv-'));
afterAll(() => rmSync(folder, { recursive: true }));

const kinds = [
  { title: 'file bdev over node:fs', base: file, method: 'bdev_file_create', uring: false },
  { title: 'file bdev over io_uring', base: file, method: 'bdev_file_create', uring: true },
  { title: 'uring bdev', base: uring, method: 'bdev_uring_create', uring: true },
] as const;

describe.each(kinds)('a key-value log on a $title', ({ base, method, uring: ring }) => {
  it.skipIf(ring && uringUnavailable !== '')(
    'is there again for the next process',
    { timeout: 60_000 },
    async () => {
      const filename = join(folder, `${method}-${ring}`);
      writeFileSync(filename, '');
      truncateSync(filename, 32 * MIB);
      const model = new Map<string, Buffer>();
      for (let life = 0; life < 3; life++) {
        const bed = await ModuleBed.startAll(
          [
            [base, await loadReactorPlugin(base.reactorEntry)],
            [control, reactorHalf],
          ],
          { uring: ring },
        );
        if (method === 'bdev_file_create')
          await bed.rpc.call(method, { filename, name: 'F', block_size: 512, size: 32 * MIB });
        else await bed.rpc.call(method, { filename, name: 'F', block_size: 4096 });
        await bed.until(
          bed.rpc.call('bdev_kv_create', { name: 'K', base_bdev_name: 'F', max_value_len: 200_000 }),
        );
        const area = bed.host.allocateRegionId();
        const user = new KvUser(bed.host.local[0]!, bed.channel('K'), area, bed.poll, MIB);
        await user.check(model);
        for (let i = 0; i < 120; i++) {
          const key = `key${(i * 7 + life) % 50}`;
          // Now and then larger than any buffer of the pool.
          const value = valueBytes(i % 10 === 0 ? 180_000 : i * 31, i + life);
          const result = await user.store(key, value, 0, i % 3 === 0 ? 100 : 0, i % 2 === 0);
          expect(result).toMatchObject({ status: IoStatus.SUCCESS, sc: 0 });
          model.set(key, value);
        }
        expect((await user.delete(`key${life}`)).status).toBe(IoStatus.SUCCESS);
        model.delete(`key${life}`);
        expect((await user.retrieve(`key${life}`, 10)).sc).toBe(KvStatus.KEY_DOES_NOT_EXIST);
        expect((await user.flush()).status).toBe(IoStatus.SUCCESS);
        await user.check(model);
        user.channel.put();
        await bed.until(bed.bdevs.stop());
      }
    },
  );
});
