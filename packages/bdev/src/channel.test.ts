import { allocateSharedMemory, attachSharedMemory, releaseSharedMemory } from '@spdk-ts/env';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BLOCK, Owner, prepare, RW, TestBed } from '../test/support.ts';
import { type BdevIo, Errno, IoStatus, IoType, IoVec, ioTypeMask } from './index.ts';

const MS = 1_000_000;
const { SUCCESS, FAILED, ABORTED } = IoStatus;

describe('submit and completion', () => {
  it('never calls the owner within submit, also when it submits from the callback', async () => {
    const bed = await TestBed.start();
    const owner = new Owner();
    let inside = false;
    let submitted = 0;
    const submit = (): void => {
      inside = true;
      expect(bed.channel.readBlocks(bed.region, 0, 0, 1, owner, submitted++)).toBe(0);
      inside = false;
    };
    owner.onDone = () => {
      expect(inside).toBe(false);
      if (submitted < 100) submit();
    };
    submit();
    expect(owner.done).toEqual([]);
    bed.poll(1);
    expect(owner.done.length).toBeGreaterThan(0);
    expect(owner.done.length).toBeLessThan(100);
    bed.poll(200);
    expect(owner.order).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  it('counts the completions as work, so that a reactor does not go to sleep over them', async () => {
    const bed = await TestBed.start();
    const owner = new Owner();
    bed.poll();
    bed.channel.readBlocks(bed.region, 0, 0, 1, owner);
    expect(bed.reactor.hasPending).toBe(true);
    expect(bed.host.poll()).toBeGreaterThan(0);
    expect(owner.done).toHaveLength(1);
    expect(bed.host.poll()).toBe(0);
  });

  it('accepts exactly the ranges inside the device, whatever the numbers', async () => {
    const bed = await TestBed.start();
    const owner = new Owner();
    const number = fc.oneof(
      fc.integer({ min: -2, max: 1030 }),
      fc.constantFrom(
        ...[
          2 ** 31,
          2 ** 32,
          2 ** 53 - 1,
          2 ** 53,
          2 ** 63,
          2 ** 64,
          Number.MAX_VALUE,
          Number.POSITIVE_INFINITY,
        ],
        ...[Number.NaN, Number.NEGATIVE_INFINITY, 0.5, -0.5, 1023.5, -(2 ** 53)],
      ),
    );
    fc.assert(
      fc.property(number, number, fc.constantFrom(IoType.READ, IoType.WRITE), (at, blocks, type) => {
        const whole = Number.isInteger(at) && Number.isInteger(blocks);
        const inside = whole && at >= 0 && blocks >= 0 && BigInt(at) + BigInt(blocks) <= 1024n;
        const io = prepare(bed, owner, 0, type, at, blocks);
        const result = bed.channel.submit(io);
        if (result !== 0) io.free();
        expect(result).toBe(inside ? 0 : Errno.EINVAL);
        bed.poll();
      }),
      {
        examples: [
          [0.5, 1, IoType.READ],
          [0, 0.5, IoType.WRITE],
          [2 ** 53 - 1, 1, IoType.READ],
          [1, 2 ** 53 - 1, IoType.READ],
        ],
      },
    );
  });

  it('refuses data that do not fit: length, region, end of region, type', async () => {
    const bed = await TestBed.start({ spec: { required_alignment: 9 } });
    const owner = new Owner();
    const end = bed.bytes.length;
    const tryIt = (change: (io: BdevIo) => void, type: number = IoType.WRITE): number => {
      const io = prepare(bed, owner, 0, type, 0, 2);
      change(io);
      const result = bed.channel.submit(io);
      if (result !== 0) io.free();
      return result;
    };
    expect(tryIt(() => {})).toBe(0);
    const iovs = (...pieces: [number, number, number][]): IoVec => {
      const list = new IoVec(8);
      for (const [region, offset, length] of pieces) list.push(region, offset, length);
      return list;
    };
    const wrong: ((io: BdevIo) => void)[] = [
      (io) => (io.length = 1023),
      (io) => (io.length = 2048),
      (io) => (io.region = 999),
      (io) => (io.region = -1),
      (io) => (io.offset = Math.floor(end / 512) * 512 - 512),
      (io) => (io.offset = -512),
      (io) => (io.offset = 2 ** 53),
      (io) => (io.iovs = iovs([bed.region, 0, 512])),
      (io) => (io.iovs = iovs([bed.region, 0, 512], [bed.region, 0, 512], [bed.region, 0, 512])),
      (io) => (io.iovs = iovs([bed.region, 0, 512], [999, 0, 512])),
      (io) => (io.iovs = iovs([bed.region, 0, 512], [-1, 0, 512])),
      (io) => (io.iovs = iovs([bed.region, 0, 1536], [bed.region, 0, -512])),
      (io) => (io.iovs = iovs([bed.region, 0, 512], [bed.region, end - 100, 512])),
    ];
    for (const change of wrong) expect(tryIt(change), String(change)).toBe(Errno.EINVAL);
    expect(tryIt(() => {}, IoType.UNMAP)).toBe(Errno.ENOTSUP);
    expect(tryIt(() => {}, IoType.FLUSH)).toBe(Errno.ENOTSUP);
    expect(tryIt(() => {}, IoType.ZONE_APPEND)).toBe(Errno.ENOTSUP);
    bed.poll();
    expect(owner.done).toHaveLength(1);
  });

  it('lets buffers stand in for data that are not aligned as the module needs them', async () => {
    const pool = { small_count: 2, small_bytes: 4096, large_count: 1, large_bytes: 8192 };
    const bed = await TestBed.start({ spec: { required_alignment: 9 }, pool });
    const { buffers, regions } = bed.reactor;
    const memory = allocateSharedMemory(65_536);
    const bytes = attachSharedMemory(memory);
    const region = bed.host.allocateRegionId();
    regions.add(region, bytes);
    const owner = new Owner();
    bed.script.immediate = false;
    const aligned = (io: BdevIo): boolean => io.iovs === null && regions.aligned(io.region, io.offset, 511);
    const settle = (): void => {
      for (let i = 0; i < 40; i++) {
        for (const io of bed.script.held) expect(aligned(io)).toBe(true);
        bed.script.complete();
        bed.poll();
      }
    };
    const pieces = (...list: [number, number][]): IoVec => {
      const iovs = new IoVec(4);
      for (const [offset, length] of list) iovs.push(region, offset, length);
      return iovs;
    };
    // More at once than there are buffers.
    bytes.forEach((_, i) => {
      bytes[i] = (i * 13) >>> 3;
    });
    for (let i = 0; i < 6; i++)
      expect(bed.channel.writeBlocks(region, 8 + i * 1024, i * 2, 2, owner)).toBe(0);
    const spread = pieces([20_000, 100], [21_000, 412], [22_016, 512]);
    expect(bed.channel.writevBlocks(spread, 12, 2, owner)).toBe(0);
    settle();
    const target = pieces([30_004, 1000], [40_000, 24]);
    expect(bed.channel.readvBlocks(target, 12, 2, owner)).toBe(0);
    for (let i = 0; i < 6; i++)
      expect(bed.channel.readBlocks(region, 50_001 + i * 1024, i * 2, 2, owner)).toBe(0);
    settle();
    expect(owner.statuses).toEqual(new Array(14).fill(IoStatus.SUCCESS));
    expect(bytes.slice(50_001, 50_001 + 6144)).toEqual(bytes.slice(8, 8 + 6144));
    const written = Buffer.concat([
      bytes.subarray(20_000, 20_100),
      bytes.subarray(21_000, 21_412),
      bytes.subarray(22_016, 22_528),
    ]);
    const read = Buffer.concat([bytes.subarray(30_004, 31_004), bytes.subarray(40_000, 40_024)]);
    expect(Buffer.compare(read, written)).toBe(0);
    expect([buffers.smallFree, buffers.largeFree]).toEqual([2, 1]);
    // The owner finds its I/O as it was; an aborted one gives its buffer back.
    owner.keep = true;
    expect(bed.channel.readvBlocks(target, 0, 2, owner)).toBe(0);
    const io = bed.script.held[0]!;
    expect(bed.channel.abort(io, new Owner())).toBe(0);
    bed.poll();
    expect([io.status, io.iovs, io.region]).toEqual([IoStatus.ABORTED, target, -1]);
    expect([buffers.smallFree, buffers.largeFree]).toEqual([2, 1]);
    // What is longer than the largest buffer goes in parts that are not.
    owner.keep = false;
    expect(bed.channel.writeBlocks(region, 1, 0, 40, owner)).toBe(0);
    settle();
    expect(bed.channel.readBlocks(region, 32_001, 0, 40, owner)).toBe(0);
    settle();
    expect(owner.statuses.slice(-2)).toEqual([IoStatus.SUCCESS, IoStatus.SUCCESS]);
    expect(bytes.slice(32_001, 32_001 + 20_480)).toEqual(bytes.slice(1, 1 + 20_480));
    expect([buffers.smallFree, buffers.largeFree]).toEqual([2, 1]);
    releaseSharedMemory(memory);
  });

  it('refuses to change a read-only device with EPERM', async () => {
    const bed = await TestBed.start({ spec: { io_types: ioTypeMask(IoType.READ) } });
    const owner = new Owner();
    expect(bed.channel.writeBlocks(bed.region, 0, 0, 1, owner)).toBe(Errno.EPERM);
    expect(bed.channel.writeZeroesBlocks(0, 1, owner)).toBe(Errno.EPERM);
    expect(bed.channel.copyBlocks(0, 1, 1, owner)).toBe(Errno.EPERM);
    expect(bed.channel.readBlocks(bed.region, 0, 0, 1, owner)).toBe(0);
  });

  it('completes an I/O of no blocks without asking the module', async () => {
    const bed = await TestBed.start();
    const owner = new Owner();
    expect(bed.channel.writeBlocks(bed.region, 0, 1024, 0, owner)).toBe(0);
    bed.poll();
    expect(owner.statuses).toEqual([SUCCESS]);
    expect(bed.script.seen).toEqual([]);
  });

  it('throws on misuse: completed twice, freed twice, submitted twice', async () => {
    const bed = await TestBed.start();
    bed.script.immediate = false;
    const owner = new Owner();
    owner.keep = true;
    const io = prepare(bed, owner, 0, IoType.READ, 0, 1);
    bed.channel.submit(io);
    expect(() => bed.channel.submit(io)).toThrow('was submitted in state');
    expect(() => io.free()).toThrow('was freed in state');
    bed.script.complete();
    expect(() => io.complete(SUCCESS)).toThrow('was completed in state');
    bed.poll();
    io.free();
    expect(() => io.free()).toThrow('was freed in state');
  });

  it('lets an owner submit a completed I/O again', async () => {
    const bed = await TestBed.start();
    const owner = new Owner();
    owner.keep = true;
    const io = prepare(bed, owner, 7, IoType.WRITE, 0, 1);
    for (let i = 0; i < 3; i++) {
      expect(bed.channel.submit(io)).toBe(0);
      bed.poll();
    }
    expect(owner.order).toEqual([7, 7, 7]);
  });
});

describe('I/O objects', () => {
  it('hands out what the pool has, then serves waiters first come first served, and lets nobody jump the queue', async () => {
    const bed = await TestBed.start({ options: { bdev_io_pool_size: 16, bdev_io_cache_size: 8 } });
    const taken: BdevIo[] = [];
    for (let io = bed.channel.getIo(); io !== null; io = bed.channel.getIo()) taken.push(io);
    // 8 for sure, and the 8 that no thread has claimed.
    expect(taken).toHaveLength(16);
    const got: string[] = [];
    const waiter = (name: string) => ({
      bdevIoAvailable: () => {
        const io = bed.channel.getIo();
        got.push(`${name}:${io !== null}`);
        if (io !== null) taken.push(io);
      },
    });
    bed.channel.queueWait(waiter('a'));
    bed.channel.queueWait(waiter('b'));
    expect(bed.channel.getIo()).toBeNull();
    taken.shift()!.free();
    expect(got).toEqual(['a:true']);
    expect(bed.channel.getIo()).toBeNull();
    taken.shift()!.free();
    expect(got).toEqual(['a:true', 'b:true']);
    taken.shift()!.free();
    const io = bed.channel.getIo()!;
    expect(io).not.toBeNull();
    // Waiting although there is something: told on the next iteration, not within the call.
    io.free();
    bed.channel.queueWait(waiter('c'));
    expect(bed.channel.getIo()).toBeNull();
    expect(got).toHaveLength(2);
    bed.poll();
    expect(got[2]).toBe('c:true');
  });

  it('makes pool objects under ENOMEM of the helpers', async () => {
    const bed = await TestBed.start({ options: { bdev_io_pool_size: 4, bdev_io_cache_size: 2 } });
    bed.script.immediate = false;
    const owner = new Owner();
    const results = Array.from({ length: 6 }, (_, i) =>
      bed.channel.readBlocks(bed.region, 0, 0, 1, owner, i),
    );
    expect(results).toEqual([0, 0, 0, 0, Errno.ENOMEM, Errno.ENOMEM]);
    bed.script.complete();
    bed.poll();
    expect(owner.order).toEqual([0, 1, 2, 3]);
  });

  it('gives what a thread took beyond its share back with its last channel', async () => {
    const bed = await TestBed.start({ options: { bdev_io_pool_size: 8, bdev_io_cache_size: 2 } });
    const other = bed.reactor.createThread('other');
    const hog: BdevIo[] = [];
    for (let io = bed.channel.getIo(); io !== null; io = bed.channel.getIo()) hog.push(io);
    expect(hog).toHaveLength(8);
    const second = bed.open(bed.description, other);
    expect([second.getIo(), second.getIo(), second.getIo()].map((io) => io !== null)).toEqual([
      true,
      true,
      false,
    ]);
    for (const io of hog) io.free();
    bed.channel.put();
    expect(second.getIo()).not.toBeNull();
  });
});

describe('reads that bring no place', () => {
  const pool = { small_count: 2, small_bytes: 8192, large_count: 1, large_bytes: 132 * 1024 };

  it('get buffers in order, give them back with free, and wait when there are none', async () => {
    const bed = await TestBed.start({ pool });
    const owner = new Owner();
    owner.keep = true;
    bed.channel.writeBlocks(bed.region, 0, 5, 1, new Owner());
    for (let i = 0; i < 5; i++) expect(bed.channel.readBlocks(-1, 0, i, 1, owner, i)).toBe(0);
    bed.poll();
    expect(owner.order).toEqual([0, 1]);
    expect(owner.ios.map((io) => io.region)).toEqual([bed.region, bed.region]);
    expect(new Set(owner.ios.map((io) => io.offset)).size).toBe(2);
    expect(owner.ios[0]!.length).toBe(512);
    owner.ios.shift()!.free();
    bed.poll();
    expect(owner.order).toEqual([0, 1, 2]);
    // A large one finds a large buffer, but must not overtake those that wait.
    expect(bed.channel.readBlocks(-1, 0, 0, 64, owner, 9)).toBe(0);
    bed.poll();
    expect(owner.order).toEqual([0, 1, 2]);
    while (owner.ios.length > 0) {
      owner.ios.shift()!.free();
      bed.poll();
    }
    expect(owner.order).toEqual([0, 1, 2, 3, 4, 9]);
    expect(bed.reactor.buffers.smallFree).toBe(2);
    expect(bed.reactor.buffers.largeFree).toBe(1);
  });

  it('are refused when no buffer could ever hold them', async () => {
    const bed = await TestBed.start({ pool });
    expect(bed.channel.readBlocks(-1, 0, 0, 265, new Owner())).toBe(Errno.EINVAL);
    expect(bed.channel.readBlocks(-1, 0, 0, 264, new Owner())).toBe(0);
  });
});

describe('a module without resources (NOMEM)', () => {
  it('gets I/O in the order of submission, again when enough has completed', async () => {
    const bed = await TestBed.start();
    bed.script.immediate = false;
    bed.script.capacity = 32;
    const owner = new Owner();
    for (let i = 0; i < 40; i++) bed.channel.readBlocks(bed.region, 0, 0, 1, owner, i);
    // The 33rd was refused; the others wait behind it without being tried.
    expect(bed.script.seen).toHaveLength(33);
    expect(bed.script.held).toHaveLength(32);
    // 32 were outstanding: the next try is at max(16, 24).
    bed.script.complete(SUCCESS, 7);
    bed.poll();
    expect(bed.script.seen).toHaveLength(33);
    bed.script.complete(SUCCESS, 1);
    bed.poll();
    expect(bed.script.seen).toHaveLength(41);
    bed.script.complete();
    bed.poll();
    expect(owner.order).toEqual(Array.from({ length: 40 }, (_, i) => i));
    expect(new Set(owner.statuses)).toEqual(new Set([SUCCESS]));
  });

  it('is asked again after half of a few', async () => {
    const bed = await TestBed.start();
    bed.script.immediate = false;
    bed.script.capacity = 4;
    const owner = new Owner();
    for (let i = 0; i < 6; i++) bed.channel.readBlocks(bed.region, 0, 0, 1, owner, i);
    bed.script.complete(SUCCESS, 1);
    bed.poll();
    expect(bed.script.seen).toHaveLength(5);
    bed.script.complete(SUCCESS, 1);
    bed.poll();
    expect(bed.script.seen).toHaveLength(7);
  });

  it('is asked again after 10 ms when nothing is outstanding', async () => {
    const bed = await TestBed.start();
    bed.script.capacity = 0;
    const owner = new Owner();
    for (let i = 0; i < 3; i++) bed.channel.readBlocks(bed.region, 0, 0, 1, owner, i);
    bed.poll(50);
    expect(bed.script.seen).toHaveLength(1);
    bed.advance(9 * MS);
    expect(bed.script.seen).toHaveLength(1);
    bed.advance(1 * MS);
    expect(bed.script.seen).toHaveLength(2);
    bed.script.capacity = 1;
    bed.advance(10 * MS);
    expect(owner.order).toEqual([0, 1, 2]);
    expect(bed.thread.timedPollers).toHaveLength(0);
  });

  it('keeps the order of random loads', async () => {
    const bed = await TestBed.start();
    bed.script.immediate = false;
    const moves = fc.array(fc.tuple(fc.nat(12), fc.nat(6), fc.integer({ min: 1, max: 9 })), {
      maxLength: 30,
    });
    fc.assert(
      fc.property(moves, (list) => {
        const owner = new Owner();
        let submitted = 0;
        for (const [submit, complete, capacity] of list) {
          bed.script.capacity = capacity;
          for (let i = 0; i < submit; i++) bed.channel.readBlocks(bed.region, 0, 0, 1, owner, submitted++);
          bed.script.complete(SUCCESS, complete);
          bed.advance(10 * MS);
        }
        bed.script.capacity = Number.POSITIVE_INFINITY;
        for (let i = 0; i < 3; i++) {
          bed.script.complete();
          bed.advance(10 * MS);
        }
        expect(owner.order).toEqual(Array.from({ length: submitted }, (_, i) => i));
      }),
      { numRuns: 60 },
    );
  });
});

describe('what the layer does for modules that cannot', () => {
  const SIZE = 64;
  const operation = fc.record({
    type: fc.constantFrom('write', 'zeroes', 'copy', 'compare'),
    at: fc.nat(SIZE - 1),
    from: fc.nat(SIZE - 1),
    blocks: fc.integer({ min: 1, max: SIZE }),
    fill: fc.integer({ min: 1, max: 255 }),
  });

  it('does write zeroes, copy and compare as the model does, in pieces', async () => {
    // The largest buffer holds 8 blocks: most operations take several pieces.
    const pool = { small_count: 2, small_bytes: 4096, large_count: 2, large_bytes: 4096 };
    const bed = await TestBed.start({ pool, spec: { num_blocks: SIZE } });
    const DATA = bed.host.allocateRegionId();
    const data = new Uint8Array(SIZE * BLOCK);
    bed.reactor.regions.add(DATA, data);
    const owner = new Owner();
    const run = (result: number): number => {
      expect(result).toBe(0);
      bed.poll(200);
      return owner.done.pop()!.status;
    };
    const model = new Uint8Array(SIZE * BLOCK);
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 20 }), (list) => {
        for (const { type, at, from, blocks, fill } of list) {
          const count = Math.min(blocks, SIZE - at, SIZE - from);
          const range = [at * BLOCK, (at + count) * BLOCK] as const;
          if (type === 'write') {
            data.fill(fill, 0, count * BLOCK);
            data[count * BLOCK - 1] = at;
            model.set(data.subarray(0, count * BLOCK), range[0]);
            expect(run(bed.channel.writeBlocks(DATA, 0, at, count, owner))).toBe(SUCCESS);
          } else if (type === 'zeroes') {
            model.fill(0, ...range);
            expect(run(bed.channel.writeZeroesBlocks(at, count, owner))).toBe(SUCCESS);
          } else if (type === 'copy') {
            model.copyWithin(at * BLOCK, from * BLOCK, (from + count) * BLOCK);
            expect(run(bed.channel.copyBlocks(at, from, count, owner))).toBe(SUCCESS);
          } else {
            data.set(model.subarray(...range));
            const differs = fill % 2 === 0;
            if (differs) data[(fill * 131) % (count * BLOCK)]! ^= 1;
            const expected = differs ? IoStatus.MISCOMPARE : SUCCESS;
            expect(run(bed.channel.compareBlocks(DATA, 0, at, count, owner))).toBe(expected);
          }
        }
        expect(run(bed.channel.readBlocks(DATA, 0, 0, SIZE, owner))).toBe(SUCCESS);
        expect(Buffer.compare(data, model)).toBe(0);
      }),
      { numRuns: 60 },
    );
    expect(bed.reactor.buffers.smallFree + bed.reactor.buffers.largeFree).toBe(4);
  });

  it('ends with the failure of a piece, and after the piece when it is aborted', async () => {
    const pool = { small_count: 2, small_bytes: 4096, large_count: 2, large_bytes: 4096 };
    const bed = await TestBed.start({ pool });
    bed.script.immediate = false;
    const owner = new Owner();
    bed.channel.copyBlocks(0, 100, 50, owner, 0);
    bed.script.complete(FAILED);
    bed.poll();
    expect(owner.done).toEqual([{ index: 0, status: FAILED, cdw0: 0 }]);
    const io = prepare(bed, owner, 1, IoType.COPY, 0, 50);
    io.src_offset_blocks = 100;
    bed.channel.submit(io);
    bed.channel.abort(io, owner, 2);
    bed.poll();
    expect(owner.order).toEqual([0, 2]);
    bed.script.complete();
    bed.poll();
    expect(owner.done.at(-1)).toMatchObject({ index: 1, status: ABORTED });
    expect(bed.script.held).toEqual([]);
    expect(bed.reactor.buffers.smallFree + bed.reactor.buffers.largeFree).toBe(4);
  });

  it('ends aborted where it was said to, whatever its last piece comes to', async () => {
    const bed = await TestBed.start();
    bed.script.immediate = false;
    const owner = new Owner();
    const io = prepare(bed, owner, 0, IoType.COMPARE, 0, 1);
    io.region = bed.region;
    io.offset = 64 * BLOCK;
    io.length = BLOCK;
    bed.bytes.fill(1, io.offset, io.offset + BLOCK);
    expect(bed.channel.submit(io)).toBe(0);
    bed.channel.abort(io, owner, 1);
    bed.poll();
    expect(owner.done).toEqual([{ index: 1, status: SUCCESS, cdw0: 0 }]);
    bed.script.complete();
    bed.poll();
    expect(owner.done.at(-1)).toMatchObject({ index: 0, status: ABORTED });
  });

  it('goes on although the pool of I/O objects is empty', async () => {
    const bed = await TestBed.start({ options: { bdev_io_pool_size: 2, bdev_io_cache_size: 1 } });
    const owner = new Owner();
    const hoard = bed.channel.getIo()!;
    expect(bed.channel.writeZeroesBlocks(0, 4, owner)).toBe(0);
    expect(bed.channel.getIo()).toBeNull();
    bed.poll(20);
    expect(owner.statuses).toEqual([SUCCESS]);
    hoard.free();
  });
});

describe('channels', () => {
  it('are one for each thread and bdev, counted, and named after the bdev', async () => {
    const bed = await TestBed.start();
    const again = bed.open(bed.description);
    expect(again).toBe(bed.channel);
    expect(bed.thread.ioChannels.map((c) => [c.device.name, c.ref])).toEqual([['bdev_Test0', 2]]);
    again.put();
    bed.channel.put();
    expect(bed.thread.ioChannels).toEqual([]);
    expect(bed.thread.activePollers).toHaveLength(0);
  });

  it('tell what can be submitted', async () => {
    const bed = await TestBed.start({ spec: { io_types: RW } });
    const can = (type: number): boolean => bed.channel.supports(type);
    expect([IoType.READ, IoType.WRITE_ZEROES, IoType.COMPARE, IoType.COPY, IoType.RESET].map(can)).toEqual(
      Array(5).fill(true),
    );
    expect([IoType.UNMAP, IoType.FLUSH, IoType.ZONE_APPEND].map(can)).toEqual(Array(3).fill(false));
  });
});
