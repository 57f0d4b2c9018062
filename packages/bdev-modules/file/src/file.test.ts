import {
  chmodSync,
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BdevIo, type BdevIoOwner, IoStatus, IoType } from '@spdk-ts/bdev';
import { type FileContext, fileInstance } from '@spdk-ts/file-io';
import { Logger, setLogWriter } from '@spdk-ts/log';
import { native } from '@spdk-ts/native';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModuleBed, uringUnavailable } from '../../test/bed.ts';
import { Modelled, type Step, steps } from '../../test/model.ts';
import control from './index.ts';
import reactorHalf from './reactor.ts';

const MIB = 1024 * 1024;
let folder = '';
let log: string[] = [];
let restore = (_: (line: string) => void): unknown => undefined;
let before: (line: string) => void;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bdev-file-'));
  log = [];
  before = setLogWriter((line) => void log.push(line));
  restore = setLogWriter;
});
afterEach(() => {
  restore(before);
  rmSync(folder, { recursive: true });
});

if (uringUnavailable !== '') console.log(`no tests of files over io_uring: ${uringUnavailable}`);
const ways = uringUnavailable === '' ? ['node:fs', 'io_uring'] : ['node:fs'];
const path = (name = 'disk'): string => join(folder, name);

class Ends implements BdevIoOwner {
  statuses: number[] = [];
  codes: [number, number][] = [];
  bdevIoDone(io: BdevIo): void {
    this.statuses.push(io.status);
    this.codes.push([io.sct, io.sc]);
    io.free();
  }
}

async function disk(bed: ModuleBed, params: Record<string, unknown> = {}): Promise<string> {
  const call = { filename: path(), name: 'File0', size: MIB, ...params };
  return (await bed.rpc.call('bdev_file_create', call)) as string;
}

