import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BdevChannel, type BdevIo, type BdevIoOwner, IoStatus, IoVec } from '@spdk-ts/bdev';
import { setLogWriter } from '@spdk-ts/log';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModuleBed } from '../../test/bed.ts';
import control from './index.ts';
import reactorHalf from './reactor.ts';

let folder = '';
let bed: ModuleBed;
let path = '';
let log: string[] = [];
const channels: (BdevChannel | undefined)[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bdev-script-'));
  path = join(folder, 'disk.mjs');
  log = [];
  setLogWriter((line) => void log.push(line));
  bed = await ModuleBed.start(control, reactorHalf, { count: 2 });
});
afterEach(async () => {
  for (const one of channels.splice(0)) one?.put();
  for (const { name } of bed.bdevs.list()) await bed.until(bed.rpc.call('bdev_script_delete', { name }));
  rmSync(folder, { recursive: true });
});

/** A RAM disk in shared memory; `extra` goes into the instance, after its functions. */
const ram = (extra = '', before = '') => `
${before}
export default {
  memory_bytes: ({ num_blocks, block_size }) => num_blocks * block_size,
  open({ memory, params, state, reactor, log }) {
    const disk = new Uint8Array(memory);
    const each = (io, f) => { let at = io.offset; for (const piece of io.pieces) { f(piece, at); at += piece.length; } };
    return {
      read: (io) => each(io, (piece, at) => piece.set(disk.subarray(at, at + piece.length))),
      write: (io) => each(io, (piece, at) => disk.set(piece, at)),
      ${extra}
    };
  },
};`;

const size = { block_size: 512, num_blocks: 64 };
const create = (more = {}) =>
  bed.until(bed.rpc.call('bdev_script_create', { name: 'S', path, watch: false, ...size, ...more }));
const channel = (index = 0): BdevChannel => {
  channels[index] ??= bed.channel('S', index);
  return channels[index]!;
};
const reload = () => bed.until(bed.rpc.call('bdev_script_reload', { name: 'S' }));
const info = () => bed.bdevs.info(bed.bdevs.get('S')!).driver_specific!['script'] as Record<string, unknown>;

class Ends implements BdevIoOwner {
  ends: (number | [number, number])[] = [];
  bdevIoDone(io: BdevIo): void {
    this.ends.push(io.status === IoStatus.NVME_ERROR ? [io.sct, io.sc] : io.status);
    io.free();
  }
}

/** Writes a block of one byte on a reactor, and reads its first byte on another. */
async function roundTrip(value: number, at: number, from = 0, to = 0): Promise<number> {
  const ends = new Ends();
  const writer = bed.host.local[from]!.buffers;
  writer.bytes.fill(value, 0, 512);
  expect(channel(from).writeBlocks(writer.region, 0, at, 1, ends)).toBe(0);
  await bed.poll();
  const reader = bed.host.local[to]!.buffers;
  reader.bytes.fill(0, 1024, 1536);
  expect(channel(to).readBlocks(reader.region, 1024, at, 1, ends)).toBe(0);
  await bed.poll();
  expect(ends.ends).toEqual([IoStatus.SUCCESS, IoStatus.SUCCESS]);
  return reader.bytes[1024]!;
}

