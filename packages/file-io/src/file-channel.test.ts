import { type BdevDescription, BdevIo, IoStatus, IoType } from '@spdk-ts/bdev';
import { Logger, setLogWriter } from '@spdk-ts/log';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FileContext } from './context.ts';
import type { EngineOwner, FileEngine } from './engine.ts';
import { FileChannel } from './file-channel.ts';
import type { FileOperation } from './operation.ts';

/** An engine that only writes down what it is asked, and is answered for by the test. */
class Scripted implements FileEngine {
  readonly writesThrough: boolean;
  readonly punches = true;
  readonly zeroesRanges = true;
  room = true;
  cancels = true;
  asked: string[] = [];
  constructor(writesThrough: boolean) {
    this.writesThrough = writesThrough;
  }
  private note(what: string, o: FileOperation): void {
    this.asked.push(`${what} ${o.at + o.done}+${what.startsWith('alloc') ? o.count : o.length - o.done}`);
  }
  begin(): boolean {
    return this.room;
  }
  transfer(o: FileOperation): void {
    this.note('transfer', o);
  }
  writeZeroes(o: FileOperation): void {
    this.note('zeroes', o);
  }
  allocate(o: FileOperation): void {
    this.note('allocate', o);
  }
  sync(): void {
    this.asked.push('sync');
  }
  cancel(): boolean {
    return this.cancels;
  }
  end(): void {}
  destroy(): void {}
}

let log: string[] = [];
let before: (line: string) => void;
beforeEach(() => {
  log = [];
  before = setLogWriter((line) => void log.push(line));
});
afterEach(() => void setLogWriter(before));

class Bed {
  readonly engine: Scripted;
  readonly channel: FileChannel;
  readonly context: FileContext;
  private owner!: EngineOwner;
  ended: number[][] = [];

  constructor({ direct = false, writesThrough = true } = {}) {
    this.engine = new Scripted(writesThrough);
    this.context = {
      ...{ filename: '/disk', fd: 9, readonly: false, blockDevice: false, direct },
      flushFailed: new SharedArrayBuffer(4),
      noHoles: new SharedArrayBuffer(4),
      noZeroRange: new SharedArrayBuffer(4),
      zones: null,
    };
    const description = { name: 'D', block_size: 512, context: this.context } as unknown as BdevDescription;
    this.channel = new FileChannel(description, new Logger('bdev_file'), (owner) => {
      this.owner = owner;
      return this.engine;
    });
  }

  submit(type: number, fields: Partial<BdevIo> = {}): BdevIo {
    const io = Object.assign(new BdevIo(0), { type, offset_blocks: 8, num_blocks: 4, ...fields });
    io.complete = (status) => void this.ended.push([status, io.sct, io.sc]);
    this.channel.submit(io);
    return io;
  }

  answer(result: number, index = 0): void {
    this.owner.answered(index, result);
  }
}

