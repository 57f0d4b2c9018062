import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BLOCK, Owner, RW, SCRATCH_REGION, TestBed } from '../test/support.ts';
import {
  type BdevChannel,
  type BdevIo,
  Errno,
  IoStatus,
  IoType,
  IoVec,
  ioTypeMask,
  type LbaRangeLock,
} from './index.ts';

const { SUCCESS, FAILED, ABORTED, MISCOMPARE } = IoStatus;
const CHANGING = RW | ioTypeMask(IoType.UNMAP, IoType.WRITE_ZEROES, IoType.COPY);

async function channels(bed: TestBed): Promise<BdevChannel[]> {
  const there = bed.host.local[1]!;
  return [
    bed.channel,
    bed.open(bed.description, bed.reactor.createThread('second')),
    bed.channelOn(1, there.createThread('there')),
  ];
}

describe('locked ranges', () => {
  it('keep every other channel out of the range, and nothing else', async () => {
    const bed = await TestBed.start({ count: 2, spec: { io_types: CHANGING } });
    const all = await channels(bed);
    const holder = new Owner();
    const lock = await bed.until(all[2]!.lockRange(10, 5, holder));
    const owner = new Owner();
    all.forEach((channel, i) => {
      const { region } = channel.reactor.buffers;
      channel.writeBlocks(region, 0, 9, 2, owner, i * 10);
      channel.unmapBlocks(14, 1, owner, i * 10 + 1);
      channel.copyBlocks(12, 100, 2, owner, i * 10 + 2);
      channel.readBlocks(region, 0, 10, 5, owner, i * 10 + 3);
      channel.writeZeroesBlocks(15, 5, owner, i * 10 + 4);
      channel.copyBlocks(200, 11, 2, owner, i * 10 + 5);
      channel.writeBlocks(region, 0, 0, 10, owner, i * 10 + 6);
    });
    all[2]!.writeBlocks(all[2]!.reactor.buffers.region, 0, 10, 5, holder);
    await bed.settle();
    expect(holder.statuses).toEqual([SUCCESS]);
    expect(owner.order.map((n) => n % 10).sort()).toEqual([3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6]);
    await bed.until(lock.release());
    await bed.settle();
    expect(owner.done).toHaveLength(21);
    expect(new Set(owner.statuses)).toEqual(new Set([SUCCESS]));
    for (const channel of all) channel.put();
  });

  it('come when what is under way there has ended, and not before', async () => {
    const bed = await TestBed.start({ count: 2 });
    bed.script.immediate = false;
    bed.script.capacity = 2;
    const [first, , there] = await channels(bed);
    const owner = new Owner();
    // The third waits for the module's resources.
    for (let i = 0; i < 3; i++) first!.writeBlocks(bed.region, 0, 8 + i, 1, owner, i);
    let locked = false;
    const lock = there!.lockRange(10, 1, new Owner()).then((held) => {
      locked = true;
      return held;
    });
    await bed.settle();
    bed.script.complete(SUCCESS, 1);
    await bed.settle();
    expect(locked).toBe(false);
    bed.script.complete();
    await bed.settle();
    bed.script.complete();
    await bed.settle();
    expect(owner.order).toEqual([0, 1, 2]);
    expect(locked).toBe(true);
    await (await lock).release();
  });

  it('that overlap are held one after another, in the order asked for', async () => {
    const bed = await TestBed.start({ count: 2 });
    const [first, second, there] = await channels(bed);
    const got: string[] = [];
    const locks = new Map<string, LbaRangeLock>();
    const ask = (name: string, channel: BdevChannel, at: number, blocks: number): void => {
      channel.lockRange(at, blocks, new Owner()).then((lock) => {
        got.push(name);
        locks.set(name, lock);
      });
    };
    ask('a', first!, 0, 10);
    ask('b', there!, 5, 10);
    ask('c', second!, 14, 1);
    ask('d', second!, 20, 1);
    await bed.settle();
    expect(got.sort()).toEqual(['a', 'd']);
    await bed.until(locks.get('a')!.release());
    await bed.settle();
    expect(got).toEqual(['a', 'd', 'b']);
    await bed.until(locks.get('b')!.release());
    await bed.settle();
    expect(got).toEqual(['a', 'd', 'b', 'c']);
  });

  it('let go of an I/O that is aborted, by itself, by a reset or by removal', async () => {
    const bed = await TestBed.start();
    const lock = await bed.until(bed.bdevs.quiesce('Test0', 0, 8));
    const owner = new Owner();
    const io = bed.channel.getIo()!;
    Object.assign(io, { type: IoType.READ, offset_blocks: 0, num_blocks: 1, owner, ownerIndex: 1 });
    Object.assign(io, { region: bed.region, length: BLOCK });
    bed.channel.submit(io);
    bed.channel.compareAndWriteBlocks(bed.region, 0, 0, 50, 1, owner, 4);
    await bed.settle();
    expect(owner.done).toEqual([{ index: 4, status: SUCCESS, cdw0: 0 }]);
    owner.done = [];
    expect(bed.channel.abort(io, owner, 2)).toBe(0);
    bed.channel.readBlocks(bed.region, 0, 7, 1, owner, 3);
    bed.poll();
    expect(owner.done.map(({ index, status }) => [index, status])).toEqual([
      [1, ABORTED],
      [2, SUCCESS],
    ]);
    await bed.until(bed.bdevs.reset('Test0'));
    expect(owner.done.at(-1)).toMatchObject({ index: 3, status: ABORTED });
    bed.channel.readBlocks(bed.region, 0, 7, 1, owner, 5);
    const removal = bed.bdevs.unregister('Test0');
    await bed.settle();
    expect(owner.done.at(-1)).toMatchObject({ index: 5, status: ABORTED });
    bed.channel.put();
    await bed.until(removal);
    await lock.release();
  });

  it('do as the model does over two reactors, whatever comes when', async () => {
    const ranges = { at: fc.nat(19), blocks: fc.integer({ min: 1, max: 8 }) };
    const move = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({
          kind: fc.constant('io' as const),
          type: fc.constantFrom(IoType.READ, IoType.WRITE, IoType.UNMAP),
          channel: fc.nat(2),
          ...ranges,
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constant('lock' as const), channel: fc.nat(3), ...ranges }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('release' as const), which: fc.nat() }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('complete' as const), count: fc.nat(4) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('poll' as const), times: fc.nat(6) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(move, { maxLength: 40 }), async (moves) => {
        const bed = await TestBed.start({ count: 2, spec: { io_types: CHANGING } });
        bed.script.immediate = false;
        const all = await channels(bed);
        const owner = new Owner();
        const held: { at: number; end: number; quiesce: boolean; lock: LbaRangeLock }[] = [];
        const problems: string[] = [];
        const overlaps = (io: BdevIo, at: number, end: number): boolean =>
          io.offset_blocks < end && at < io.offset_blocks + io.num_blocks;
        const excluded = (io: BdevIo, range: { at: number; end: number; quiesce: boolean }): boolean =>
          (range.quiesce || io.type !== IoType.READ) && overlaps(io, range.at, range.end);
        bed.script.onSubmit = (io) => {
          for (const range of held)
            if (excluded(io, range)) problems.push(`${io.type} at ${io.offset_blocks} in a locked range`);
        };
        let locks = 0;
        let granted = 0;
        let submitted = 0;
        const ask = (channel: number, at: number, blocks: number): void => {
          const quiesce = channel === 3;
          const lock = quiesce
            ? bed.bdevs.quiesce('Test0', at, blocks)
            : all[channel]!.lockRange(at, blocks, new Owner());
          locks++;
          lock.then((got) => {
            granted++;
            const range = { at, end: at + blocks, quiesce, lock: got };
            for (const io of bed.script.held)
              if (excluded(io, range)) problems.push(`locked over an I/O at ${io.offset_blocks}`);
            for (const other of held)
              if (other.at < range.end && at < other.end) problems.push('two locks overlap');
            held.push(range);
          });
        };
        for (const m of moves) {
          if (m.kind === 'io') {
            const channel = all[m.channel]!;
            const { region } = channel.reactor.buffers;
            const args = [m.at, m.blocks, owner, submitted++] as const;
            if (m.type === IoType.READ) channel.readBlocks(region, 0, ...args);
            else if (m.type === IoType.WRITE) channel.writeBlocks(region, 0, ...args);
            else channel.unmapBlocks(...args);
          } else if (m.kind === 'lock') ask(m.channel, m.at, m.blocks);
          else if (m.kind === 'release') {
            const [range] = held.splice(m.which % (held.length || 1), 1);
            range?.lock.release();
          } else if (m.kind === 'complete') bed.script.complete(SUCCESS, m.count);
          else await bed.settle(m.times);
        }
        for (let i = 0; owner.done.length < submitted || granted < locks || held.length > 0; i++) {
          if (i === 400)
            throw new Error(`stuck: ${owner.done.length} of ${submitted}, ${granted} of ${locks}`);
          for (const { lock } of held.splice(0)) lock.release();
          bed.script.complete();
          await bed.settle(2);
        }
        await bed.settle();
        expect(problems).toEqual([]);
        expect(new Set(owner.statuses).size).toBeLessThan(2);
        for (const channel of all) channel.put();
      }),
      { numRuns: 40 },
    );
  });
});

