import { describe, expect, it } from 'vitest';
import { Owner, prepare, RW, TestBed } from '../test/support.ts';
import { type BdevIo, Errno, IoStatus, IoType, ioTypeMask } from './index.ts';

const { SUCCESS, FAILED, ABORTED } = IoStatus;

describe('abort', () => {
  async function busy(): Promise<{ bed: TestBed; owner: Owner; ios: BdevIo[] }> {
    const bed = await TestBed.start();
    bed.script.immediate = false;
    bed.script.capacity = 1;
    const owner = new Owner();
    const ios = [0, 1, 2].map((i) => prepare(bed, owner, i, IoType.READ, 0, 1));
    for (const io of ios) bed.channel.submit(io);
    return { bed, owner, ios };
  }

  it('takes an I/O out of the queue for resources, and leaves the others in order', async () => {
    const { bed, owner, ios } = await busy();
    expect(bed.channel.abort(ios[1]!, owner, 10)).toBe(0);
    bed.poll();
    expect(owner.done).toEqual([
      { index: 1, status: ABORTED, cdw0: 0 },
      { index: 10, status: SUCCESS, cdw0: 0 },
    ]);
    bed.script.complete();
    bed.poll();
    bed.script.complete();
    bed.poll();
    expect(owner.order).toEqual([1, 10, 0, 2]);
  });

  it('asks the module for an I/O that it has', async () => {
    const { bed, owner, ios } = await busy();
    bed.script.abortable = false;
    bed.channel.abort(ios[0]!, owner, 10);
    bed.poll();
    expect(owner.done).toEqual([{ index: 10, status: FAILED, cdw0: 1 }]);
    bed.script.abortable = true;
    bed.channel.abort(ios[0]!, owner, 11);
    bed.poll();
    expect(owner.done.slice(1, 3)).toEqual([
      { index: 0, status: ABORTED, cdw0: 0 },
      { index: 11, status: SUCCESS, cdw0: 0 },
    ]);
  });

  it('takes a read out of the queue for buffers', async () => {
    const pool = { small_count: 1, small_bytes: 8192, large_count: 1, large_bytes: 132 * 1024 };
    const bed = await TestBed.start({ pool });
    const owner = new Owner();
    owner.keep = true;
    const ios = [0, 1, 2].map((i) => prepare(bed, owner, i, IoType.READ, 0, 1));
    for (const io of ios) {
      io.region = -1;
      bed.channel.submit(io);
    }
    bed.channel.abort(ios[2]!, owner, 10);
    bed.poll();
    expect(owner.order).toEqual([0, 2, 10]);
    ios[0]!.free();
    bed.poll();
    expect(owner.order).toEqual([0, 2, 10, 1]);
    ios[1]!.free();
    expect(bed.reactor.buffers.smallFree).toBe(1);
  });

  it('finds nothing of an I/O that is complete, or of another channel', async () => {
    const { bed, owner, ios } = await busy();
    bed.script.complete(SUCCESS, 1);
    bed.channel.abort(ios[0]!, owner, 10);
    const other = bed.open(bed.description, bed.reactor.createThread('other'));
    other.abort(ios[2]!, owner, 11);
    bed.poll(1);
    expect(owner.done.filter(({ index }) => index >= 10)).toEqual([
      { index: 10, status: FAILED, cdw0: 1 },
      { index: 11, status: FAILED, cdw0: 1 },
    ]);
  });

  it('is not supported where the module has no abort', async () => {
    const bed = await TestBed.start({ spec: { io_types: ioTypeMask(IoType.READ) } });
    const io = bed.channel.getIo()!;
    expect(bed.channel.abort(io, new Owner())).toBe(Errno.ENOTSUP);
  });
});

