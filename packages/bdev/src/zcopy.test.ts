import { describe, expect, it } from 'vitest';
import { BLOCK, Owner, SCRATCH_REGION, TestBed } from '../test/support.ts';
import { Errno, IoStatus, IoType } from './index.ts';

const { SUCCESS, FAILED, ABORTED } = IoStatus;
const pool = { small_count: 2, small_bytes: 4096, large_count: 1, large_bytes: 8192 };

describe('zero copy where the module has none', () => {
  it('lends a buffer, populated or not, and writes it where it is committed', async () => {
    const bed = await TestBed.start({ pool });
    const { buffers } = bed.reactor;
    bed.scratch.fill(3, 0, 4 * BLOCK);
    bed.channel.writeBlocks(SCRATCH_REGION, 0, 0, 4, new Owner());
    const owner = new Owner();
    owner.keep = true;
    expect(bed.channel.zcopyStart(0, 2, true, owner, 0)).toBe(0);
    expect(bed.channel.zcopyStart(2, 2, false, owner, 1)).toBe(0);
    // It waits for a buffer: those of the others are given back with their I/O.
    expect(bed.channel.zcopyStart(2, 2, true, owner, 2)).toBe(0);
    bed.poll(10);
    expect(owner.order).toEqual([1, 0]);
    const [write, read] = owner.ios.splice(0);
    const place = (io: typeof read): Uint8Array => bed.bytes.subarray(io!.offset, io!.offset + 2 * BLOCK);
    expect(place(read).every((byte) => byte === 3)).toBe(true);
    place(write).fill(8);
    place(read).fill(1);
    bed.channel.zcopyEnd(write!, true);
    bed.channel.zcopyEnd(read!, false);
    bed.poll(10);
    expect(owner.statuses).toEqual([SUCCESS, SUCCESS, SUCCESS, SUCCESS]);
    for (const io of owner.ios.splice(0)) io.free();
    bed.poll(10);
    const [third] = owner.ios;
    expect(place(third).every((byte) => byte === 8)).toBe(true);
    bed.channel.readBlocks(SCRATCH_REGION, 0, 0, 2, new Owner());
    bed.poll();
    expect(bed.scratch.subarray(0, 2 * BLOCK).every((byte) => byte === 3)).toBe(true);
    expect(() => bed.channel.put()).toThrow('with I/O in flight');
    bed.channel.zcopyEnd(third!, false);
    bed.poll(10);
    third!.free();
    expect([buffers.smallFree, buffers.largeFree]).toEqual([2, 1]);
    expect(() => bed.channel.zcopyEnd(third!, false)).toThrow('was submitted in state');
  });

  it('is refused what no buffer holds and what is read only', async () => {
    const bed = await TestBed.start({ pool });
    const owner = new Owner();
    expect(bed.channel.zcopyStart(0, 17, true, owner)).toBe(Errno.EINVAL);
    expect(bed.channel.zcopyStart(0, 0, true, owner)).toBe(Errno.EINVAL);
    expect(bed.channel.zcopyStart(1020, 5, true, owner)).toBe(Errno.EINVAL);
    const other = await bed.create({ name: 'ReadOnly', io_types: 1 << IoType.READ });
    expect(bed.open(other).zcopyStart(0, 1, true, owner)).toBe(Errno.ENOTSUP);
  });

  it('ends with the failure of its read or write, and ABORTED where a reset came between', async () => {
    const bed = await TestBed.start({ pool });
    bed.script.immediate = false;
    const owner = new Owner();
    bed.channel.zcopyStart(0, 1, true, owner, 0);
    bed.script.complete(FAILED);
    bed.poll();
    expect(owner.statuses).toEqual([FAILED]);
    owner.keep = true;
    bed.channel.zcopyStart(0, 1, false, owner, 1);
    bed.poll();
    const io = owner.ios[0]!;
    bed.channel.freeze();
    bed.channel.zcopyEnd(io, true);
    bed.poll();
    bed.channel.unfreeze();
    expect(owner.statuses).toEqual([FAILED, SUCCESS, ABORTED]);
    io.free();
    expect(bed.reactor.buffers.smallFree).toBe(2);
    bed.channel.put();
  });

  it('keeps a lock of its blocks waiting until it has ended', async () => {
    const bed = await TestBed.start({ pool });
    const owner = new Owner();
    owner.keep = true;
    bed.channel.zcopyStart(4, 2, false, owner);
    bed.poll();
    let locked = false;
    const lock = bed.channel.lockRange(5, 1, new Owner()).then((held) => {
      locked = true;
      return held;
    });
    await bed.settle();
    expect(locked).toBe(false);
    bed.channel.zcopyEnd(owner.ios[0]!, true);
    await bed.settle();
    expect(locked).toBe(true);
    await bed.until((await lock).release());
    owner.ios[0]!.free();
    bed.channel.put();
  });
});