describe('a file channel', () => {
  it('goes on after short transfers; with direct I/O at a block', () => {
    const bed = new Bed();
    bed.submit(IoType.READ);
    bed.answer(100);
    bed.answer(1000);
    bed.answer(948);
    expect(bed.engine.asked).toEqual(['transfer 4096+2048', 'transfer 4196+1948', 'transfer 5196+948']);
    const direct = new Bed({ direct: true });
    direct.submit(IoType.WRITE);
    direct.answer(600);
    direct.answer(1536);
    direct.submit(IoType.READ);
    direct.answer(100);
    expect(direct.engine.asked).toEqual(['transfer 4096+2048', 'transfer 4608+1536', 'transfer 4096+2048']);
    expect(direct.ended).toEqual([
      [IoStatus.SUCCESS, 0, 0],
      [IoStatus.FAILED, 0, 0],
    ]);
    expect(log.join()).toContain('the file ends there');
  });

  it.each([
    [-28, IoType.WRITE, [IoStatus.NVME_ERROR, 0, 0x81]],
    [-122, IoType.WRITE, [IoStatus.NVME_ERROR, 0, 0x81]],
    [-5, IoType.READ, [IoStatus.NVME_ERROR, 2, 0x81]],
    [-5, IoType.WRITE, [IoStatus.NVME_ERROR, 2, 0x80]],
    [-22, IoType.READ, [IoStatus.FAILED, 0, 0]],
    [-11, IoType.READ, [IoStatus.NOMEM, 0, 0]],
    [-12, IoType.WRITE, [IoStatus.NOMEM, 0, 0]],
    [-125, IoType.WRITE, [IoStatus.ABORTED, 0, 0]],
  ])('makes errno %i of I/O type %i what a host understands', (errno, type, end) => {
    const bed = new Bed();
    bed.submit(type);
    bed.answer(errno);
    expect(bed.ended).toEqual([end]);
    // The operation is used again, and nothing of the failure is left.
    bed.submit(type);
    bed.answer(2048);
    expect(bed.ended[1]).toEqual([IoStatus.SUCCESS, 0, 0]);
  });

  it('asks again after EINTR, and says NOMEM where the engine has no room', () => {
    const bed = new Bed();
    bed.submit(IoType.FLUSH);
    bed.answer(-4);
    bed.answer(0);
    expect(bed.engine.asked).toEqual(['sync', 'sync']);
    bed.engine.room = false;
    bed.submit(IoType.READ);
    expect(bed.ended).toEqual([
      [IoStatus.SUCCESS, 0, 0],
      [IoStatus.NOMEM, 0, 0],
    ]);
  });

  it('has FUA data stable before it ends, with a sync or without', () => {
    const through = new Bed();
    through.submit(IoType.WRITE, { fua: true });
    through.answer(2048);
    expect([through.engine.asked.length, through.ended.length]).toEqual([1, 1]);
    const other = new Bed({ writesThrough: false });
    other.submit(IoType.WRITE, { fua: true });
    other.answer(2048);
    expect([other.engine.asked, other.ended]).toEqual([['transfer 4096+2048', 'sync'], []]);
    other.answer(0);
    other.submit(IoType.WRITE_ZEROES, { fua: true });
    other.answer(0);
    other.answer(0);
    expect(other.engine.asked.slice(2)).toEqual(['allocate 4096+2048', 'sync']);
    expect(other.ended).toHaveLength(2);
    // A failed write-through is a failed flush.
    through.submit(IoType.WRITE, { fua: true });
    through.answer(-5);
    through.submit(IoType.FLUSH);
    through.answer(0);
    expect(through.ended.slice(1)).toEqual([
      [IoStatus.NVME_ERROR, 2, 0x80],
      [IoStatus.FAILED, 0, 0],
    ]);
    expect(log.join()).toContain('every flush fails from now on');
  });

  it('makes holes in parts, and writes zeroes where there can be none; said once', () => {
    const bed = new Bed();
    bed.submit(IoType.UNMAP, { num_blocks: 2 ** 20 });
    bed.answer(0);
    bed.answer(0);
    expect(bed.engine.asked).toEqual([`allocate 4096+${2 ** 28}`, `allocate ${4096 + 2 ** 28}+${2 ** 28}`]);
    for (let i = 0; i < 2; i++) {
      bed.submit(IoType.UNMAP);
      if (i === 0) bed.answer(-95);
      bed.answer(2048);
      bed.submit(IoType.WRITE_ZEROES);
      if (i === 0) bed.answer(-95);
      bed.answer(1024);
      bed.answer(1024);
    }
    expect(bed.ended).toEqual(new Array(5).fill([IoStatus.SUCCESS, 0, 0]));
    expect(bed.engine.asked.slice(-3)).toEqual(['zeroes 4096+2048', 'zeroes 4096+2048', 'zeroes 5120+1024']);
    expect(log.filter((line) => line.includes('unmap writes zeroes'))).toHaveLength(1);
  });

  it('ends what is aborted as ABORTED, when the kernel lets go of it', () => {
    const bed = new Bed();
    const io = bed.submit(IoType.READ);
    const other = bed.submit(IoType.READ);
    expect(bed.channel.abort(io)).toBe(true);
    expect(bed.ended).toEqual([]);
    bed.answer(2048, 0);
    bed.answer(2048, 1);
    expect(bed.channel.abort(other)).toBe(false);
    expect(bed.ended.map(([status]) => status)).toEqual([IoStatus.ABORTED, IoStatus.SUCCESS]);
    bed.engine.cancels = false;
    expect(bed.channel.abort(bed.submit(IoType.READ))).toBe(false);
    bed.answer(2048, 1);
    expect(bed.ended[2]![0]).toBe(IoStatus.SUCCESS);
  });

  it('logs only so many failures', () => {
    const bed = new Bed();
    for (let i = 0; i < 30; i++) {
      bed.submit(IoType.READ);
      bed.answer(-22);
    }
    expect(log).toHaveLength(20);
    expect(log[19]).toContain('further failures are not logged');
  });
});