describe('compare and write', () => {
  it('writes where the data are the same, and nothing where they are not', async () => {
    const bed = await TestBed.start({ spec: { acwu: 4 } });
    const owner = new Owner();
    bed.scratch.fill(7, 0, 2 * BLOCK);
    bed.scratch.fill(0, 8192, 8192 + 2 * BLOCK);
    bed.channel.compareAndWriteBlocks(SCRATCH_REGION, 8192, 0, 5, 2, owner, 1);
    await bed.settle();
    bed.channel.compareAndWriteBlocks(SCRATCH_REGION, 8192, 8192, 6, 2, owner, 2);
    await bed.settle();
    const pieces = (...list: [number, number][]): IoVec => {
      const iovs = new IoVec(4);
      for (const [offset, length] of list) iovs.push(SCRATCH_REGION, offset, length);
      return iovs;
    };
    const compare = pieces([0, 100], [100, 924]);
    bed.channel.comparevAndWritevBlocks(compare, pieces([8192, 512], [8200, 512]), 5, 2, owner, 3);
    await bed.settle();
    expect(owner.done.map(({ index, status }) => [index, status])).toEqual([
      [1, SUCCESS],
      [2, MISCOMPARE],
      [3, SUCCESS],
    ]);
    bed.channel.readBlocks(SCRATCH_REGION, 4096, 4, 4, owner);
    bed.poll();
    expect(bed.scratch.subarray(4096, 4096 + 4 * BLOCK).every((byte) => byte === 0)).toBe(true);
    const { channel } = bed;
    expect(channel.compareAndWriteBlocks(SCRATCH_REGION, 0, 0, 0, 5, owner)).toBe(Errno.EINVAL);
    expect(channel.compareAndWriteBlocks(SCRATCH_REGION, 0, bed.scratch.length - 1, 0, 1, owner)).toBe(
      Errno.EINVAL,
    );
  });

  it('loses no update of many channels that count in the same block', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(3), { minLength: 1, maxLength: 100 }), async (steps) => {
        const bed = await TestBed.start({ count: 2 });
        bed.script.immediate = false;
        const all = await channels(bed);
        const EACH = 5;
        const left = [EACH, EACH, EACH];
        all.forEach((channel, i) => {
          const region = SCRATCH_REGION;
          const bytes = bed.scratch;
          const at = i * 8192;
          const view = new DataView(bytes.buffer, bytes.byteOffset + at);
          const owner = new Owner();
          const read = (): void => void channel.readBlocks(region, at, 3, 1, owner);
          owner.onDone = (io) => {
            if (io.type === IoType.READ) {
              bytes.copyWithin(at + 1024, at, at + BLOCK);
              view.setUint32(1024, view.getUint32(0) + 1);
              channel.compareAndWriteBlocks(region, at, at + 1024, 3, 1, owner);
              return;
            }
            if (io.status === SUCCESS) left[i]!--;
            else expect(io.status).toBe(MISCOMPARE);
            if (left[i]! > 0) read();
          };
          read();
        });
        for (let i = 0; left.some((n) => n > 0); i++) {
          if (i === 3000) throw new Error('stuck');
          bed.script.complete(SUCCESS, steps[i % steps.length]! + (i >= steps.length ? 1 : 0));
          await bed.settle(1);
        }
        bed.script.immediate = true;
        const result = new Owner();
        bed.channel.readBlocks(SCRATCH_REGION, 0, 3, 1, result);
        await bed.settle();
        expect(new DataView(bed.scratch.buffer, bed.scratch.byteOffset).getUint32(0)).toBe(3 * EACH);
        for (const channel of all) channel.put();
      }),
      { numRuns: 15 },
    );
  });

  it('can be aborted while it waits and until it writes', async () => {
    const bed = await TestBed.start();
    bed.script.immediate = false;
    const lock = await bed.until(bed.channel.lockRange(0, 1, new Owner()));
    const owner = new Owner();
    const submit = (index: number): BdevIo => {
      const io = bed.channel.getIo()!;
      Object.assign(io, { type: IoType.COMPARE_AND_WRITE, offset_blocks: 0, num_blocks: 1 });
      Object.assign(io, { owner, ownerIndex: index, region: SCRATCH_REGION, length: BLOCK });
      Object.assign(io, { write_region: SCRATCH_REGION, write_offset: 0, write_iovs: null });
      expect(bed.channel.submit(io)).toBe(0);
      return io;
    };
    bed.scratch.fill(0, 0, BLOCK);
    const waiting = submit(1);
    bed.channel.abort(waiting, owner, 2);
    await bed.settle();
    expect(owner.done.map(({ index, status }) => [index, status])).toEqual([
      [1, ABORTED],
      [2, SUCCESS],
    ]);
    await bed.until(lock.release());
    owner.done = [];
    const comparing = submit(3);
    await bed.settle();
    expect(bed.script.held.map(({ type }) => type)).toEqual([IoType.READ]);
    bed.channel.abort(comparing, owner, 4);
    bed.script.complete();
    await bed.settle();
    expect(owner.done.map(({ index, status }) => [index, status])).toEqual([
      [4, SUCCESS],
      [3, ABORTED],
    ]);
    owner.done = [];
    const writing = submit(5);
    await bed.settle();
    bed.script.complete();
    await bed.settle();
    bed.channel.abort(writing, owner, 6);
    bed.script.complete();
    await bed.settle();
    expect(owner.done.map(({ index, status }) => [index, status])).toEqual([
      [6, FAILED],
      [5, SUCCESS],
    ]);
    bed.channel.put();
  });

  it('does not hold up a reset although its range is quiesced', async () => {
    const bed = await TestBed.start();
    const owner = new Owner();
    bed.channel.compareAndWriteBlocks(SCRATCH_REGION, 0, 0, 0, 1, owner);
    const quiesced = bed.bdevs.quiesce('Test0');
    const reset = bed.bdevs.reset('Test0');
    const lock = await bed.until(quiesced);
    await bed.until(reset);
    await bed.settle();
    expect(owner.done).toHaveLength(1);
    await bed.until(lock.release());
    bed.channel.put();
  });
});
