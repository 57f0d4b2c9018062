import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { native } from './index.ts';

describe.skipIf(native === null)('memory with a descriptor', () => {
  const addon = native!;
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'spdk-ts-descriptors-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('is shared by all who map it, and zeroed', () => {
    const fd = addon.memoryFile('test', 3 * 4096);
    const all = new Uint8Array(addon.mapDescriptor(fd, 0, 3 * 4096));
    const part = new Uint8Array(addon.mapDescriptor(fd, 4096, 100));
    expect([all.length, part.length]).toEqual([12_288, 100]);
    expect(all.every((byte) => byte === 0)).toBe(true);
    part[7] = 0x5a;
    expect(all[4096 + 7]).toBe(0x5a);
    closeSync(fd);
    all[4096] = 1; // the memory outlives its descriptor
    expect(part[0]).toBe(1);
  });

  it('is mapped within its bounds only', () => {
    const fd = addon.memoryFile('test', 8192);
    expect(() => addon.mapDescriptor(fd, 0, 8193)).toThrow('does not lie inside');
    expect(() => addon.mapDescriptor(fd, 8192, 1)).toThrow('does not lie inside');
    expect(() => addon.mapDescriptor(fd, 2 ** 52, 1)).toThrow('does not lie inside');
    expect(() => addon.mapDescriptor(fd, 1, 1)).toThrow('multiple of the page size');
    expect(() => addon.mapDescriptor(fd, 0, 0)).toThrow(RangeError);
    const event = addon.eventFd();
    expect(() => addon.mapDescriptor(event, 0, 1)).toThrow('not the descriptor of memory');
    const file = openSync(join(folder, 'file'), 'w');
    writeFileSync(join(folder, 'file'), 'text');
    expect(() => addon.mapDescriptor(file, 0, 4)).toThrow(/Permission denied/); // not open for reading
    for (const one of [fd, event, file]) closeSync(one);
  });

  it('can have its size sealed', () => {
    const fd = addon.memoryFile('test', 8192);
    expect(addon.sizeIsSealed(fd)).toBe(false);
    addon.sealSize(fd);
    expect(addon.sizeIsSealed(fd)).toBe(true);
    expect(() => writeFileSync(`/proc/self/fd/${fd}`, '')).toThrow(/EPERM/); // it would truncate it
    const file = openSync(join(folder, 'other'), 'w+');
    expect(addon.sizeIsSealed(file)).toBe(false);
    for (const one of [fd, file]) closeSync(one);
  });

  it('is unmapped when nobody refers to it any more', async () => {
    const fd = addon.memoryFile('collected', 1 << 20);
    const mappings = (): number =>
      readFileSync('/proc/self/maps', 'utf8')
        .split('\n')
        .filter((line) => line.includes('memfd:collected')).length;
    for (let i = 0; i < 10; i++) new Uint8Array(addon.mapDescriptor(fd, 0, 1 << 20))[i] = 1;
    expect(mappings()).toBeGreaterThan(0);
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    for (let tries = 0; tries < 100 && mappings() > 0; tries++) {
      collect();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(mappings()).toBe(0);
    closeSync(fd);
  });
});

describe.skipIf(native === null)('descriptors over a UNIX socket', () => {
  const addon = native!;
  const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

  it('arrive with the bytes that they were sent with', () => {
    const [a, b] = addon.socketPair();
    const into = new Uint8Array(100);
    expect(addon.receiveDescriptors(b, into)).toBe(null);
    const memory = addon.memoryFile('passed', 4096);
    new Uint8Array(addon.mapDescriptor(memory, 0, 4096)).fill(0x77);
    const event = addon.eventFd();
    expect(addon.sendDescriptors(a, bytes('first'), Int32Array.of(memory, event))).toBe(5);
    expect(addon.sendDescriptors(a, bytes('second'), new Int32Array(0))).toBe(6);
    for (const fd of [memory, event]) closeSync(fd);
    const first = addon.receiveDescriptors(b, into)!;
    // The kernel does not join what came with descriptors to what comes after it.
    expect([first.bytes, first.descriptors.length]).toEqual([5, 2]);
    expect(Buffer.from(into.subarray(0, 5)).toString()).toBe('first');
    const [memoryCopy, eventCopy] = first.descriptors as [number, number];
    expect(new Uint8Array(addon.mapDescriptor(memoryCopy, 0, 4096))[4095]).toBe(0x77);
    addon.signalEventFd(eventCopy);
    expect(addon.drainEventFd(eventCopy)).toBe(true);
    expect(addon.receiveDescriptors(b, into)).toEqual({ bytes: 6, descriptors: [] });
    closeSync(a);
    expect(addon.receiveDescriptors(b, into)).toEqual({ bytes: 0, descriptors: [] });
    for (const fd of [b, memoryCopy, eventCopy]) closeSync(fd);
  });

  it('are refused where they cannot be sent, and nothing stays open', () => {
    const [a, b] = addon.socketPair();
    const open = (): number => readdirSync('/proc/self/fd').length;
    const before = open();
    expect(() => addon.sendDescriptors(a, bytes('x'), Int32Array.of(99_999))).toThrow(/Bad file descriptor/);
    expect(() => addon.sendDescriptors(a, bytes('x'), new Int32Array(254))).toThrow('253');
    expect(() => addon.sendDescriptors(a, bytes(''), Int32Array.of(a))).toThrow(RangeError);
    expect(addon.sendDescriptors(a, bytes('all'), new Int32Array(253).fill(b))).toBe(3);
    const got = addon.receiveDescriptors(b, new Uint8Array(3))!;
    expect(got.descriptors.length).toBe(253);
    for (const fd of got.descriptors) closeSync(fd);
    expect(open()).toBe(before);
    let sent = 1;
    for (let i = 0; i < 100_000 && sent > 0; i++)
      sent = addon.sendDescriptors(a, new Uint8Array(65_536), new Int32Array(0));
    expect(sent).toBe(0); // full: it does not block
    for (const fd of [a, b]) closeSync(fd);
  });

  it('pass between a listener and who connects to its path', () => {
    const folder = mkdtempSync(join(tmpdir(), 'spdk-ts-unix-'));
    const path = join(folder, 'socket');
    const listener = addon.unixListen(path, 5);
    expect(() => addon.unixListen(path, 5)).toThrow(/in use/);
    const client = addon.unixConnect(path);
    expect(() => addon.unixConnect(join(folder, 'nobody'))).toThrow(/No such file/);
    expect(() => addon.unixConnect(`/${'x'.repeat(108)}`)).toThrow(TypeError);
    for (const fd of [listener, client]) closeSync(fd);
    rmSync(folder, { recursive: true });
  });
});