describe('script bdev', () => {
  it('does what its script does, on every reactor, in pieces', async () => {
    writeFileSync(path, ram('flush() {}, unmap(io) { disk.fill(0, io.offset, io.offset + io.length); },'));
    expect(await create({ params: { some: 'thing' } })).toBe('S');
    expect(await roundTrip(0x5a, 3)).toBe(0x5a);
    expect(await roundTrip(0xa5, 4, 0, 1)).toBe(0xa5);
    const { buffers } = bed.host.local[0]!;
    const pieces = new IoVec(2);
    pieces.push(buffers.region, 4096, 256);
    pieces.push(buffers.region, 8192, 768);
    const ends = new Ends();
    expect(channel().readvBlocks(pieces, 3, 2, ends)).toBe(0);
    expect(channel().unmapBlocks(3, 1, ends)).toBe(0);
    expect(channel().flushBlocks(0, 1, ends)).toBe(0);
    expect(channel().readBlocks(buffers.region, 0, 3, 1, ends)).toBe(0);
    await bed.poll();
    expect(ends.ends).toEqual([1, 1, 1, 1]);
    expect([buffers.bytes[4096], buffers.bytes[8192 + 255], buffers.bytes[8192 + 256]]).toEqual([
      0x5a, 0x5a, 0xa5,
    ]);
    expect(buffers.bytes[0]).toBe(0);
    expect(info()).toEqual({ path, params: { some: 'thing' }, watch: false, version: 1, reload_error: '' });
    const [, call] = bed.bdevs.config();
    expect(call).toMatchObject({ method: 'bdev_script_create', params: { name: 'S', path, watch: false } });
  });

  it('fails an I/O for which the script throws, and no other', async () => {
    const thrown = [
      '{ sct: 2, sc: 0x82 }',
      "Object.assign(new Error('full'), { code: 'ENOSPC' })",
      "{ code: 'EIO' }",
      "{ code: 'ETIMEDOUT' }",
      "new TypeError('oops')",
      'undefined',
    ];
    const flush = `flush() { throw [${thrown}][round++]; },`;
    writeFileSync(path, ram(flush, 'let round = 0;'));
    await create();
    const ends = new Ends();
    for (const _ of thrown) channel().flushBlocks(0, 1, ends);
    await bed.poll();
    expect(ends.ends).toEqual([[2, 0x82], [0, 0x81], [2, 0x80], -1, -1, -1]);
    // Only what looks like a mistake is logged.
    const said = log.filter((line) => line.includes('its script threw'));
    expect(said).toHaveLength(2);
    expect(said[0]).toContain('TypeError: oops (at ');
    expect(await roundTrip(1, 0)).toBe(1);
  });

  it('waits for promises, and tries again what was short of memory', async () => {
    const flush = `async flush() {
      await new Promise((resolve) => setImmediate(resolve));
      if (round++ === 0) throw { code: 'ENOMEM' };
      if (round === 2) throw { sct: 0, sc: 6 };
    },`;
    writeFileSync(path, ram(flush, 'let round = 0;'));
    await create();
    const ends = new Ends();
    channel().flushBlocks(0, 1, ends);
    for (let i = 0; i < 100 && ends.ends.length === 0; i++) {
      bed.clock.advance(10_000_000);
      await bed.poll();
    }
    channel().flushBlocks(0, 1, ends);
    for (let i = 0; i < 100 && ends.ends.length < 2; i++) await bed.poll();
    expect(ends.ends).toEqual([[0, 6], 1]);
  });

  it('is reloaded: I/O is drained, state handed over, memory kept', async () => {
    const script = (version: number) =>
      ram(
        `async flush() { await gate.wait; log('flushed by ${version}, ' + state); },
         handOver() { return (state ?? '') + '${version}'; },
         close() { log('closed ${version} on ' + reactor); },`,
        `const gate = globalThis.scriptGate; gate.loaded = ${version};`,
      );
    let open = (): void => {};
    const gate = {
      loaded: 0,
      wait: new Promise<void>((resolve) => {
        open = resolve;
      }),
    };
    (globalThis as Record<string, unknown>)['scriptGate'] = gate;
    writeFileSync(path, script(1));
    await create();
    await roundTrip(7, 9);
    writeFileSync(path, `${script(1)}//`);
    await reload();
    const ends = new Ends();
    channel().flushBlocks(0, 1, ends);
    writeFileSync(path, script(3));
    const reloading = bed.rpc.call('bdev_script_reload', { name: 'S' });
    while (gate.loaded !== 3) await bed.poll();
    for (let i = 0; i < 20; i++) await bed.poll();
    channel().flushBlocks(0, 1, ends);
    for (let i = 0; i < 20; i++) await bed.poll();
    expect(ends.ends).toEqual([]);
    open();
    await bed.until(reloading);
    for (let i = 0; i < 20 && ends.ends.length < 2; i++) await bed.poll();
    expect(ends.ends).toEqual([1, 1]);
    const said = log.map((line) => /(flushed by .*|closed .*)/.exec(line)?.[1]).filter(Boolean);
    expect(said.slice(2)).toEqual(['flushed by 1, 1', 'closed 1 on 0', 'closed 1 on 1', 'flushed by 3, 11']);
    expect(info()).toMatchObject({ version: 3, reload_error: '' });
    const ends2 = new Ends();
    channel().readBlocks(0, 0, 9, 1, ends2);
    await bed.poll();
    expect(bed.host.local[0]!.buffers.bytes[0]).toBe(7);
  });

  it.each([
    ['a syntax error', 'export default {', 'it cannot be loaded: '],
    ['no export', 'export const x = 1;', 'it has no default export with a function open'],
    [
      'an open that throws',
      'export default { open() { throw new Error("no") } };',
      'its open failed: Error: no',
    ],
    ['an instance without read', 'export default { open: () => ({}) };', 'no object with a function read'],
    ['less than before', ram().replace('write:', 'wrote:'), 'it lacks write, which the bdev offers'],
    ['more memory', ram().replace('=> num', '=> 2 * num'), 'and the bdev was made with 32768'],
    ['wrong memory', ram().replace('=> num', '=> -num'), 'its memory_bytes is -32768'],
    [
      'a second reactor that fails',
      ram().replace('const disk', 'if (reactor === 1) throw new Error("not me"); const disk'),
      'its open failed: Error: not me',
    ],
  ])('keeps the version that works over %s', async (_, text, reason) => {
    writeFileSync(path, ram());
    await create();
    writeFileSync(path, text);
    await expect(reload()).rejects.toMatchObject({ code: -22, message: expect.stringContaining(reason) });
    expect(info()).toMatchObject({ version: 1, reload_error: expect.stringContaining(reason) });
    expect(log.join('\n')).toContain('is not used, version 1 goes on');
    expect(await roundTrip(0x11, 1, 0, 1)).toBe(0x11);
    writeFileSync(path, `${ram()}//`);
    await reload();
    expect(info()).toMatchObject({ version: 2, reload_error: '' });
  });

  it('is reloaded when its file changes, or is replaced', async () => {
    writeFileSync(path, ram());
    await create({ watch: true });
    const until = async (version: number) => {
      for (let i = 0; info()['version'] !== version; i++) {
        if (i === 2000) throw new Error(`version ${version} does not come`);
        await bed.poll();
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    writeFileSync(path, `${ram()}// two`);
    await until(2);
    const other = join(folder, 'other.mjs');
    writeFileSync(other, `${ram()}// three`);
    renameSync(other, path);
    await until(3);
  });

  it('refuses what cannot be', async () => {
    await expect(create({ path: join(folder, 'none.mjs') })).rejects.toMatchObject({ code: -2 });
    writeFileSync(path, 'export default { open() { throw new Error("no") } };');
    await expect(create()).rejects.toMatchObject({
      code: -22,
      message: expect.stringContaining('Error: no'),
    });
    expect(bed.bdevs.list()).toEqual([]);
    writeFileSync(path, ram());
    await expect(create({ block_size: 100 })).rejects.toMatchObject({ code: -22 });
    await create();
    await expect(create()).rejects.toMatchObject({ code: -17 });
    expect(await roundTrip(1, 0)).toBe(1);
    await expect(bed.rpc.call('bdev_script_reload', { name: 'T' })).rejects.toMatchObject({ code: -19 });
  });
});
