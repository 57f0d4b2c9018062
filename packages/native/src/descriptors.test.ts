import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fillAndBlock } from '../../../test/host/blocking-event.ts';
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
    const all = new Uint8Array(addon.mapDescriptor(fd, 0, 3 * 4096, 1));
    const part = new Uint8Array(addon.mapDescriptor(fd, 4096, 100, 1));
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
    expect(() => addon.mapDescriptor(fd, 0, 8193, 1)).toThrow('does not lie inside');
    expect(() => addon.mapDescriptor(fd, 8192, 1, 1)).toThrow('does not lie inside');
    expect(() => addon.mapDescriptor(fd, 2 ** 52, 1, 1)).toThrow('does not lie inside');
    expect(() => addon.mapDescriptor(fd, 1, 1, 1)).toThrow('multiple of the page size');
    expect(() => addon.mapDescriptor(fd, 0, 0, 1)).toThrow(RangeError);
    const event = addon.eventFd();
    expect(() => addon.mapDescriptor(event, 0, 1, 1)).toThrow('not the descriptor of memory');
    const file = openSync(join(folder, 'file'), 'w');
    writeFileSync(join(folder, 'file'), 'text');
    expect(() => addon.mapDescriptor(file, 0, 4, 1)).toThrow(/Permission denied/); // not open for reading
    for (const one of [fd, event, file]) closeSync(one);
  });

  it('can have its size sealed', () => {
    const fd = addon.memoryFile('test', 8192);
    addon.sealSize(fd);
    expect(() => writeFileSync(`/proc/self/fd/${fd}`, '')).toThrow(/EPERM/); // it would truncate it
    closeSync(fd);
  });

  it('is unmapped when nobody refers to it any more', async () => {
    const fd = addon.memoryFile('collected', 1 << 20);
    const mappings = (): number =>
      readFileSync('/proc/self/maps', 'utf8')
        .split('\n')
        .filter((line) => line.includes('memfd:collected')).length;
    for (let i = 0; i < 10; i++) new Uint8Array(addon.mapDescriptor(fd, 0, 1 << 20, 1))[i] = 1;
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

describe.skipIf(native === null)('a mapping', () => {
  const addon = native!;

  it('that is not shared keeps what is written to itself', () => {
    const fd = addon.memoryFile('private', 4096);
    const shared = new Uint8Array(addon.mapDescriptor(fd, 0, 4096, 1)).fill(1);
    const own = new Uint8Array(addon.mapDescriptor(fd, 0, 4096, 0));
    expect(own[0]).toBe(1);
    own[0] = 2;
    expect([shared[0], own[0]]).toEqual([1, 2]);
    closeSync(fd);
  });

  it('can be taken away before its time', async () => {
    const fd = addon.memoryFile('taken-away', 1 << 20);
    const buffer = addon.mapDescriptor(fd, 0, 1 << 20, 1);
    const view = new Uint8Array(buffer);
    addon.unmapBuffer(buffer);
    expect([view.length, buffer.byteLength]).toEqual([0, 0]);
    expect(() => addon.unmapBuffer(buffer)).toThrow(TypeError);
    expect(() => addon.unmapBuffer(new ArrayBuffer(8))).toThrow(TypeError);
    // without a collection: guests come and go
    for (
      let tries = 0;
      tries < 100 && readFileSync('/proc/self/maps', 'utf8').includes('memfd:taken-away');
      tries++
    )
      await new Promise((resolve) => setTimeout(resolve, 10));
    expect(readFileSync('/proc/self/maps', 'utf8')).not.toContain('memfd:taken-away');
    closeSync(fd);
  });
});

describe.skipIf(native === null)('memory that its owner cuts off', () => {
  const addon = native!;
  const page = 4096;

  it('reads as zeroes where it is gone, and tells', () => {
    const fd = addon.memoryFile('cut', 3 * page);
    const buffer = addon.mapDescriptor(fd, 0, 3 * page, 1);
    const untouched = addon.mapDescriptor(fd, 0, page, 1);
    const bytes = new Uint8Array(buffer).fill(0x11);
    expect(addon.mapLost(buffer)).toBe(false);
    truncateSync(`/proc/self/fd/${fd}`, page);
    expect([bytes[0], bytes[page - 1], addon.mapLost(buffer)]).toEqual([0x11, 0x11, false]);
    expect([bytes[page], bytes[3 * page - 1]]).toEqual([0, 0]);
    expect(addon.mapLost(buffer)).toBe(true);
    bytes[2 * page] = 7; // memory like any other now, of this mapping alone
    expect(bytes[2 * page]).toBe(7);
    expect(addon.mapLost(untouched)).toBe(false);
    closeSync(fd);
  });

  it('is the same for what compiled code, the batch engine and the kernel touch', () => {
    const fd = addon.memoryFile('cut', 64 * page);
    const bytes = new Uint8Array(addon.mapDescriptor(fd, 0, 64 * page, 1)).fill(0x22);
    const sum = (from: number, to: number): number => {
      let total = 0;
      for (let i = from; i < to; i++) total += bytes[i]!;
      return total;
    };
    for (let i = 0; i < 200; i++) expect(sum(0, page)).toBe(page * 0x22);
    truncateSync(`/proc/self/fd/${fd}`, 0);
    expect(sum(0, page)).toBe(0);
    expect(addon.crc32c(bytes, 8 * page, 9 * page, 0)).toBe(addon.crc32c(new Uint8Array(page), 0, page, 0));
    const [a, b] = addon.socketPair();
    expect(() => addon.sendDescriptors(a, bytes.subarray(32 * page, 33 * page), new Int32Array(0))).toThrow(
      'Bad address',
    );
    for (const one of [fd, a, b]) closeSync(one);
  });

  it('leaves errors of other memory what they are', () => {
    const program = `
      const { native } = await import(${JSON.stringify(new URL('../lib/index.js', import.meta.url).href)});
      const fd = native.memoryFile('guarded', 4096);
      native.mapDescriptor(fd, 0, 4096, 1);
      process.kill(process.pid, 'SIGBUS');`;
    // a sanitizer, where there is one, would answer for the process
    const env = { ...process.env, ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:handle_sigbus=0` };
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', program], { env });
    expect(child.signal).toBe('SIGBUS');
  });
});

describe.skipIf(native === null)('files that could keep the process waiting', () => {
  const addon = native!;
  // A file of a file system in memory that only the child's mount namespace has.
  const program =
    'mount -t ramfs none /mnt && exec 3<>/mnt/file && echo ready >&3 && echo ready && exec sleep 60';
  let child: ChildProcessByStdio<null, Readable, null>;
  let mounted: boolean;
  beforeAll(async () => {
    child = spawn('unshare', ['--mount', 'sh', '-c', program], { stdio: ['ignore', 'pipe', 'ignore'] });
    mounted = await new Promise<boolean>((resolve) => {
      child.stdout.once('data', () => resolve(true));
      for (const end of ['error', 'exit']) child.once(end, () => resolve(false));
    });
  });
  afterAll(async () => {
    if (child.exitCode !== null && child.stdout.closed) return;
    // With the end of its output nothing of it is open here any more.
    const closed = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGKILL');
    await closed;
  });

  it('are refused, if their mount is not seen here (needs the right to mount)', (context) => {
    if (!mounted) return context.skip('this process may not make mounts');
    const fd = openSync(`/proc/${child.pid}/fd/3`, 'r+');
    expect(() => addon.mapDescriptor(fd, 0, 4, 1)).toThrow(/a file system that this process does not see/);
    closeSync(fd);
  });

  it('are not those of disks, tmpfs or memfd', () => {
    const folder = mkdtempSync(join(tmpdir(), 'spdk-ts-map-'));
    for (const path of [join(folder, 'file'), `/dev/shm/spdk-ts-map-${process.pid}`]) {
      writeFileSync(path, 'data');
      const fd = openSync(path, 'r+');
      expect(new Uint8Array(addon.mapDescriptor(fd, 0, 4, 1))[0]).toBe(0x64);
      closeSync(fd);
      rmSync(path);
    }
    rmSync(folder, { recursive: true });
  });
});

describe.skipIf(native === null)('eventfds of others', () => {
  const addon = native!;

  it('are signalled like any other', () => {
    const event = addon.eventFd();
    for (let i = 0; i < 300; i++) addon.signalForeignEventFd(event);
    const count = new BigUint64Array(1);
    readSync(event, new Uint8Array(count.buffer));
    expect(count[0]).toBe(300n);
    closeSync(event);
    expect(() => addon.signalForeignEventFd(event)).toThrow(/Bad file/);
  });

  it('keep nobody waiting, full or empty, blocking or not', () => {
    const event = addon.eventFd();
    fillAndBlock(event);
    for (let i = 0; i < 3; i++) addon.signalForeignEventFd(event);
    expect([addon.drainEventFd(event), addon.drainEventFd(event)]).toEqual([true, false]);
    closeSync(event);
  });

  it('are told from anything else, and block nobody', () => {
    const event = addon.eventFd();
    expect(addon.adoptEventFd(event)).toBe(true);
    expect(addon.drainEventFd(event)).toBe(false);
    const [a, b] = addon.socketPair();
    const memory = addon.memoryFile('none', 4096);
    for (const fd of [a, memory]) expect(addon.adoptEventFd(fd)).toBe(false);
    for (const fd of [event, a, b, memory]) closeSync(fd);
    expect(() => addon.adoptEventFd(event)).toThrow(/Bad file/);
  });

  it('are watched until that is ended, and the watch keeps no copy then', async () => {
    const open = (): number => readdirSync('/proc/self/fd').length;
    const before = open();
    const event = addon.eventFd();
    let called = 0;
    const watch = addon.ringWatch(event, () => called++);
    addon.ringWatchStart(watch);
    addon.signalEventFd(event);
    for (let tries = 0; tries < 100 && called === 0; tries++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    addon.ringWatchStart(watch);
    addon.ringWatchClose(watch);
    addon.ringWatchClose(watch);
    addon.ringWatchStart(watch);
    await new Promise((resolve) => setTimeout(resolve, 10));
    closeSync(event);
    expect([called, open()]).toEqual([1, before]);
  });
});

describe.skipIf(native === null)('allocated memory with a descriptor', () => {
  const addon = native!;

  it('is what others map, and told of every place in it', () => {
    const handle = addon.allocateMemory(10_000, 1, 1);
    const bytes = new Uint8Array(addon.attachMemory(handle));
    const behind = addon.memoryBehind(bytes.subarray(5000, 5100))!;
    expect(behind).toMatchObject({ address: addon.memoryAddress(handle), bytes: 12_288 });
    const other = new Uint8Array(addon.mapDescriptor(behind.descriptor, 0, 12_288, 1));
    bytes[7777] = 0x5a;
    other[9999] = 0xa5;
    expect([other[7777], bytes[9999]]).toEqual([0x5a, 0xa5]);
    expect(() => writeFileSync(`/proc/self/fd/${behind.descriptor}`, '')).toThrow(/EPERM/); // its size is sealed
    addon.discardMemory(handle, 0, 8192);
    expect([other[7777], bytes[7777], bytes[9999]]).toEqual([0, 0, 0xa5]);
    closeSync(behind.descriptor);
    addon.releaseMemory(handle);
    const again = addon.memoryBehind(bytes)!; // for as long as somebody refers to it
    expect(again.address).toBe(behind.address);
    closeSync(again.descriptor);
  });

  it('is not there unless it was asked for', () => {
    const handle = addon.allocateMemory(4096, 0, 0);
    expect(addon.memoryBehind(new Uint8Array(addon.attachMemory(handle)))).toBe(null);
    expect(addon.memoryBehind(new Uint8Array(100))).toBe(null);
    addon.releaseMemory(handle);
    expect(() => addon.allocateMemory(4096, 0, 2)).toThrow(RangeError);
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
    new Uint8Array(addon.mapDescriptor(memory, 0, 4096, 1)).fill(0x77);
    const event = addon.eventFd();
    expect(addon.sendDescriptors(a, bytes('first'), Int32Array.of(memory, event))).toBe(5);
    expect(addon.sendDescriptors(a, bytes('second'), new Int32Array(0))).toBe(6);
    for (const fd of [memory, event]) closeSync(fd);
    const first = addon.receiveDescriptors(b, into)!;
    // The kernel does not join what came with descriptors to what comes after it.
    expect([first.bytes, first.descriptors.length]).toEqual([5, 2]);
    expect(Buffer.from(into.subarray(0, 5)).toString()).toBe('first');
    const [memoryCopy, eventCopy] = first.descriptors as [number, number];
    expect(new Uint8Array(addon.mapDescriptor(memoryCopy, 0, 4096, 1))[4095]).toBe(0x77);
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
    expect(addon.unixAccept(listener)).toBe(-1);
    const client = addon.unixConnect(path);
    const accepted = addon.unixAccept(listener);
    expect(addon.unixAccept(listener)).toBe(-1);
    addon.sendDescriptors(client, bytes('hello'), new Int32Array(0));
    expect(addon.receiveDescriptors(accepted, new Uint8Array(9))).toEqual({ bytes: 5, descriptors: [] });
    expect(() => addon.unixAccept(client)).toThrow();
    expect(() => addon.unixConnect(join(folder, 'nobody'))).toThrow(/No such file/);
    expect(() => addon.unixConnect(`/${'x'.repeat(108)}`)).toThrow(TypeError);
    for (const fd of [listener, client, accepted]) closeSync(fd);
    rmSync(folder, { recursive: true });
  });
});
