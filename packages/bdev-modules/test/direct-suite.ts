/** What the modules over files with direct I/O have in common, tested through their RPCs. */

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type BdevControlPlugin,
  type BdevIo,
  type BdevIoOwner,
  IoStatus,
  IoType,
  IoVec,
} from '@spdk-ts/bdev';
import { createFileBdev, type FileContext } from '@spdk-ts/file-io';
import { setLogWriter } from '@spdk-ts/log';
import type { ReactorPlugin } from '@spdk-ts/reactor';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModuleBed } from './bed.ts';
import { Modelled, pattern, type Step, steps } from './model.ts';

const MIB = 1024 * 1024;

export interface DirectModule {
  readonly name: 'aio' | 'uring';
  readonly control: BdevControlPlugin;
  readonly reactor: ReactorPlugin;
  /** Parameters with which it makes holes. */
  readonly holes: Record<string, unknown>;
  /** The reactors have rings: which of both is tested. */
  readonly rings: readonly boolean[];
  /** Whether it can end I/O early. */
  readonly aborts: boolean;
}

class Ends implements BdevIoOwner {
  statuses: number[] = [];
  codes: [number, number][] = [];
  bdevIoDone(io: BdevIo): void {
    this.statuses.push(io.status);
    this.codes.push([io.sct, io.sc]);
    io.free();
  }
}

/** Parameters without those that are undefined. */
const given = (params: Record<string, unknown>): never => JSON.parse(JSON.stringify(params)) as never;

/** A loop device over a file, or why there is none. */
function loopDevice(path: string, block_size: number): { device: string; why: string } {
  if (!existsSync('/dev/loop-control')) return { device: '', why: 'no /dev/loop-control' };
  const made = spawnSync('losetup', ['-f', '--show', '-b', String(block_size), path], { encoding: 'utf8' });
  if (made.status !== 0) return { device: '', why: made.error?.message ?? made.stderr.trim() };
  return { device: made.stdout.trim(), why: '' };
}

