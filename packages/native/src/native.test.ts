import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { native, nativeUnavailable } from './index.ts';

it('is there, or says why it is not', () => {
  expect(native === null).toBe(nativeUnavailable !== '');
});

describe.skipIf(native === null)('the addon', () => {
  const addon = native!;

  it('throws for wrong arguments', () => {
    expect(() => addon.pinThread(-1)).toThrow('argument 1 must be an integer from 0 to');
    expect(() => addon.duplicate(1.5)).toThrow(RangeError);
    expect(() => addon.nameThread('a name that is too long for it')).toThrow(TypeError);
    expect(() => addon.ringEnter(1, 0, 0, 0, Number.NaN)).toThrow(RangeError);
    expect(() => addon.attachMemory(4000)).toThrow('not the handle of memory');
    expect(() => addon.crc32c(new Uint8Array(4), 2, 5, 0)).toThrow(RangeError);
    expect(() => addon.crc32c('text' as unknown as Uint8Array, 0, 1, 0)).toThrow(TypeError);
    expect(() => addon.socketListen('localhost', 0, 1)).toThrow('numeric IPv4 or IPv6');
    expect(() => addon.socketOption(0, 'nothing' as 'noDelay', 1)).toThrow('not a socket option');
    expect(() => addon.batchRun({}, new Float64Array(8), 1)).toThrow(TypeError);
    expect(() => addon.duplicate(99_999)).toThrow(/Bad file descriptor/);
  });

  it('computes CRC32C as RFC 3720 B.4 has it, in pieces too', () => {
    const of = (bytes: Uint8Array): number => addon.crc32c(bytes, 0, bytes.length, 0);
    expect(of(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(of(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(of(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
    expect(of(Uint8Array.from({ length: 32 }, (_, i) => 31 - i))).toBe(0x113fdb5c);
    const long = Uint8Array.from({ length: 20_011 }, (_, i) => (i * 31) & 0xff);
    for (const at of [1, 255, 6144, 20_010])
      expect(addon.crc32c(long, at, long.length, addon.crc32c(long, 0, at, 0))).toBe(of(long));
  });

  it('gives memory that is zeroed, aligned, shared between attachments, and bounded in batches', () => {
    const handle = addon.allocateMemory(10_000, 0, 0);
    const a = new Uint8Array(addon.attachMemory(handle));
    expect(addon.memoryAddress(handle) % (2 << 20)).toBe(0);
    expect(addon.addressOf(a)).toBe(addon.memoryAddress(handle));
    expect(a.every((byte) => byte === 0)).toBe(true);
    const table = addon.batchTable();
    addon.batchRegion(table, 7, a);
    const operation = (...values: number[]): number[] => [...values, ...new Array(8 - values.length).fill(9)];
    const operations = new Float64Array([
      ...operation(1, 7, 100, 0, 0, 50, 0x5a), // fill
      ...operation(0, 7, 200, 7, 100, 50), // copy
      ...operation(2, 7, 200, 7, 100, 50), // compare: equal
      ...operation(2, 7, 200, 7, 99, 50), // compare: different
      ...operation(0, 7, 12_280, 7, 0, 9), // beyond the end
      ...operation(1, 8, 0, 0, 0, 1, 1), // no such region
    ]);
    expect(addon.batchRun(table, operations, 6)).toBe(2);
    const results = [0, 1, 2, 3, 4, 5].map((i) => operations[i * 8 + 7]);
    expect(results).toEqual([0, 0, 0, 1, -1, -1]);
    expect([a[99], a[100], a[149], a[150], a[200], a[249]]).toEqual([0, 0x5a, 0x5a, 0, 0x5a, 0x5a]);
    addon.releaseMemory(handle);
    expect(() => addon.memoryAddress(handle)).toThrow('not the handle');
    expect(a[100]).toBe(0x5a);
  });

  it('locks files and punches holes', () => {
    const path = join(tmpdir(), `native-test-${process.pid}`);
    writeFileSync(path, Buffer.alloc(16_384, 1));
    const first = openSync(path, 'r+');
    const second = openSync(path, 'r+');
    expect([addon.lockFile(first), addon.lockFile(second)]).toEqual([true, false]);
    addon.punchHole(first, 4096, 8192);
    const bytes = readFileSync(path);
    expect([bytes.length, bytes[4095], bytes[4096], bytes[12_287], bytes[12_288]]).toEqual([
      16_384, 1, 0, 0, 1,
    ]);
    closeSync(first);
    expect(addon.lockFile(second)).toBe(true);
    closeSync(second);
    rmSync(path);
  });

  it('does AIO: what is submitted is found in the ring; a destroyed ring has no elements', () => {
    const path = join(tmpdir(), `native-test-aio-${process.pid}`);
    writeFileSync(path, Buffer.from('0123456789abcdef'));
    const fd = openSync(path, 'r');
    const { context, ring } = addon.aioSetup(4);
    const words = new Uint32Array(ring);
    const memory = new Uint8Array(new ArrayBuffer(4096));
    const iocbs = new Uint32Array(new ArrayBuffer(128));
    const address = addon.addressOf(memory);
    // data (2 words), key and flags, opcode PREAD 0, descriptor, buffer, bytes, offset
    iocbs.set([7, 0, 0, 0, 0, fd, address >>> 0, Math.floor(address / 2 ** 32), 6, 0, 10, 0], 16);
    const order = new Uint32Array([1]);
    expect(addon.aioSubmit(context, iocbs, order, 1)).toBe(1);
    while (words[2] === words[3]);
    expect([words[8], words[12], Buffer.from(memory.subarray(0, 6)).toString()]).toEqual([7, 6, 'abcdef']);
    order[0] = 2;
    expect(() => addon.aioSubmit(context, iocbs, order, 1)).toThrow('does not exist');
    expect(() => addon.aioSubmit(context, iocbs, order, 5)).toThrow(RangeError);
    expect(() => addon.aioSubmit({}, iocbs, order, 1)).toThrow(TypeError);
    order[0] = 0;
    iocbs[5] = 99_999;
    expect(addon.aioSubmit(context, iocbs, order, 1)).toBe(-9);
    addon.aioDestroy(context);
    expect(words.length).toBe(0);
    expect(() => addon.aioSubmit(context, iocbs, order, 1)).toThrow('was destroyed');
    closeSync(fd);
    rmSync(path);
  });

  it('tells what is no NVMe namespace and no zoned device', () => {
    const path = join(tmpdir(), `native-test-nvme-${process.pid}`);
    writeFileSync(path, Buffer.alloc(4096));
    const fd = openSync(path, 'r+');
    const into = new Uint8Array(new ArrayBuffer(4096));
    expect(addon.nvmeNamespace(fd)).toBeLessThan(0);
    expect(addon.nvmeAdmin(fd, new Uint32Array(18), into)).toBeLessThan(0);
    expect(addon.nvmeAdmin(fd, new Uint32Array(18), new Uint8Array(0))).toBeLessThan(0);
    expect(addon.zoneReport(fd, 0, into)).toBeLessThan(0);
    expect(addon.zoneManage(fd, 3, 0, 8)).toBeLessThan(0);
    expect(() => addon.nvmeAdmin(fd, new Uint32Array(17), into)).toThrow('72 bytes');
    expect(() => addon.zoneReport(fd, 0, into.subarray(0, 79))).toThrow('room for a zone');
    expect(() => addon.zoneReport(fd, 0, into.subarray(4))).toThrow('aligned');
    expect(() => addon.zoneManage(fd, 4, 0, 8)).toThrow('argument 2 must be an integer from 0 to 3');
    closeSync(fd);
    rmSync(path);
  });

  it('allocates ranges of files, tells what direct I/O asks for, and gives locks up', () => {
    const path = join(tmpdir(), `native-test-range-${process.pid}`);
    writeFileSync(path, Buffer.alloc(8192, 1));
    const fd = openSync(path, 'r+');
    expect(addon.allocateFile(fd, 3, 4096, 4096)).toBe(0);
    expect([readFileSync(path)[4095], readFileSync(path)[4096]]).toEqual([1, 0]);
    expect(addon.allocateFile(fd, 0x7000, 0, 1)).toBeLessThan(0);
    // Where the file system knows no holes, all of it is data.
    expect([4096, 8192]).toContain(addon.seekFile(fd, 100, 1));
    expect(addon.seekFile(fd, 100, 0)).toBe(100);
    expect(addon.seekFile(fd, 8192, 0)).toBe(-6);
    const alignment = addon.directAlignment(fd);
    if (alignment !== null) expect(Object.keys(alignment)).toEqual(['memory', 'offset']);
    const copy = openSync(path, 'r+');
    expect(addon.lockFile(fd)).toBe(true);
    expect(addon.lockFile(copy)).toBe(false);
    addon.unlockFile(fd);
    expect(addon.lockFile(copy)).toBe(true);
    closeSync(fd);
    closeSync(copy);
    rmSync(path);
  });
});
