import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BLOCK, Owner, RW, TestBed } from '../test/support.ts';
import { type BdevIo, type BdevSpec, Errno, IoStatus, IoType, IoVec, ioTypeMask } from './index.ts';

const { SUCCESS, FAILED, ABORTED, MISCOMPARE } = IoStatus;
const SIZE = 96;
const ALL = RW | ioTypeMask(IoType.COMPARE, IoType.UNMAP, IoType.WRITE_ZEROES, IoType.COPY);

/** Says what is wrong with an I/O that reached the module, or nothing. */
function excess(io: BdevIo, spec: Partial<BdevSpec>): string {
  const over = (value: number, limit: number | undefined): boolean => limit! > 0 && value > limit!;
  const { num_blocks, offset_blocks, type } = io;
  if (num_blocks < 1) return 'no blocks';
  if (type === IoType.UNMAP)
    return over(num_blocks, spec.max_unmap! * Math.max(1, spec.max_unmap_segments!)) ? 'max_unmap' : '';
  if (type === IoType.WRITE_ZEROES) return over(num_blocks, spec.max_write_zeroes) ? 'max_write_zeroes' : '';
  if (type === IoType.COPY) return over(num_blocks, spec.max_copy) ? 'max_copy' : '';
  if (over(num_blocks, spec.max_rw_size)) return 'max_rw_size';
  const lengths = io.iovs === null ? [io.length] : [...io.iovs.length.subarray(0, io.iovs.count)];
  if (lengths.reduce((a, b) => a + b, 0) !== num_blocks * BLOCK) return 'length';
  if (over(lengths.length, spec.max_num_segments)) return 'max_num_segments';
  if (lengths.some((length) => over(length, spec.max_segment_size))) return 'max_segment_size';
  const unit = spec.write_unit_size!;
  const write = type === IoType.WRITE;
  if (write && (num_blocks % unit !== 0 || offset_blocks % unit !== 0)) return 'write_unit_size';
  if (write && spec.split_on_write_unit) return num_blocks === unit ? '' : 'split_on_write_unit';
  const boundary = spec.split_on_optimal_io_boundary ? spec.optimal_io_boundary! : 0;
  return boundary > 0 && (offset_blocks % boundary) + num_blocks > boundary ? 'boundary' : '';
}

const limits = fc
  .record({
    boundary: fc.nat(9),
    max_num_segments: fc.nat(4),
    segment: fc.nat(5),
    rw: fc.nat(12),
    write_unit_size: fc.constantFrom(1, 1, 1, 2, 4),
    split_on_write_unit: fc.boolean(),
    max_unmap: fc.nat(10),
    max_unmap_segments: fc.nat(3),
    max_write_zeroes: fc.nat(10),
    max_copy: fc.nat(10),
  })
  .map(({ boundary, segment, rw, ...rest }) => ({
    ...rest,
    optimal_io_boundary: boundary * rest.write_unit_size,
    split_on_optimal_io_boundary: boundary > 0,
    max_segment_size: segment * rest.write_unit_size * BLOCK,
    max_rw_size: rw > 0 ? Math.max(rw, rest.write_unit_size) : 0,
  }));

const operation = fc.record({
  type: fc.constantFrom('write', 'read', 'readPlace', 'zeroes', 'unmap', 'copy', 'compare'),
  at: fc.nat(SIZE - 1),
  from: fc.nat(SIZE - 1),
  blocks: fc.integer({ min: 1, max: SIZE }),
  fill: fc.integer({ min: 1, max: 250 }),
  /** Lengths of the pieces of memory, bytes; what is left over is the last. */
  cuts: fc.array(fc.nat(1500), { maxLength: 9 }),
});