export function directSuite(module: DirectModule): void {
  const { name, control, reactor: half } = module;
  const create = `bdev_${name}_create` as 'bdev_aio_create';
  const remove = `bdev_${name}_delete` as 'bdev_aio_delete';
  const rescan = `bdev_${name}_rescan` as 'bdev_aio_rescan';
  let folder = '';
  let log: string[] = [];
  let before: (line: string) => void;
  const path = (file = 'disk'): string => join(folder, file);

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), `bdev-${name}-`));
    log = [];
    before = setLogWriter((line) => void log.push(line));
  });
  afterEach(() => {
    setLogWriter(before);
    rmSync(folder, { recursive: true });
  });

  describe.each(module.rings)(`${name} bdev, rings: %s`, (uring) => {
    const start = (count = 1): Promise<ModuleBed> => ModuleBed.start(control, half, { uring, count });

    async function disk(bed: ModuleBed, params: Record<string, unknown> = {}, bytes = MIB): Promise<void> {
      if (!existsSync(path())) writeFileSync(path(), Buffer.alloc(bytes));
      const call = given({ name: 'D', filename: path(), block_size: 512, ...module.holes, ...params });
      expect(await bed.rpc.call(create, call)).toBe('D');
    }

    const types: Step['type'][] = [
      ...(['write', 'read', 'readPlace', 'zeroes', 'unmap', 'copy', 'compare', 'flush'] as const),
    ];
    async function model(bed: ModuleBed, list: readonly Step['type'][]): Promise<void> {
      const channel = bed.channel('D');
      const modelled = new Modelled(bed.host.local[0]!, channel, bed.host.allocateRegionId(), bed.poll);
      await fc.assert(
        fc.asyncProperty(steps(channel.num_blocks, channel.num_blocks, list), async (run) => {
          for (const step of run) await modelled.run(step);
          await modelled.check();
          expect(Buffer.compare(readFileSync(path()), modelled.model)).toBe(0);
        }),
        { numRuns: 10 },
      );
    }

    it.each([512, 4096])(
      'does every I/O type as the model does, aligned or not, and the file holds it: blocks of %i',
      async (block_size) => {
        const bed = await start();
        await disk(bed, { block_size }, 128 * 1024);
        await model(bed, types);
      },
    );

    it('does so through the page cache, too', async () => {
      const bed = await start();
      writeFileSync(path(), Buffer.alloc(128 * 1024));
      const description = await createFileBdev(bed.bdevs, {
        ...{ module: name, product_name: 'test', name: 'D', filename: path(), block_size: 512 },
        ...{ readonly: false, direct: false, ranges: true, more: module.holes },
      });
      expect((description.context as FileContext).direct).toBe(false);
      await model(bed, types);
    });

    it.runIf(name === 'aio')('does so without waiting in the kernel, into holes, too', async () => {
      const bed = await start();
      writeFileSync(path(), '');
      truncateSync(path(), 128 * 1024);
      await disk(bed, { nowait: true });
      await model(bed, types);
    });

    it('reads and writes its registered and aligned buffers, many at once, from several reactors', async () => {
      const bed = await start(2);
      await disk(bed, {}, 4 * MIB);
      const ends = new Ends();
      const many = 200;
      for (let index = 0; index < 2; index++) {
        const { buffers } = bed.host.local[index]!;
        const channel = bed.channel('D', index);
        for (let i = 0; i < many; i++) {
          const buffer = buffers.get(512);
          pattern(buffers.bytes.subarray(buffer, buffer + 512), index * 1000 + i);
          expect(channel.writeBlocks(buffers.region, buffer, index * 2048 + i, 1, ends)).toBe(0);
        }
      }
      while (ends.statuses.length < 2 * many) await bed.poll();
      expect(new Set(ends.statuses)).toEqual(new Set([IoStatus.SUCCESS]));
      const bytes = readFileSync(path());
      const expected = new Uint8Array(512);
      for (let index = 0; index < 2; index++)
        for (let i = 0; i < many; i++) {
          pattern(expected, index * 1000 + i);
          const at = (index * 2048 + i) * 512;
          expect(Buffer.compare(bytes.subarray(at, at + 512), expected)).toBe(0);
        }
    });

    it('queues what is more than it takes at once', async () => {
      const bed = await start();
      await disk(bed, {}, 4 * MIB);
      const channel = bed.channel('D');
      const ends = new Ends();
      const { region } = bed.host.local[0]!.buffers;
      for (let i = 0; i < 2000; i++) expect(channel.readBlocks(region, (i % 64) * 8192, i, 1, ends)).toBe(0);
      while (ends.statuses.length < 2000) await bed.poll();
      expect(new Set(ends.statuses)).toEqual(new Set([IoStatus.SUCCESS]));
    });

    it('gives disk space back on unmap, and keeps zeroed ranges allocated or written', async () => {
      const bed = await start();
      await disk(bed, {}, 8 * MIB);
      const channel = bed.channel('D');
      const ends = new Ends();
      channel.unmapBlocks(0, channel.num_blocks, ends);
      while (ends.statuses.length < 1) await bed.poll();
      expect(statSync(path()).blocks * 512).toBeLessThan(MIB);
      expect(statSync(path()).size).toBe(8 * MIB);
      channel.writeZeroesBlocks(0, channel.num_blocks, ends);
      while (ends.statuses.length < 2) await bed.poll();
      expect(ends.statuses).toEqual([IoStatus.SUCCESS, IoStatus.SUCCESS]);
      expect(readFileSync(path()).every((byte) => byte === 0)).toBe(true);
    });

    it('keeps its identity, whatever the file is called, and is saved so that it can be made again', async () => {
      const bed = await start();
      await disk(bed, { block_size: 4096 });
      const { uuid } = bed.bdevs.get('D')!;
      const config = bed.bdevs.config();
      const { driver_specific } = bed.bdevs.info(bed.bdevs.get('D')!);
      expect(driver_specific[name]).toMatchObject({ filename: path() });
      expect(await bed.until(bed.rpc.call(remove, { name: 'D' }))).toBe(true);
      const again = await start();
      await again.rpc.call(config[1]!.method, config[1]!.params);
      expect(again.bdevs.config()).toEqual(config);
      await again.until(again.bdevs.stop());
      symlinkSync(path(), path('link'));
      await again.rpc.call(create, { name: 'E', filename: path('link'), block_size: 512 });
      expect(again.bdevs.get('E')!.uuid).toBe(uuid);
      await again.until(again.bdevs.stop());
    });

    it('says what to change when it cannot be made, and leaves nothing open', async () => {
      writeFileSync(path('odd'), Buffer.alloc(1000));
      writeFileSync(path('empty'), '');
      writeFileSync(path(), Buffer.alloc(MIB));
      const bed = await start();
      const make = (params: Record<string, unknown>) =>
        bed.rpc.call(create, given({ name: 'F', filename: path(), block_size: 512, ...params }));
      const wrong: [Record<string, unknown>, number, RegExp][] = [
        [{ filename: path('none') }, -2, /^No such file or directory: filename ".*none"/],
        [{ filename: folder }, -21, /Is a directory/],
        [{ filename: '/dev/null' }, -22, /neither a regular file nor a block device/],
        [{ block_size: undefined }, -22, /block_size was not given, and filename ".*" is a regular file/],
        [{ block_size: 1000 }, -22, /block_size is 1000; give a power of two/],
        [{ filename: path('odd') }, -22, /1000 bytes, not a multiple of block_size 512/],
        [{ filename: path('empty') }, -22, /has no bytes/],
      ];
      const descriptors = (): number => readdirSync('/proc/self/fd').length;
      const open = descriptors();
      for (const [params, code, message] of wrong)
        await expect(make(params), String(message)).rejects.toMatchObject({
          code,
          message: expect.stringMatching(message),
        });
      expect(descriptors()).toBe(open);
      await make({});
      await expect(make({})).rejects.toMatchObject({ code: -17 });
      await expect(make({ name: 'G' })).rejects.toMatchObject({ code: -16 });
      await expect(bed.rpc.call(remove, { name: 'H' })).rejects.toMatchObject({ code: -19 });
      await expect(bed.rpc.call(rescan, { name: 'H' })).rejects.toMatchObject({ code: -19 });
      // The lock goes with the bdev, whatever else still holds the file.
      for (let i = 0; i < 5; i++) {
        await bed.until(bed.rpc.call(remove, { name: 'F' }));
        await make({});
      }
    });

    it('refuses writes when it is read-only', async () => {
      writeFileSync(path(), Buffer.alloc(8192, 3));
      chmodSync(path(), 0o400);
      const bed = await start();
      await disk(bed, { readonly: true });
      const channel = bed.channel('D');
      const ends = new Ends();
      const { region, bytes } = bed.host.local[0]!.buffers;
      expect(channel.writeBlocks(region, 0, 0, 1, ends)).toBe(-1);
      expect(channel.writeZeroesBlocks(0, 1, ends)).toBe(-1);
      expect(channel.readBlocks(region, 0, 0, 16, ends)).toBe(0);
      while (ends.statuses.length < 1) await bed.poll();
      expect([ends.statuses[0], bytes[8191]]).toEqual([IoStatus.SUCCESS, 3]);
      expect(bed.bdevs.config()[1]!.params).toMatchObject({ readonly: true });
    });

    it('takes over the size of the file when it is told to look', async () => {
      const bed = await start();
      await disk(bed);
      truncateSync(path(), 3 * MIB + 100);
      expect(await bed.rpc.call(rescan, { name: 'D' })).toBe(true);
      expect(bed.bdevs.get('D')!.num_blocks).toBe((3 * MIB) / 512);
      const descriptor = bed.bdevs.open('D', { write: true, owner: { name: 'x', onEvent() {} } });
      truncateSync(path(), MIB);
      await expect(bed.rpc.call(rescan, { name: 'D' })).rejects.toMatchObject({ code: -16 });
      await descriptor.close();
      await bed.rpc.call(rescan, { name: 'D' });
      expect(bed.bdevs.get('D')!.num_blocks).toBe(MIB / 512);
      truncateSync(path(), 0);
      await expect(bed.rpc.call(rescan, { name: 'D' })).rejects.toMatchObject({ code: -22 });
    });

    it('fails reads of what somebody cut off, and says so', async () => {
      const bed = await start();
      await disk(bed);
      truncateSync(path(), 8192 + 100);
      const channel = bed.channel('D');
      const ends = new Ends();
      const { region } = bed.host.local[0]!.buffers;
      for (const [at, blocks] of [
        [32, 1],
        [16, 1],
        [14, 8],
        [15, 1],
      ]) {
        const count = ends.statuses.length;
        channel.readBlocks(region, 0, at!, blocks!, ends);
        while (ends.statuses.length === count) await bed.poll();
      }
      const { FAILED, SUCCESS } = IoStatus;
      expect(ends.statuses).toEqual([FAILED, FAILED, FAILED, SUCCESS]);
      expect(log.join()).toContain('the file ends there');
    });

    it('tells a full disk from a broken one, and goes on when there is room again', async () => {
      const small = path('small');
      mkdirSync(small);
      const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', small], {
        encoding: 'utf8',
      });
      if (mounted.status !== 0) {
        console.log(`no test of ${name} on a full disk: ${mounted.error?.message ?? mounted.stderr.trim()}`);
        return;
      }
      try {
        const filename = join(small, 'disk');
        writeFileSync(filename, '');
        truncateSync(filename, MIB);
        const bed = await start();
        await disk(bed, { filename });
        const channel = bed.channel('D');
        const ends = new Ends();
        const { region } = bed.host.local[0]!.buffers;
        const write = async (at: number): Promise<void> => {
          const count = ends.statuses.length;
          channel.writeBlocks(region, 0, at, 128, ends);
          while (ends.statuses.length === count) await bed.poll();
        };
        await write(0);
        await write(1024);
        expect(ends.codes).toEqual([
          [0, 0],
          [0, 0x81],
        ]);
        expect(log.join()).toContain('ENOSPC');
        spawnSync('mount', ['-o', 'remount,size=1m', small]);
        await write(1024);
        expect(ends.statuses).toEqual([IoStatus.SUCCESS, IoStatus.NVME_ERROR, IoStatus.SUCCESS]);
        channel.put();
        await bed.until(bed.rpc.call(remove, { name: 'D' }));
      } finally {
        spawnSync('umount', ['-l', small]);
      }
    });

    it('fails every flush after one has failed: the kernel has dropped what it could not write', async () => {
      const bed = await start();
      await disk(bed);
      const channel = bed.channel('D');
      const ends = new Ends();
      channel.flushBlocks(0, 1, ends);
      while (ends.statuses.length < 1) await bed.poll();
      new Int32Array((bed.bdevs.get('D')!.context as FileContext).flushFailed)[0] = 1;
      channel.flushBlocks(0, 1, ends);
      while (ends.statuses.length < 2) await bed.poll();
      const io = channel.getIo()!;
      Object.assign(io, {
        type: IoType.WRITE,
        region: 0,
        length: 512,
        num_blocks: 1,
        owner: ends,
        fua: true,
      });
      expect(channel.submit(io)).toBe(0);
      while (ends.statuses.length < 3) await bed.poll();
      expect(ends.statuses).toEqual([IoStatus.SUCCESS, IoStatus.FAILED, IoStatus.FAILED]);
    });

    it('does gather lists longer than the kernel takes at once', async () => {
      const bed = await start();
      await disk(bed, {}, 4 * MIB);
      const channel = bed.channel('D');
      const reactor = bed.host.local[0]!;
      const { buffers } = reactor;
      const region = buffers.region;
      const ends = new Ends();
      const iovs = new IoVec(1500);
      // Pieces backwards, so that none follows on the one before.
      for (let i = 0; i < 1500; i++) iovs.push(region, (1499 - i) * 512, 512);
      pattern(buffers.bytes.subarray(0, 1500 * 512), 77);
      expect(channel.writevBlocks(iovs, 3, 1500, ends)).toBe(0);
      while (ends.statuses.length < 1) await bed.poll();
      const written = readFileSync(path());
      for (let i = 0; i < 1500; i += 1) {
        const from = (1499 - i) * 512;
        const at = (3 + i) * 512;
        expect(written.compare(buffers.bytes.subarray(from, from + 512), 0, 512, at, at + 512)).toBe(0);
      }
      const copy = buffers.bytes.slice(0, 1500 * 512);
      buffers.bytes.fill(0, 0, 1500 * 512);
      expect(channel.readvBlocks(iovs, 3, 1500, ends)).toBe(0);
      while (ends.statuses.length < 2) await bed.poll();
      expect(Buffer.compare(buffers.bytes.slice(0, 1500 * 512), copy)).toBe(0);
      expect(ends.statuses).toEqual([IoStatus.SUCCESS, IoStatus.SUCCESS]);
    });

    it('ends what is under way when it is deleted, aborted or reset', async () => {
      const bed = await start();
      await disk(bed, {}, 4 * MIB);
      const ends = new Ends();
      const channel = bed.channel('D');
      const { region } = bed.host.local[0]!.buffers;
      for (let i = 0; i < 100; i++) channel.readBlocks(region, i * 8192, i * 8, 8, ends);
      await bed.until(new Promise((resolve) => channel.reset({ bdevIoDone: (io) => resolve(io.free()) })));
      while (ends.statuses.length < 100) await bed.poll();
      const io = channel.getIo()!;
      Object.assign(io, { type: IoType.READ, region, length: 512, num_blocks: 1, owner: ends });
      channel.submit(io);
      const aborts = new Ends();
      channel.abort(io, aborts);
      while (ends.statuses.length < 101 || aborts.statuses.length < 1) await bed.poll();
      const aborted = aborts.statuses[0] === IoStatus.SUCCESS;
      expect(aborted).toBe(module.aborts);
      expect(ends.statuses[100]).toBe(aborted ? IoStatus.ABORTED : IoStatus.SUCCESS);
      for (let i = 0; i < 100; i++) channel.readBlocks(region, i * 8192, i * 8, 8, ends);
      const descriptor = bed.bdevs.open('D', { write: true, owner: { name: 'x', onEvent() {} } });
      const removal = bed.rpc.call(remove, { name: 'D' });
      while (ends.statuses.length < 201) await bed.poll();
      expect(new Set(ends.statuses.slice(101))).toEqual(new Set([IoStatus.SUCCESS]));
      expect(channel.readBlocks(region, 0, 0, 1, ends)).toBe(-19);
      channel.put();
      await descriptor.close();
      expect(await bed.until(removal)).toBe(true);
    });

    it.each([512, 4096])('works on a block device with blocks of %i', async (block_size) => {
      writeFileSync(path('image'), Buffer.alloc(MIB));
      const { device, why } = loopDevice(path('image'), block_size);
      if (why !== '') {
        console.log(`no test of ${name} on a block device: ${why}`);
        return;
      }
      try {
        const bed = await start();
        await disk(bed, { filename: device, block_size: undefined }, MIB);
        expect(bed.bdevs.get('D')).toMatchObject({ block_size, num_blocks: MIB / block_size });
        expect((bed.bdevs.get('D')!.context as FileContext).direct).toBe(true);
        const channel = bed.channel('D');
        const small = channel.num_blocks / 8;
        const modelled = new Modelled(bed.host.local[0]!, channel, bed.host.allocateRegionId(), bed.poll);
        await fc.assert(
          fc.asyncProperty(steps(channel.num_blocks, small, types), async (run) => {
            for (const step of run) await modelled.run(step);
          }),
          { numRuns: 5 },
        );
        if (block_size > 512)
          await expect(
            bed.rpc.call(create, { name: 'E', filename: device, block_size: 512, readonly: true } as never),
          ).rejects.toMatchObject({ code: -22, message: expect.stringContaining('leave it out') });
        channel.put();
        await bed.until(bed.rpc.call(remove, { name: 'D' }));
      } finally {
        spawnSync('losetup', ['-d', device]);
      }
    });
  });
}
