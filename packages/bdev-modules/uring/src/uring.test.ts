import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ModuleBed, uringUnavailable } from '../../test/bed.ts';
import { directSuite } from '../../test/direct-suite.ts';
import control from './index.ts';
import reactor from './reactor.ts';

if (uringUnavailable === '')
  directSuite({ name: 'uring', control, reactor, holes: {}, rings: [true], aborts: true });
else console.log(`no tests of uring bdevs: ${uringUnavailable}`);

describe('uring bdev without a ring', () => {
  it('is refused, with the reason and what to do', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bdev-uring-'));
    writeFileSync(join(folder, 'disk'), Buffer.alloc(8192));
    const bed = await ModuleBed.start(control, reactor);
    const params = { name: 'U', filename: join(folder, 'disk'), block_size: 512 };
    await expect(bed.rpc.call('bdev_uring_create', params)).rejects.toMatchObject({
      code: -95,
      message: expect.stringMatching(
        /^Operation not supported: .*reactors that share a thread have none.*use bdev_file_create/,
      ),
    });
    rmSync(folder, { recursive: true });
  });
});