describe('reset', () => {
  it('aborts what is queued and what comes, waits for what is out, then lets I/O through again', async () => {
    const bed = await TestBed.start();
    bed.script.immediate = false;
    bed.script.capacity = 2;
    const owner = new Owner();
    for (let i = 0; i < 4; i++) bed.channel.readBlocks(bed.region, 0, 0, 1, owner, i);
    expect(bed.channel.reset(owner, 10)).toBe(0);
    expect(bed.channel.reset(owner, 11)).toBe(0);
    await bed.settle();
    expect(owner.done.map(({ index, status }) => [index, status])).toEqual([
      [2, ABORTED],
      [3, ABORTED],
    ]);
    bed.channel.readBlocks(bed.region, 0, 0, 1, owner, 4);
    await bed.settle();
    expect(owner.done.at(-1)).toMatchObject({ index: 4, status: ABORTED });
    const late = bed.open(bed.description, bed.reactor.createThread('late'));
    late.readBlocks(bed.region, 0, 0, 1, owner, 5);
    await bed.settle();
    expect(owner.done.at(-1)).toMatchObject({ index: 5, status: ABORTED });
    bed.script.complete();
    await bed.settle();
    expect(owner.done.slice(4).map(({ index, status }) => [index, status])).toEqual([
      [0, SUCCESS],
      [1, SUCCESS],
      [10, SUCCESS],
      [11, SUCCESS],
    ]);
    // One reset for both, given to the one channel that was there.
    expect(bed.script.resets).toBe(1);
    bed.channel.readBlocks(bed.region, 0, 0, 1, owner, 6);
    bed.script.complete();
    bed.poll();
    expect(owner.done.at(-1)).toMatchObject({ index: 6, status: SUCCESS });
  });

  it('fails for everyone who waits if the module fails it, and the next one may succeed', async () => {
    const bed = await TestBed.start();
    bed.script.resetStatus = FAILED;
    const owner = new Owner();
    bed.channel.reset(owner, 0);
    bed.channel.reset(owner, 1);
    await bed.settle();
    expect(owner.statuses).toEqual([FAILED, FAILED]);
    bed.script.resetStatus = SUCCESS;
    bed.channel.reset(owner, 2);
    await bed.settle();
    expect(owner.statuses[2]).toBe(SUCCESS);
    await expect(bed.bdevs.reset('Nope')).rejects.toMatchObject({ code: Errno.ENODEV });
  });

  it('is not held up by somebody who submits again whatever is aborted', async () => {
    const bed = await TestBed.start();
    const owner = new Owner();
    let stop = false;
    owner.onDone = () => {
      if (!stop) bed.channel.readBlocks(bed.region, 0, 0, 1, owner);
    };
    for (let i = 0; i < 8; i++) bed.channel.readBlocks(bed.region, 0, 0, 1, owner);
    bed.poll();
    const result = new Owner();
    bed.channel.reset(result);
    for (let i = 0; i < 50 && result.done.length === 0; i++) await bed.settle();
    stop = true;
    expect(result.statuses).toEqual([SUCCESS]);
    bed.poll();
    bed.channel.put();
  });

  it('drains by itself where the module knows no reset', async () => {
    const bed = await TestBed.start({ spec: { io_types: ioTypeMask(IoType.READ) } });
    bed.script.immediate = false;
    const owner = new Owner();
    bed.channel.readBlocks(bed.region, 0, 0, 1, owner, 0);
    bed.channel.reset(owner, 1);
    await bed.settle();
    expect(owner.done).toEqual([]);
    bed.script.complete();
    await bed.settle();
    expect(owner.order).toEqual([0, 1]);
    expect(bed.script.resets).toBe(0);
  });

  it('reaches the channels of every reactor', async () => {
    const bed = await TestBed.start({ count: 2 });
    const reactor = bed.host.local[1]!;
    const thread = reactor.createThread('there');
    const owner = new Owner();
    const there = bed.channelOn(1, thread);
    bed.channel.reset(owner, 0);
    await bed.settle();
    expect(owner.statuses).toEqual([SUCCESS]);
    expect(bed.script.resets).toBe(2);
    there.put();
  });
});

describe('hot remove', () => {
  it('refuses new I/O, aborts what is queued, waits for what is out, the channels and the descriptors', async () => {
    const bed = await TestBed.start();
    bed.script.immediate = false;
    bed.script.capacity = 2;
    const owner = new Owner();
    const events: string[] = [];
    const descriptor = bed.bdevs.open('Test0', {
      write: true,
      owner: { name: 'test', onEvent: (event) => void events.push(event) },
    });
    for (let i = 0; i < 3; i++) bed.channel.readBlocks(bed.region, 0, 0, 1, owner, i);
    let gone = false;
    const removal = bed.bdevs.unregister('Test0').then(() => {
      gone = true;
    });
    await bed.settle();
    expect(events).toEqual(['remove']);
    expect(owner.done).toEqual([{ index: 2, status: ABORTED, cdw0: 0 }]);
    expect(bed.channel.readBlocks(bed.region, 0, 0, 1, owner)).toBe(Errno.ENODEV);
    expect(() => bed.open(bed.description)).toThrow('No such device');
    expect(() => bed.bdevs.open('Test0', { write: false, owner: { name: 'x', onEvent() {} } })).toThrow(
      'being removed',
    );
    await expect(bed.bdevs.unregister('Test0')).rejects.toMatchObject({ code: Errno.EBUSY });
    bed.script.complete();
    await bed.settle();
    expect(owner.statuses).toEqual([ABORTED, SUCCESS, SUCCESS]);
    bed.channel.put();
    await bed.settle();
    expect(gone).toBe(false);
    expect(bed.destroyed).toEqual([]);
    await descriptor.close();
    await bed.until(removal);
    expect(bed.destroyed).toEqual(['Test0']);
  });

  it('aborts what the layer does for the module, once the piece under way has ended', async () => {
    const bed = await TestBed.start({ spec: { io_types: RW } });
    bed.script.immediate = false;
    const owner = new Owner();
    bed.channel.copyBlocks(0, 100, 1, owner);
    bed.channel.writeZeroesBlocks(0, 1, owner);
    const removal = bed.bdevs.unregister('Test0');
    await bed.settle();
    bed.script.complete();
    await bed.settle();
    // Of the copy, the write was still to come.
    expect(owner.statuses.sort()).toEqual([ABORTED, SUCCESS].sort());
    expect(bed.script.seen.filter(({ type }) => type === IoType.WRITE)).toHaveLength(1);
    bed.channel.put();
    await bed.until(removal);
  });

  it('is an error of the program when a channel is put with I/O in flight', async () => {
    const bed = await TestBed.start();
    bed.script.immediate = false;
    bed.channel.readBlocks(bed.region, 0, 0, 1, new Owner());
    expect(() => bed.channel.put()).toThrow('with I/O in flight');
  });

  it('is complete when the channel is put, and the name is free again', async () => {
    const bed = await TestBed.start();
    const removal = bed.bdevs.unregister('Test0');
    await bed.settle();
    expect(bed.destroyed).toEqual([]);
    bed.channel.put();
    await bed.until(removal);
    expect(bed.destroyed).toEqual(['Test0']);
    expect(bed.script.destroyed).toBe(1);
    expect(bed.bdevs.get('Test0')).toBeUndefined();
    expect(bed.thread.activePollers).toHaveLength(0);
    const again = await bed.until(bed.create({ name: 'Test0' }));
    expect(again.id).not.toBe(bed.description.id);
  });
});
