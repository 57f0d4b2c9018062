/** Random I/O against a byte model: what every module with data is held to. */
import { type BdevChannel, type BdevIo, type BdevIoOwner, IoStatus, IoVec } from '@spdk-ts/bdev';
import type { Reactor } from '@spdk-ts/reactor';
import fc from 'fast-check';
import { expect } from 'vitest';

export interface Step {
  readonly type: 'write' | 'read' | 'readPlace' | 'zeroes' | 'unmap' | 'copy' | 'compare' | 'flush';
  readonly at: number;
  readonly from: number;
  readonly blocks: number;
  readonly seed: number;
  /** Sizes of gather pieces in parts of 4 bytes; empty: one piece. */
  readonly cuts: readonly number[];
  readonly fua: boolean;
}

export function steps(
  blocks: number,
  max_blocks: number,
  types: readonly Step['type'][],
): fc.Arbitrary<Step[]> {
  return fc.array(
    fc.record({
      type: fc.constantFrom(...types),
      at: fc.nat(blocks - 1),
      from: fc.nat(blocks - 1),
      blocks: fc.integer({ min: 1, max: max_blocks }),
      seed: fc.integer({ min: 1, max: 0x7fffffff }),
      cuts: fc.array(fc.integer({ min: 1, max: 600 }), { maxLength: 5 }),
      fua: fc.boolean(),
    }),
    { maxLength: 25 },
  );
}

/** Fills with numbers that differ everywhere. */
export function pattern(bytes: Uint8Array, seed: number): void {
  let x = seed | 1;
  for (let i = 0; i < bytes.length; i++) {
    x = (Math.imul(x, 1103515245) + 12345) | 0;
    bytes[i] = x >>> 16;
  }
}

/** One channel, a scratch area in a region of its own, and the bytes that the device should hold. */
export class Modelled implements BdevIoOwner {
  readonly model: Uint8Array;
  private readonly reactor: Reactor;
  private readonly channel: BdevChannel;
  private readonly scratch: Uint8Array;
  private readonly region: number;
  private readonly poll: () => Promise<void>;
  private finished: BdevIo | null = null;

  constructor(reactor: Reactor, channel: BdevChannel, region: number, poll: () => Promise<void>) {
    this.reactor = reactor;
    this.channel = channel;
    this.region = region;
    this.poll = poll;
    this.model = new Uint8Array(channel.num_blocks * channel.block_size);
    // Three times the size: gather pieces lie apart.
    this.scratch = new Uint8Array(new SharedArrayBuffer(this.model.length * 3));
    reactor.regions.add(region, this.scratch);
  }

  bdevIoDone(io: BdevIo): void {
    this.finished = io;
  }

  private async finish(result: number): Promise<BdevIo> {
    expect(result).toBe(0);
    expect(this.finished).toBeNull();
    while (this.finished === null) await this.poll();
    const io = this.finished;
    this.finished = null;
    return io;
  }

  /** Places for `length` bytes, in the pieces asked for, with gaps between them. */
  private pieces(length: number, cuts: readonly number[]): IoVec {
    const iovs = new IoVec(16);
    let left = length;
    let at = 0;
    for (const cut of cuts) {
      const count = Math.min(cut * 4, left);
      if (count === 0) break;
      iovs.push(this.region, at, count);
      at += count + 8;
      left -= count;
    }
    if (left > 0) iovs.push(this.region, at, left);
    return iovs;
  }

  private scatter(iovs: IoVec, data: Uint8Array): void {
    let done = 0;
    for (let i = 0; i < iovs.count; i++) {
      this.scratch.set(data.subarray(done, done + iovs.length[i]!), iovs.offset[i]!);
      done += iovs.length[i]!;
    }
  }

  private gather(io: BdevIo): Uint8Array {
    const { regions } = this.reactor;
    if (io.iovs === null) return regions.bytes(io.region).slice(io.offset, io.offset + io.length);
    const parts: Uint8Array[] = [];
    for (let i = 0; i < io.iovs.count; i++) {
      const offset = io.iovs.offset[i]!;
      parts.push(regions.bytes(io.iovs.region[i]!).slice(offset, offset + io.iovs.length[i]!));
    }
    return new Uint8Array(Buffer.concat(parts));
  }

  async run(step: Step): Promise<void> {
    const { channel, model } = this;
    const size = channel.block_size;
    const blocks = Math.min(step.blocks, channel.num_blocks - step.at);
    const range = [step.at * size, (step.at + blocks) * size] as const;
    const iovs = this.pieces(blocks * size, step.cuts);
    const vectored = step.cuts.length > 0;
    const expectStatus = async (result: number, status: number = IoStatus.SUCCESS): Promise<void> => {
      const io = await this.finish(result);
      expect(io.status).toBe(status);
      io.free();
    };
    switch (step.type) {
      case 'write': {
        const data = new Uint8Array(blocks * size);
        pattern(data, step.seed);
        model.set(data, range[0]);
        this.scatter(iovs, data);
        const io = channel.getIo()!;
        io.type = 1;
        io.fua = step.fua;
        io.offset_blocks = step.at;
        io.num_blocks = blocks;
        io.owner = this;
        if (vectored) io.iovs = iovs;
        else {
          io.region = this.region;
          io.length = data.length;
        }
        return await expectStatus(channel.submit(io));
      }
      case 'read':
      case 'readPlace': {
        const in_place = step.type === 'readPlace';
        if (in_place && blocks * size > this.reactor.buffers.max_bytes) return;
        const result =
          vectored && !in_place
            ? channel.readvBlocks(iovs, step.at, blocks, this)
            : channel.readBlocks(in_place ? -1 : this.region, 0, step.at, blocks, this);
        const io = await this.finish(result);
        expect(io.status).toBe(IoStatus.SUCCESS);
        expect(Buffer.compare(this.gather(io), model.subarray(...range))).toBe(0);
        io.free();
        return;
      }
      case 'zeroes':
        model.fill(0, ...range);
        return await expectStatus(channel.writeZeroesBlocks(step.at, blocks, this));
      case 'unmap':
        model.fill(0, ...range);
        return await expectStatus(channel.unmapBlocks(step.at, blocks, this));
      case 'copy': {
        const count = Math.min(blocks, channel.num_blocks - step.from);
        model.copyWithin(step.at * size, step.from * size, (step.from + count) * size);
        return await expectStatus(channel.copyBlocks(step.at, step.from, count, this));
      }
      case 'compare': {
        const data = model.slice(...range);
        const differs = step.seed % 2 === 0;
        if (differs) data[step.seed % data.length]! ^= 0x10;
        this.scatter(iovs, data);
        if (!vectored) this.scratch.set(data);
        const result = vectored
          ? channel.comparevBlocks(iovs, step.at, blocks, this)
          : channel.compareBlocks(this.region, 0, step.at, blocks, this);
        return await expectStatus(result, differs ? IoStatus.MISCOMPARE : IoStatus.SUCCESS);
      }
      case 'flush':
        return await expectStatus(channel.flushBlocks(0, channel.num_blocks, this));
    }
  }

  /** Reads everything and holds it against the model. */
  async check(): Promise<void> {
    const io = await this.finish(this.channel.readBlocks(this.region, 0, 0, this.channel.num_blocks, this));
    expect(io.status).toBe(IoStatus.SUCCESS);
    expect(Buffer.compare(this.scratch.subarray(0, this.model.length), this.model)).toBe(0);
    io.free();
  }
}
