import { afterEach, describe, expect, it } from 'vitest';
import { Owner, RW, TestBed } from '../test/support.ts';
import { Errno, IoStatus, IoType, ioTypeMask } from './index.ts';

const { SUCCESS, ABORTED } = IoStatus;
const TYPES = RW | ioTypeMask(IoType.NVME_ADMIN, IoType.NVME_IO);

const command = (opcode: number, flags = 0): Uint32Array => {
  const words = new Uint32Array(16);
  words[0] = opcode | (flags << 8);
  return words;
};

describe('NVMe commands', () => {
  let bed: TestBed;
  const start = async (io_types = TYPES): Promise<TestBed> => {
    bed = await TestBed.start({ spec: { io_types } });
    return bed;
  };
  afterEach(() => bed.settle());

  it('are refused where the bdev is no namespace', async () => {
    const { channel, region } = await start(RW);
    const owner = new Owner();
    expect(channel.nvmeIo(command(0x81), region, 0, 512, owner)).toBe(Errno.ENOTSUP);
    expect(channel.nvmeAdmin(command(0x06), region, 0, 4096, owner)).toBe(Errno.ENOTSUP);
    expect(owner.done).toEqual([]);
  });

  it.each([
    ['of no whole entry', new Uint32Array(4), 0],
    ['that are half of a fused operation', command(0x05, 1), 512],
    ['whose opcode has no data, with data', command(0x80), 512],
    ['whose data go both ways', command(0x83), 512],
    ['with more data than a buffer has', command(0x82), 2 ** 30],
    ['whose data are nowhere', command(0x82), -512],
  ])('%s are refused', async (_, words, bytes) => {
    const { channel, region } = await start();
    const owner = new Owner();
    expect(channel.nvmeIo(words, region, 0, bytes, owner)).toBe(Errno.EINVAL);
    expect(channel.nvmeAdmin(words, region, 0, bytes, owner)).toBe(Errno.EINVAL);
    expect(owner.done).toEqual([]);
  });

  it('reach the module, and end as it says', async () => {
    const { channel, region, script } = await start();
    const owner = new Owner();
    script.immediate = false;
    expect(channel.nvmeIo(command(0x81), region, 0, 512, owner, 1)).toBe(0);
    expect(channel.nvmeAdmin(command(0xc0), region, 0, 0, owner, 2)).toBe(0);
    await bed.settle();
    expect(owner.done).toEqual([]);
    script.complete(SUCCESS);
    await bed.settle();
    expect([owner.order, owner.statuses]).toEqual([
      [1, 2],
      [SUCCESS, SUCCESS],
    ]);
  });

  it('wait for every locked range, as nobody knows which blocks they touch', async () => {
    const { channel, region } = await start();
    const owner = new Owner();
    const lock = await bed.until(channel.lockRange(10, 5, new Owner()));
    channel.nvmeIo(command(0x81), region, 0, 512, owner);
    await bed.settle();
    expect(owner.done).toEqual([]);
    await bed.until(lock.release());
    await bed.settle();
    expect(owner.statuses).toEqual([SUCCESS]);
  });

  it('are aborted when the bdev goes', async () => {
    const { channel, region } = await start();
    const owner = new Owner();
    channel.freeze();
    channel.nvmeIo(command(0x80), region, 0, 0, owner);
    channel.unfreeze();
    await bed.settle();
    expect(owner.statuses).toEqual([ABORTED]);
  });
});