describe('splitting', () => {
  it('keeps to random limits whatever the shape of the data, and does as the model does', async () => {
    await fc.assert(
      fc.asyncProperty(
        limits,
        fc.constantFrom(0, 2, 9),
        fc.array(operation, { maxLength: 12 }),
        async (spec, required_alignment, list) => {
          const pool = { small_count: 2, small_bytes: 4096, large_count: 2, large_bytes: SIZE * BLOCK };
          const bed = await TestBed.start({
            pool,
            options: { bdev_io_pool_size: 6, bdev_io_cache_size: 2 },
            spec: { num_blocks: SIZE, io_types: ALL, required_alignment, ...spec },
          });
          const problems: string[] = [];
          bed.script.onSubmit = (io) => {
            const problem = excess(io, spec);
            if (problem !== '') problems.push(`${problem}: ${io.type} ${io.offset_blocks}+${io.num_blocks}`);
          };
          const DATA = bed.host.allocateRegionId();
          const memory = new Uint8Array(3 * SIZE * BLOCK);
          bed.reactor.regions.add(DATA, memory);
          const model = new Uint8Array(SIZE * BLOCK);
          const owner = new Owner();
          owner.keep = true;
          const run = (result: number): BdevIo => {
            expect(result).toBe(0);
            for (let i = 0; owner.ios.length === 0; i++) {
              if (i === 3000) throw new Error('the I/O does not end');
              bed.poll(1);
            }
            return owner.ios.pop()!;
          };
          const end = (io: BdevIo, status: number): void => {
            expect(io.status).toBe(status);
            io.free();
          };
          for (const step of list) {
            const unit = spec.write_unit_size;
            const aligned = step.type === 'write';
            const at = aligned ? step.at - (step.at % unit) : step.at;
            const most = Math.min(step.blocks, SIZE - at, step.type === 'copy' ? SIZE - step.from : SIZE);
            const blocks = aligned ? Math.max(unit, most - (most % unit)) : most;
            const bytes = blocks * BLOCK;
            const range = [at * BLOCK, at * BLOCK + bytes] as const;
            const iovs = new IoVec(12);
            let place = step.fill % 7;
            let left = bytes;
            for (const cut of step.cuts) {
              const length = Math.min(cut, left);
              iovs.push(DATA, place, length);
              place += length + (step.fill % 3);
              left -= length;
            }
            iovs.push(DATA, place, left);
            const scatter = (data: Uint8Array): void => {
              for (let i = 0, done = 0; i < iovs.count; done += iovs.length[i]!, i++)
                memory.set(data.subarray(done, done + iovs.length[i]!), iovs.offset[i]!);
            };
            const gather = (): Buffer =>
              Buffer.concat(
                [...iovs.offset.subarray(0, iovs.count)].map((o, i) => memory.slice(o, o + iovs.length[i]!)),
              );
            const plain = step.cuts.length === 0;
            if (step.type === 'write') {
              const data = Uint8Array.from({ length: bytes }, (_, i) => (i * 7 + step.fill) ^ (i >> 8));
              model.set(data, range[0]);
              scatter(data);
              const result = plain
                ? bed.channel.writeBlocks(DATA, iovs.offset[0]!, at, blocks, owner)
                : bed.channel.writevBlocks(iovs, at, blocks, owner);
              end(run(result), SUCCESS);
            } else if (step.type === 'read') {
              const result = plain
                ? bed.channel.readBlocks(DATA, iovs.offset[0]!, at, blocks, owner)
                : bed.channel.readvBlocks(iovs, at, blocks, owner);
              end(run(result), SUCCESS);
              expect(Buffer.compare(gather(), model.subarray(...range))).toBe(0);
            } else if (step.type === 'readPlace') {
              const io = run(bed.channel.readBlocks(-1, 0, at, blocks, owner));
              const got = bed.bytes.subarray(io.offset, io.offset + bytes);
              expect(Buffer.compare(got, model.subarray(...range))).toBe(0);
              end(io, SUCCESS);
            } else if (step.type === 'compare') {
              const data = model.slice(...range);
              const differs = step.fill % 2 === 0;
              if (differs) data[(step.fill * 131) % bytes]! ^= 1;
              scatter(data);
              end(run(bed.channel.comparevBlocks(iovs, at, blocks, owner)), differs ? MISCOMPARE : SUCCESS);
            } else if (step.type === 'copy') {
              model.copyWithin(range[0], step.from * BLOCK, step.from * BLOCK + bytes);
              end(run(bed.channel.copyBlocks(at, step.from, blocks, owner)), SUCCESS);
            } else {
              model.fill(0, ...range);
              const result =
                step.type === 'unmap'
                  ? bed.channel.unmapBlocks(at, blocks, owner)
                  : bed.channel.writeZeroesBlocks(at, blocks, owner);
              end(run(result), SUCCESS);
            }
          }
          expect(problems).toEqual([]);
          expect([bed.reactor.buffers.smallFree, bed.reactor.buffers.largeFree]).toEqual([2, 2]);
          bed.channel.put();
        },
      ),
      { numRuns: 80 },
    );
  });

  it('counts the parts, not the whole', async () => {
    const bed = await TestBed.start({ spec: { max_rw_size: 4 } });
    const owner = new Owner();
    bed.channel.writeBlocks(bed.region, 0, 0, 10, owner);
    bed.poll();
    const [{ stat }] = (await bed.bdevs.iostat('Test0')) as [{ stat: Float64Array }];
    // Of writes: bytes and operations.
    expect([stat[5], stat[6]]).toEqual([10 * BLOCK, 3]);
  });

  it('ends with the first failure, when what is under way has ended, and starts no more', async () => {
    const bed = await TestBed.start({ spec: { io_types: ALL, max_unmap: 1 } });
    bed.script.immediate = false;
    const owner = new Owner();
    bed.channel.unmapBlocks(0, 20, owner);
    expect(bed.script.held).toHaveLength(8);
    bed.script.complete(SUCCESS, 2);
    bed.poll();
    expect(bed.script.held).toHaveLength(8);
    bed.script.complete(FAILED, 1);
    bed.poll();
    expect(bed.script.held).toHaveLength(7);
    expect(owner.done).toEqual([]);
    bed.script.complete(ABORTED, 7);
    bed.poll();
    expect(owner.statuses).toEqual([FAILED]);
    expect(bed.script.seen).toHaveLength(10);
  });

  it('is aborted with its parts, and with those that wait for resources', async () => {
    const bed = await TestBed.start({ spec: { max_rw_size: 1 } });
    bed.script.immediate = false;
    bed.script.capacity = 3;
    const owner = new Owner();
    const io = bed.channel.getIo()!;
    Object.assign(io, { type: IoType.WRITE, offset_blocks: 0, num_blocks: 64, owner, ownerIndex: 1 });
    Object.assign(io, { region: bed.region, length: 64 * BLOCK });
    expect(bed.channel.submit(io)).toBe(0);
    expect(bed.channel.abort(io, owner, 2)).toBe(0);
    bed.poll();
    expect(owner.done).toEqual([
      { index: 1, status: ABORTED, cdw0: 0 },
      { index: 2, status: SUCCESS, cdw0: 0 },
    ]);
    expect(bed.script.held).toEqual([]);
  });

  it('goes on when every I/O object of the pool is the whole of a split', async () => {
    const bed = await TestBed.start({
      spec: { max_rw_size: 2 },
      options: { bdev_io_pool_size: 8, bdev_io_cache_size: 2 },
    });
    const owner = new Owner();
    const ios = Array.from({ length: 8 }, () => bed.channel.getIo()!);
    ios.forEach((io, i) => {
      Object.assign(io, { type: IoType.WRITE, offset_blocks: i * 50, num_blocks: 50, owner });
      Object.assign(io, { region: bed.region, length: 50 * BLOCK });
      expect(bed.channel.submit(io)).toBe(0);
    });
    expect(bed.channel.getIo()).toBeNull();
    bed.poll(100);
    expect(owner.statuses).toEqual(new Array(8).fill(SUCCESS));
  });

  it('is ended by a reset and by removal', async () => {
    const bed = await TestBed.start({ spec: { max_rw_size: 1 } });
    bed.script.immediate = false;
    const owner = new Owner();
    for (const end of ['reset', 'retire'] as const) {
      owner.done = [];
      bed.channel.writeBlocks(bed.region, 0, 0, 200, owner);
      const ended = end === 'reset' ? bed.bdevs.reset('Test0') : bed.bdevs.unregister('Test0');
      await bed.settle();
      expect(owner.done).toEqual([]);
      bed.script.complete();
      await bed.settle();
      expect(owner.statuses).toEqual([ABORTED]);
      if (end === 'retire') bed.channel.put();
      await bed.until(ended);
    }
  });

  it('fails a write that is not whole write units', async () => {
    const bed = await TestBed.start({ spec: { write_unit_size: 4 } });
    const owner = new Owner();
    for (const [at, blocks] of [
      [0, 4],
      [4, 12],
      [1, 4],
      [0, 6],
      [2, 2],
    ] as const)
      expect(bed.channel.writeBlocks(bed.region, 0, at, blocks, owner)).toBe(0);
    bed.poll();
    expect(owner.statuses.sort()).toEqual([FAILED, FAILED, FAILED, SUCCESS, SUCCESS]);
    expect(bed.script.seen).toHaveLength(2);
  });

  it('leaves a read in place where it is within limits, and else uses one buffer', async () => {
    const bed = await TestBed.start({ spec: { max_rw_size: 4, reads_in_place: true } });
    const owner = new Owner();
    bed.script.onSubmit = (io) => expect(io.region >= 0).toBe(io.num_blocks !== 3);
    const free = bed.reactor.buffers.smallFree;
    bed.channel.readBlocks(-1, 0, 0, 16, owner);
    expect(bed.reactor.buffers.smallFree).toBe(free - 1);
    bed.poll();
    expect(owner.statuses).toEqual([SUCCESS]);
    expect(bed.reactor.buffers.smallFree).toBe(free);
    expect(bed.channel.readBlocks(-1, 0, 0, 300, owner)).toBe(Errno.EINVAL);
  });

  it('is refused limits that no I/O could meet', async () => {
    const bed = await TestBed.start();
    const wrong: [Partial<BdevSpec>, string][] = [
      [{ max_rw_size: -1 }, 'max_rw_size is -1'],
      [{ max_num_segments: 1.5 }, 'max_num_segments is 1.5'],
      [{ max_segment_size: 700 }, 'max_segment_size is 700'],
      [{ max_segment_size: 1024, write_unit_size: 4 }, 'max_segment_size is 1024'],
      [{ max_rw_size: 2, write_unit_size: 4 }, 'max_rw_size is 2'],
      [
        { optimal_io_boundary: 6, split_on_optimal_io_boundary: true, write_unit_size: 4 },
        'optimal_io_boundary is 6',
      ],
      [{ max_rw_size: 8, required_alignment: 12 }, 'required_alignment is 4096'],
    ];
    for (const [spec, text] of wrong)
      await expect(bed.create({ name: 'X', ...spec }), text).rejects.toMatchObject({
        code: Errno.EINVAL,
        message: expect.stringContaining(text),
      });
  });
});
