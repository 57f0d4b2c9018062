import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BdevIo, IoStatus } from '@spdk-ts/bdev';
import { describe, expect, it } from 'vitest';
import { ModuleBed, uringUnavailable } from '../../test/bed.ts';
import { directSuite } from '../../test/direct-suite.ts';
import control from './index.ts';
import reactor from './reactor.ts';

if (uringUnavailable === '')
  directSuite({ name: 'uring', control, reactor, holes: {}, rings: [true], aborts: true });
else console.log(`no tests of uring bdevs: ${uringUnavailable}`);

/** Reads, writes and flushes the file of fives that bdev U is of. */
async function doesIo(bed: ModuleBed, filename: string): Promise<void> {
  const channel = bed.channel('U');
  const { region, bytes } = bed.host.local[0]!.buffers;
  let done = 0;
  const owner = {
    bdevIoDone(io: BdevIo) {
      expect(io.status).toBe(IoStatus.SUCCESS);
      io.free();
      done++;
    },
  };
  channel.readBlocks(region, 8192, 3, 2, owner);
  channel.writeBlocks(region, 0, 1, 1, owner);
  channel.flushBlocks(0, 16, owner);
  while (done < 3) await bed.poll();
  expect([bytes[8192], bytes[16_383], readFileSync(filename)[4096]]).toEqual([5, 5, 0]);
  channel.put();
}

describe.skipIf(uringUnavailable !== '')('uring bdev with io_poll', () => {
  it('polls where the device can be polled; says so where it cannot, and leaves the file alone', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bdev-uring-'));
    const filename = join(folder, 'disk');
    writeFileSync(filename, Buffer.alloc(65_536, 5));
    const bed = await ModuleBed.start(control, reactor, { uring: true });
    const params = { name: 'U', filename, block_size: 4096 };
    const made = await bed.rpc
      .call('bdev_uring_create', { ...params, io_poll: true })
      .catch((e: unknown) => e);
    if (made !== 'U') {
      console.log(`no device to be polled here: ${(made as Error).message}`);
      expect(made).toMatchObject({ code: -95, message: expect.stringContaining('leave io_poll out') });
      await bed.rpc.call('bdev_uring_create', params);
    }
    await doesIo(bed, filename);
    await bed.until(bed.bdevs.stop());
    rmSync(folder, { recursive: true });
  });
});

describe.skipIf(uringUnavailable !== '')('uring bdev with sq_poll', () => {
  it('is saved so, told so, and not made with io_poll at once', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bdev-uring-'));
    const filename = join(folder, 'disk');
    writeFileSync(filename, Buffer.alloc(65_536, 5));
    const bed = await ModuleBed.start(control, reactor, { uring: true });
    const params = { name: 'U', filename, block_size: 4096, sq_poll: true };
    await expect(bed.rpc.call('bdev_uring_create', { ...params, io_poll: true })).rejects.toMatchObject({
      code: -22,
      message: expect.stringContaining('leave one out'),
    });
    await bed.rpc.call('bdev_uring_create', params);
    expect((await bed.rpc.call('bdev_get_bdevs', { name: 'U' }))[0]).toMatchObject({
      driver_specific: { uring: { sq_poll: true, io_poll: false } },
    });
    await doesIo(bed, filename);
    await bed.until(bed.bdevs.stop());
    rmSync(folder, { recursive: true });
  });
});

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
