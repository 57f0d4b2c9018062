import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BdevIo, IoType, IoVec } from '@spdk-ts/bdev';
import { allocateSharedMemory, attachSharedMemory, ManualClock, RegionTable } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import { LocalHost, Uring } from '@spdk-ts/reactor';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EngineOwner, FileEngine } from './engine.ts';
import { NodeEngine } from './node-engine.ts';
import { FileOperation, Phase } from './operation.ts';
import { RingEngine } from './ring-engine.ts';
import { threadedRing } from './side-ring.ts';

function ringHere(): string {
  if (native === null) return 'no addon';
  try {
    new Uring(native, () => {}, null, { entries: 8, cq_entries: 16 });
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}
const unavailable = ringHere();
/** With a ring whose submissions a thread of the kernel takes, too. */
const THREADED = 'io_uring and its thread';
const ways = unavailable === '' ? ['node:fs', 'io_uring', THREADED] : ['node:fs'];
if (unavailable !== '') console.log(`no tests of the ring's engine: ${unavailable}`);

let folder = '';
let fd = -1;
const path = (): string => join(folder, 'file');
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'file-io-'));
  fd = openSync(path(), 'w+');
});
afterEach(() => {
  closeSync(fd);
  rmSync(folder, { recursive: true });
});

/** An engine, and the way to wait for its next answer. */
interface Bed {
  readonly engine: FileEngine;
  readonly regions: RegionTable;
  answer(): Promise<[number, number]>;
}

async function start(way: string): Promise<Bed> {
  const host = await LocalHost.start({ clock: new ManualClock(), plugins: [], uring: way !== 'node:fs' });
  const reactor = host.local[0]!;
  const thread = reactor.threads[0]!;
  const { regions } = reactor;
  regions.add(2000, attachSharedMemory(allocateSharedMemory(65_536)));
  const answers: [number, number][] = [];
  const owner: EngineOwner = { answered: (...answer) => void answers.push(answer) };
  const data = way === THREADED ? threadedRing(native!, reactor) : null;
  const engine =
    way !== 'node:fs'
      ? new RingEngine(
          {
            ...{ native: native!, ring: reactor.ring!, regions, zeroRegion: 2000, fd, direct: true },
            ...{ place: reactor.ring!.files.add(fd), data },
          },
          owner,
        )
      : new NodeEngine(fd, thread, 2000, owner);
  const answer = async (): Promise<[number, number]> => {
    while (answers.length === 0) {
      host.poll();
      data?.enter();
      await new Promise((resolve) => setImmediate(resolve));
    }
    return answers.shift()!;
  };
  return { engine, regions, answer };
}

function operation(io: BdevIo, phase: number, at: number, length: number, done = 0): FileOperation {
  const made = new FileOperation(3);
  return Object.assign(made, { io, phase, at, length, done });
}

describe.each(ways)('the engine over %s', (way) => {
  it('goes on in the middle of a gather list, reading and writing', async () => {
    const { engine, regions, answer } = await start(way);
    const bytes = attachSharedMemory(allocateSharedMemory(4096));
    bytes.forEach((_, i) => {
      bytes[i] = (i * 7) & 0xff;
    });
    regions.add(2001, bytes);
    const iovs = new IoVec(4);
    iovs.push(2001, 1024, 512);
    iovs.push(2001, 0, 100);
    iovs.push(2001, 200, 412);
    const data = Buffer.concat([
      bytes.subarray(1024, 1536),
      bytes.subarray(0, 100),
      bytes.subarray(200, 612),
    ]);
    for (const done of [0, 300, 512, 560, 612, 1000]) {
      truncateSync(path(), 0);
      const io = new BdevIo(0);
      io.type = IoType.WRITE;
      io.iovs = iovs;
      const written = operation(io, Phase.TRANSFER, 4096, 1024, done);
      expect(engine.begin(written)).toBe(true);
      engine.transfer(written);
      expect(await answer()).toEqual([3, 1024 - done]);
      expect(readFileSync(path()).subarray(4096 + done)).toEqual(data.subarray(done));
      io.type = IoType.READ;
      const before = bytes.slice();
      for (let i = 0; i < iovs.count; i++) bytes.fill(0, iovs.offset[i]!, iovs.offset[i]! + iovs.length[i]!);
      engine.transfer(written);
      expect(await answer()).toEqual([3, 1024 - done]);
      const now = Buffer.concat([
        bytes.subarray(1024, 1536),
        bytes.subarray(0, 100),
        bytes.subarray(200, 612),
      ]);
      expect(now.subarray(done)).toEqual(data.subarray(done));
      expect(now.subarray(0, done)).toEqual(Buffer.alloc(done));
      bytes.set(before);
    }
    engine.destroy();
  });

  it('answers with what the system said: short reads, the end of the file, errors; zeroes, holes and syncs', async () => {
    const { engine, answer } = await start(way);
    const io = Object.assign(new BdevIo(0), { type: IoType.WRITE, region: 0, offset: 0, length: 8192 });
    const ask = async (what: 'transfer' | 'writeZeroes' | 'allocate' | 'sync', o: FileOperation) => {
      engine.begin(o);
      engine[what](o);
      const [, result] = await answer();
      engine.end(o);
      return result;
    };
    expect(await ask('transfer', operation(io, Phase.TRANSFER, 0, 8192))).toBe(8192);
    expect(await ask('writeZeroes', operation(io, Phase.ZEROES, 4096, 100_000, 0))).toBe(65_536);
    expect(await ask('sync', operation(io, Phase.SYNC, 0, 0))).toBe(0);
    if (engine.punches) {
      const hole = operation(io, Phase.PUNCH, 0, 4096);
      hole.count = 4096;
      expect(await ask('allocate', hole)).toBe(0);
    }
    io.type = IoType.READ;
    expect(await ask('transfer', operation(io, Phase.TRANSFER, 69_632 - 100, 8192))).toBe(100);
    expect(await ask('transfer', operation(io, Phase.TRANSFER, 2 ** 40, 8192))).toBe(0);
    io.type = IoType.WRITE;
    expect(await ask('transfer', operation(io, Phase.TRANSFER, 2 ** 53 - 8192, 8192))).toBe(-27);
    engine.destroy();
  });
});

describe.skipIf(unavailable !== '')('memory registered in a ring', () => {
  it('is registered as it is used, by pieces, and let go with its region', () => {
    const regions = new RegionTable();
    const mib = 2 ** 20;
    const memory = { regions, lockable_bytes: 5 * mib };
    const { buffers } = new Uring(native!, () => {}, memory, { entries: 8, cq_entries: 16 });
    regions.add(5, attachSharedMemory(allocateSharedMemory(5 * mib)));
    expect(buffers.registered).toBe(0);
    const first = buffers.find(5, 4096, 8192);
    if (first < 0) {
      console.log('memory cannot be registered here: no more is tested');
      return;
    }
    expect(buffers.find(5, 2 * mib - 4096, 4096)).toBe(first);
    expect(buffers.find(5, 2 * mib - 4096, 8192)).toBe(-1);
    const last = buffers.find(5, 4 * mib, mib);
    expect([last >= 0, last !== first, buffers.registered]).toEqual([true, true, 2]);
    // No more than was allowed.
    expect(buffers.find(5, 2 * mib, mib)).toBe(-1);
    regions.remove(5);
    expect(buffers.registered).toBe(0);
    regions.add(5, attachSharedMemory(allocateSharedMemory(mib)));
    expect(buffers.find(5, 0, mib)).toBeGreaterThanOrEqual(0);
    expect(buffers.registered).toBe(1);
  });
});
