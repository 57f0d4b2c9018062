import { closeSync, openSync, readSync } from 'node:fs';
import { type BdevIo, IoStatus } from '@spdk-ts/bdev';
import { attachSharedMemory, RegionTable } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import { describe, expect, it } from 'vitest';
import { MIB, start } from '../test/protected.ts';
import type { MallocContext } from './context.ts';

/** Bytes of pages that are there, of memory at an address: from the kernel's page map. */
function resident(address: number, bytes: number): number {
  const entries = Buffer.alloc((bytes / 4096) * 8);
  const file = openSync('/proc/self/pagemap', 'r');
  readSync(file, entries, 0, entries.length, (address / 4096) * 8);
  closeSync(file);
  let pages = 0;
  for (let at = 7; at < entries.length; at += 8) if ((entries[at]! & 0x80) !== 0) pages++;
  return pages * 4096;
}

describe.skipIf(native === null)('unmap of a malloc bdev', () => {
  it.each([
    [512, {}],
    [4096, { md_size: 8, dif_type: 1 }],
  ])('gives memory back to the system, blocks of %i bytes %o', async (block_size, more) => {
    const bed = await start();
    const bytes = 64 * MIB;
    const num_blocks = bytes / block_size;
    const name = await bed.rpc.call('bdev_malloc_create', { block_size, num_blocks, ...more });
    const channel = bed.channel(name);
    const { memory } = (channel.device.description.context as MallocContext).segments[0]!;
    const address = native!.memoryAddress((memory as { handle: number }).handle);
    expect(resident(address, bytes)).toBe(0);
    const stored = attachSharedMemory(memory);
    stored.fill(0x77);
    expect(resident(address, bytes)).toBe(bytes);
    let status = 0;
    const bdevIoDone = (io: BdevIo): void => {
      status = io.status;
      io.free();
    };
    // Little is only cleared; then all but the first and the last blocks, which is not at boundaries of pages.
    for (const [at, blocks] of [
      [3, (32 * 1024) / block_size],
      [1, num_blocks - 2],
    ] as const) {
      status = 0;
      const before = resident(address, bytes);
      expect(channel.unmapBlocks(at, blocks, { bdevIoDone })).toBe(0);
      while (status === 0) await bed.poll();
      expect(status).toBe(IoStatus.SUCCESS);
      const after = resident(address, bytes);
      if (blocks < 100) expect(after).toBe(before);
      else expect(after).toBe(8192);
    }
    for (let at = 0; at < bytes; at += block_size) {
      const kept = at === 0 || at === bytes - block_size;
      if (stored[at] !== (kept ? 0x77 : 0) || stored[at + block_size - 1] !== (kept ? 0x77 : 0))
        expect.fail(`block ${at / block_size}: ${stored[at]}`);
    }
  });

  it('does not tear pages from under a ring that has registered memory', () => {
    const regions = new RegionTable();
    regions.add(3, new Uint8Array(4096));
    expect(regions.pinnable(3)).toBe(true);
    regions.neverPin(3);
    expect(regions.pinnable(3)).toBe(false);
    regions.remove(3);
    expect(regions.pinnable(3)).toBe(true);
  });
});