describe.each(ways)('file bdev over %s', (way) => {
  const start = (): Promise<ModuleBed> =>
    ModuleBed.start(control, reactorHalf, { uring: way === 'io_uring' });

  it.each([512, 4096])(
    'does every I/O type as the model does, and the file holds it: blocks of %i',
    async (block_size) => {
      const types: Step['type'][] = ['write', 'read', 'readPlace', 'zeroes', 'copy', 'compare', 'flush'];
      if (native !== null) types.push('unmap');
      const bed = await start();
      await disk(bed, { size: 128 * 1024, block_size });
      const channel = bed.channel('File0');
      const modelled = new Modelled(bed.host.local[0]!, channel, bed.host.allocateRegionId(), bed.poll);
      await fc.assert(
        fc.asyncProperty(steps(channel.num_blocks, channel.num_blocks, types), async (list) => {
          for (const step of list) await modelled.run(step);
          await modelled.check();
          expect(Buffer.compare(readFileSync(path()), modelled.model)).toBe(0);
        }),
        { numRuns: 12 },
      );
    },
  );

  it('has many I/Os at work at once', async () => {
    const bed = await start();
    await disk(bed);
    const channel = bed.channel('File0');
    const { buffers } = bed.host.local[0]!;
    const ends = new Ends();
    for (let i = 0; i < 200; i++) {
      const buffer = buffers.get(512);
      buffers.bytes.fill(i + 1, buffer, buffer + 512);
      expect(channel.writeBlocks(buffers.region, buffer, i, 1, ends)).toBe(0);
    }
    while (ends.statuses.length < 200) await bed.poll();
    expect(new Set(ends.statuses)).toEqual(new Set([IoStatus.SUCCESS]));
    const bytes = readFileSync(path());
    for (let i = 0; i < 200; i++) expect(bytes[i * 512]).toBe((i + 1) & 0xff);
  });

  it.runIf(native !== null)('finds data and holes, in whole blocks', async () => {
    const bed = await ModuleBed.start(control, reactorHalf, { uring: way === 'io_uring' });
    // Data from 64 KiB to 128 KiB, and some 1 KiB at 512 KiB.
    const bytes = Buffer.alloc(65_536, 7);
    writeFileSync(path(), '');
    truncateSync(path(), MIB);
    const fd = openSync(path(), 'r+');
    writeSync(fd, bytes, 0, bytes.length, 65_536);
    writeSync(fd, bytes, 0, 1024, 524_288);
    closeSync(fd);
    // Where the file system has larger blocks, or no holes, more of it is data: du tells.
    const holes = statSync(path()).blocks * 512 < MIB;
    const block_size = 8192;
    const channel = bed.channel(await disk(bed, { block_size }));
    const seek = async (hole: boolean, at: number): Promise<number> => {
      let found = -2;
      const owner: BdevIoOwner = {
        bdevIoDone(io) {
          expect(io.status).toBe(IoStatus.SUCCESS);
          found = io.seek_offset_blocks;
          io.free();
        },
      };
      expect(hole ? channel.seekHole(at, owner) : channel.seekData(at, owner)).toBe(0);
      while (found === -2) await bed.poll();
      return found;
    };
    expect(await seek(false, 10)).toBe(10);
    if (!holes) return;
    expect([await seek(false, 0), await seek(true, 0), await seek(true, 10)]).toEqual([8, 0, 16]);
    // The block with 1 KiB of data is no hole.
    expect([await seek(false, 16), await seek(true, 64)]).toEqual([64, 65]);
    expect([await seek(false, 65), await seek(true, 127)]).toEqual([-1, 127]);
    const ends = new Ends();
    channel.unmapBlocks(8, 4, ends);
    while (ends.statuses.length === 0) await bed.poll();
    expect([await seek(false, 0), await seek(true, 12)]).toEqual([12, 16]);
  });

  it.runIf(native !== null)('gives disk space back on unmap', async () => {
    const bed = await start();
    await disk(bed, { size: 8 * MIB });
    const channel = bed.channel('File0');
    const ends = new Ends();
    for (let i = 0; i < 64; i++)
      channel.writeBlocks(bed.host.local[0]!.buffers.region, 0, i * 256, 256, ends);
    while (ends.statuses.length < 64) await bed.poll();
    channel.flushBlocks(0, channel.num_blocks, ends);
    while (ends.statuses.length < 65) await bed.poll();
    expect(statSync(path()).blocks * 512).toBeGreaterThanOrEqual(8 * MIB);
    channel.unmapBlocks(0, channel.num_blocks, ends);
    while (ends.statuses.length < 66) await bed.poll();
    expect(statSync(path()).blocks * 512).toBeLessThan(MIB);
    expect(statSync(path()).size).toBe(8 * MIB);
  });

  it('is created sparse, extended, never made smaller', async () => {
    const bed = await start();
    await disk(bed, { size: 1024 * MIB });
    expect(statSync(path()).size).toBe(1024 * MIB);
    expect(statSync(path()).blocks * 512).toBeLessThan(MIB);
    await bed.until(bed.rpc.call('bdev_file_delete', { name: 'File0' }));
    await disk(bed, { size: MIB });
    expect(statSync(path()).size).toBe(1024 * MIB);
    expect(bed.bdevs.get('File0')!.num_blocks).toBe((1024 * MIB) / 512);
  });

  it('keeps its identity: the same file, however named, is the same UUID', async () => {
    const bed = await start();
    await disk(bed);
    const { uuid } = bed.bdevs.get('File0')!;
    await bed.until(bed.rpc.call('bdev_file_delete', { name: 'File0' }));
    symlinkSync(path(), path('link'));
    const again = await start();
    await again.rpc.call('bdev_file_create', { filename: path('link'), name: 'Other' });
    expect(again.bdevs.get('Other')!.uuid).toBe(uuid);
    await again.rpc.call('bdev_file_create', { filename: path('b'), name: 'B', size: MIB });
    expect(again.bdevs.get('B')!.uuid).not.toBe(uuid);
  });

  it('says what to change when it cannot be made, and leaves nothing open', async () => {
    writeFileSync(path('odd'), Buffer.alloc(1000));
    writeFileSync(path('empty'), '');
    const bed = await start();
    const create = (params: Record<string, unknown>) =>
      bed.rpc.call('bdev_file_create', { name: 'F', filename: path(), ...params } as never);
    const wrong: [Record<string, unknown>, number, RegExp][] = [
      [{}, -2, /^No such file or directory: filename ".*disk" cannot be opened .*give size to create it/],
      [{ filename: path('no/disk'), size: MIB }, -2, /create its folder first/],
      [{ filename: folder }, -21, /Is a directory/],
      [{ filename: '/dev/null', readonly: true }, -22, /neither a regular file nor a block device/],
      [{ filename: path('odd') }, -22, /has 1000 bytes, not a multiple of block_size 512.*size of 1024/],
      [{ filename: path('empty') }, -22, /has no bytes; give size/],
      [{ size: 1000 }, -22, /size is 1000, not a multiple of block_size 512; give 1024/],
      [{ size: MIB, block_size: 1000 }, -22, /block_size is 1000/],
      [{ filename: path('odd'), size: 4096, readonly: true }, -22, /readonly is true/],
    ];
    const descriptors = (): number =>
      Number(readFileSync('/proc/self/status', 'utf8').match(/FDSize:\s*(\d+)/)![1]);
    const open = descriptors();
    for (let i = 0; i < 20; i++)
      for (const [params, code, text] of wrong)
        await expect(create(params)).rejects.toMatchObject({ code, message: expect.stringMatching(text) });
    expect(descriptors()).toBe(open);
    await create({ size: MIB });
    await expect(create({})).rejects.toMatchObject({ code: -17 });
    if (native !== null)
      await expect(create({ name: 'G' })).rejects.toMatchObject({
        code: -16,
        message: expect.stringContaining('two writers'),
      });
    await expect(create({ name: 'G', readonly: true })).rejects.toMatchObject({ code: -17 });
  });

  it('refuses writes when it is read-only', async () => {
    writeFileSync(path(), Buffer.alloc(8192, 3));
    chmodSync(path(), 0o400);
    const bed = await start();
    await bed.rpc.call('bdev_file_create', { filename: path(), name: 'R', readonly: true });
    const channel = bed.channel('R');
    const ends = new Ends();
    const { region } = bed.host.local[0]!.buffers;
    expect(channel.writeBlocks(region, 0, 0, 1, ends)).toBe(-1);
    expect(channel.writeZeroesBlocks(0, 1, ends)).toBe(-1);
    expect(channel.unmapBlocks(0, 1, ends)).toBe(-1);
    expect(channel.readBlocks(region, 0, 0, 16, ends)).toBe(0);
    expect(channel.flushBlocks(0, 16, ends)).toBe(0);
    while (ends.statuses.length < 2) await bed.poll();
    expect(ends.statuses).toEqual([IoStatus.SUCCESS, IoStatus.SUCCESS]);
    expect(bed.bdevs.config()[1]!.params).toMatchObject({ readonly: true });
    expect(bed.bdevs.config()[1]!.params).not.toHaveProperty('size');
  });

  it('fails reads of what somebody cut off, and says so', async () => {
    const bed = await start();
    await disk(bed);
    truncateSync(path(), 4096 + 100);
    const channel = bed.channel('File0');
    const ends = new Ends();
    const { region } = bed.host.local[0]!.buffers;
    channel.readBlocks(region, 0, 8, 1, ends);
    while (ends.statuses.length < 1) await bed.poll();
    channel.readBlocks(region, 0, 7, 1, ends);
    while (ends.statuses.length < 2) await bed.poll();
    expect(ends.statuses).toEqual([IoStatus.FAILED, IoStatus.SUCCESS]);
    expect(log.join()).toContain('the file ends there');
  });

  it('tells a full disk from a broken one, and keeps what was written before', async () => {
    // /dev/full answers every write with ENOSPC; the rest of the module does not know it from a file.
    const bed = await start();
    await disk(bed);
    const channel = bed.channel('File0');
    const ends = new Ends();
    const { region, bytes } = bed.host.local[0]!.buffers;
    bytes.fill(7, 0, 512);
    channel.writeBlocks(region, 0, 0, 1, ends);
    while (ends.statuses.length < 1) await bed.poll();
    const full = await import('node:fs').then(({ openSync }) => openSync('/dev/full', 'r+'));
    const description = bed.bdevs.get('File0')!;
    const context = { ...(description.context as FileContext), fd: full };
    const reactor = bed.host.local[0]!;
    const instance = fileInstance({ ...description, context }, reactor, new Logger('bdev_file'));
    const module = instance.createChannel(reactor.threads[0]!);
    const io = channel.getIo()!;
    Object.assign(io, { type: IoType.WRITE, region, length: 512, num_blocks: 1, owner: ends });
    let code: number[] | null = null;
    io.complete = (status) => {
      code = [status, io.sct, io.sc];
    };
    module.submit(io);
    while (code === null) await bed.poll();
    expect(code).toEqual([IoStatus.NVME_ERROR, 0, 0x81]);
    module.destroy();
    instance.destroy?.();
    expect(readFileSync(path())[511]).toBe(7);
    expect(log.join()).toContain('ENOSPC');
  });

  it('fails every flush after one has failed: the kernel has dropped what it could not write', async () => {
    const bed = await start();
    await disk(bed);
    const channel = bed.channel('File0');
    const ends = new Ends();
    channel.flushBlocks(0, 1, ends);
    while (ends.statuses.length < 1) await bed.poll();
    // What a failed fdatasync of any reactor leaves behind.
    new Int32Array((bed.bdevs.get('File0')!.context as FileContext).flushFailed)[0] = 1;
    channel.flushBlocks(0, 1, ends);
    while (ends.statuses.length < 2) await bed.poll();
    const io = channel.getIo()!;
    Object.assign(io, { type: IoType.WRITE, region: 0, length: 512, num_blocks: 1, owner: ends, fua: true });
    expect(channel.submit(io)).toBe(0);
    while (ends.statuses.length < 3) await bed.poll();
    expect(ends.statuses).toEqual([IoStatus.SUCCESS, IoStatus.FAILED, IoStatus.FAILED]);
  });

  it('is resized with its file', async () => {
    const bed = await start();
    await disk(bed);
    await bed.rpc.call('bdev_file_resize', { name: 'File0', new_size: 3 });
    expect(statSync(path()).size).toBe(3 * MIB);
    const descriptor = bed.bdevs.open('File0', { write: true, owner: { name: 'x', onEvent() {} } });
    await expect(bed.rpc.call('bdev_file_resize', { name: 'File0', new_size: 2 })).rejects.toMatchObject({
      code: -16,
    });
    expect(statSync(path()).size).toBe(3 * MIB);
    await descriptor.close();
    await bed.rpc.call('bdev_file_resize', { name: 'File0', new_size: 2 });
    expect(statSync(path()).size).toBe(2 * MIB);
    expect(bed.bdevs.get('File0')!.num_blocks).toBe((2 * MIB) / 512);
    await expect(bed.rpc.call('bdev_file_resize', { name: 'Nope', new_size: 2 })).rejects.toMatchObject({
      code: -19,
    });
  });

  it('is saved so that it can be made again', async () => {
    const bed = await start();
    await disk(bed, { block_size: 4096 });
    const config = bed.bdevs.config();
    expect(bed.bdevs.info(bed.bdevs.get('File0')!).driver_specific).toEqual({
      file: { filename: path(), readonly: false, block_device: false },
    });
    await bed.until(bed.bdevs.stop());
    const again = await start();
    await again.rpc.call(config[1]!.method, config[1]!.params);
    expect(again.bdevs.config()).toEqual(config);
  });
});
