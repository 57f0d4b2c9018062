/** Random key-value I/O against a map: what every key-value bdev is held to. */
import {
  type BdevChannel,
  type BdevIo,
  type BdevIoOwner,
  Errno,
  IoStatus,
  IoVec,
  KvStatus,
  KvStoreOption,
} from '@spdk-ts/bdev';
import type { Reactor } from '@spdk-ts/reactor';
import fc from 'fast-check';
import { expect } from 'vitest';

export interface KvStep {
  readonly type: 'store' | 'retrieve' | 'exist' | 'delete' | 'list' | 'flush';
  readonly key: string;
  readonly length: number;
  readonly seed: number;
  /** A set of KvStoreOption. */
  readonly options: number;
  /** Bytes of the first piece of a gather list; 0: one piece. */
  readonly cut: number;
  readonly fua: boolean;
}

/** `keys` different keys of all lengths, values of up to `bytes`. */
export function kvSteps(keys: number, bytes: number, maxLength = 40): fc.Arbitrary<KvStep[]> {
  return fc.array(
    fc.record({
      type: fc.constantFrom<KvStep['type'][]>(
        'store',
        'store',
        'store',
        'retrieve',
        'exist',
        'delete',
        'list',
        'flush',
      ),
      key: fc.nat(keys - 1).map(keyName),
      length: fc.oneof(fc.nat(bytes), fc.nat(64), fc.constant(0)),
      seed: fc.nat(0x7fff_fffe),
      options: fc.constantFrom(0, 0, 0, KvStoreOption.MUST_EXIST, KvStoreOption.MUST_NOT_EXIST),
      cut: fc.constantFrom(0, 0, 1, 7, 513),
      fua: fc.boolean(),
    }),
    { maxLength },
  ) as fc.Arbitrary<KvStep[]>;
}

/** Keys of 1 to 16 bytes, some a beginning of others. */
export function keyName(number: number): string {
  const text = `\x80k${number}\xff`;
  return text.repeat(6).slice(0, 1 + ((number * 7) % 16)) || 'x';
}

export function valueBytes(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let x = seed | 1;
  for (let i = 0; i < length; i++) {
    x = (Math.imul(x, 1103515245) + 12345) | 0;
    bytes[i] = x >>> 16;
  }
  return bytes;
}

export interface KvResult {
  readonly status: number;
  readonly sc: number;
  readonly cdw0: number;
}

/** Key-value I/O one at a time through a scratch area. Keys are latin1 strings. */
export class KvUser implements BdevIoOwner {
  readonly channel: BdevChannel;
  private readonly reactor: Reactor;
  private readonly scratch: Uint8Array;
  readonly region: number;
  private readonly poll: () => Promise<void>;
  private finished: BdevIo | null = null;
  full = 0;
  /** What a value does not fill of the buffer that it is read into comes as zeroes. */
  fills = false;

  constructor(
    reactor: Reactor,
    channel: BdevChannel,
    region: number,
    poll: () => Promise<void>,
    bytes = 256 * 1024,
  ) {
    this.reactor = reactor;
    this.channel = channel;
    this.region = region;
    this.poll = poll;
    this.scratch = new Uint8Array(new SharedArrayBuffer(bytes));
    this.reactor.regions.add(region, this.scratch);
  }

  bdevIoDone(io: BdevIo): void {
    this.finished = io;
  }

  private async end(io: BdevIo, result: number): Promise<KvResult> {
    if (result !== 0) {
      io.free();
      return { status: result, sc: 0, cdw0: 0 };
    }
    while (this.finished === null) await this.poll();
    const { status, sc, cdw0 } = this.finished;
    this.finished = null;
    io.free();
    return { status, sc: status === IoStatus.NVME_ERROR ? sc : 0, cdw0 };
  }

  private newIo(key: string): BdevIo {
    const io = this.channel.getIo()!;
    io.setKey(Buffer.from(key, 'latin1'), 0, key.length);
    io.owner = this;
    return io;
  }

  /** In two pieces if there is a cut: the second before the first. */
  private place(io: BdevIo, length: number, cut: number): [number, number][] {
    if (cut === 0 || cut >= length) return [[0, length]];
    io.iovs = new IoVec(2);
    io.iovs.push(this.region, length + 8, cut);
    io.iovs.push(this.region, 0, length - cut);
    return [
      [length + 8, cut],
      [0, length - cut],
    ];
  }

  store(key: string, value: Uint8Array, options = 0, cut = 0, fua = false): Promise<KvResult> {
    const io = this.newIo(key);
    let done = 0;
    for (const [at, count] of this.place(io, value.length, cut)) {
      this.scratch.set(value.subarray(done, done + count), at);
      done += count;
    }
    io.fua = fua;
    return this.end(io, this.channel.kvStore(io, this.region, 0, value.length, options));
  }

  async retrieve(key: string, room: number, cut = 0): Promise<KvResult & { data: Buffer }> {
    const io = this.newIo(key);
    this.scratch.fill(0xee, 0, room + 1024);
    const places = this.place(io, room, cut);
    const result = await this.end(io, this.channel.kvRetrieve(io, this.region, 0, room));
    const data = Buffer.concat(places.map(([at, count]) => this.scratch.slice(at, at + count)));
    const transferred = result.status === IoStatus.SUCCESS ? Math.min(room, result.cdw0) : 0;
    // Nothing else is written, unless it turned out to be damaged, or the whole buffer is transferred.
    const rest = data.subarray(transferred);
    const left = this.fills && result.status === IoStatus.SUCCESS ? 0 : 0xee;
    if (result.sc !== KvStatus.UNRECOVERED_ERROR)
      expect(rest.every((byte) => byte === 0xee) || rest.every((byte) => byte === left)).toBe(true);
    return { ...result, data: data.subarray(0, transferred) };
  }

  exist(key: string): Promise<KvResult> {
    const io = this.newIo(key);
    return this.end(io, this.channel.kvExist(io));
  }
  delete(key: string, fua = false): Promise<KvResult> {
    const io = this.newIo(key);
    io.fua = fua;
    return this.end(io, this.channel.kvDelete(io));
  }
  flush(): Promise<KvResult> {
    const io = this.newIo('');
    io.type = 3;
    io.num_blocks = 0;
    io.offset_blocks = 0;
    return this.end(io, this.channel.submit(io));
  }

  async list(from: string, room: number, cut = 0): Promise<KvResult & { keys: string[] }> {
    const io = this.newIo(from);
    const places = this.place(io, room, cut);
    const result = await this.end(io, this.channel.kvList(io, this.region, 0, room));
    if (result.status !== IoStatus.SUCCESS) return { ...result, keys: [] };
    const data = Buffer.concat(places.map(([at, count]) => this.scratch.slice(at, at + count)));
    const keys: string[] = [];
    let at = 4;
    for (let left = data.readUInt32LE(0); left > 0; left--) {
      const length = data.readUInt16LE(at);
      keys.push(data.toString('latin1', at + 2, at + 2 + length));
      at += (2 + length + 3) & ~3;
    }
    return { ...result, keys };
  }

  /** Everything, a few keys at a time. */
  async listAll(room = 256): Promise<string[]> {
    const all: string[] = [];
    for (;;) {
      const { keys } = await this.list(all.at(-1) ?? '', room);
      const more = all.length > 0 && keys[0] === all.at(-1) ? keys.slice(1) : keys;
      if (more.length === 0) return all;
      all.push(...more);
    }
  }

  /** One step, held against the map. */
  async run(model: Map<string, Buffer>, step: KvStep): Promise<void> {
    const { key } = step;
    const known = model.get(key);
    const ok = { status: IoStatus.SUCCESS, sc: 0 };
    const refused = (sc: number) => ({ status: IoStatus.NVME_ERROR, sc });
    switch (step.type) {
      case 'store': {
        const value = valueBytes(step.length, step.seed);
        const result = await this.store(key, value, step.options, step.cut, step.fua);
        if (known !== undefined && (step.options & KvStoreOption.MUST_NOT_EXIST) !== 0)
          expect(result).toMatchObject(refused(KvStatus.KEY_EXISTS));
        else if (known === undefined && (step.options & KvStoreOption.MUST_EXIST) !== 0)
          expect(result).toMatchObject(refused(KvStatus.KEY_DOES_NOT_EXIST));
        else if (result.sc === KvStatus.CAPACITY_EXCEEDED) this.full++;
        else {
          expect(result).toMatchObject(ok);
          model.set(key, value);
        }
        return;
      }
      case 'retrieve': {
        const room = step.seed % (step.length + 1);
        const { data, ...result } = await this.retrieve(key, room, step.cut);
        if (known === undefined) expect(result).toMatchObject(refused(KvStatus.KEY_DOES_NOT_EXIST));
        else {
          expect(result).toEqual({ ...ok, cdw0: known.length });
          expect(data.equals(known.subarray(0, room))).toBe(true);
        }
        return;
      }
      case 'exist':
        expect(await this.exist(key)).toMatchObject(
          known === undefined ? refused(KvStatus.KEY_DOES_NOT_EXIST) : ok,
        );
        return;
      case 'delete':
        expect(await this.delete(key, step.fua)).toMatchObject(
          known === undefined ? refused(KvStatus.KEY_DOES_NOT_EXIST) : ok,
        );
        model.delete(key);
        return;
      case 'list': {
        const { keys } = await this.list(key, 4 + (step.seed % 300), step.cut);
        const order = await this.listAll();
        const at = order.indexOf(key);
        if (at >= 0) expect(order.slice(at, at + keys.length)).toEqual(keys);
        else for (const listed of keys) expect(model.has(listed)).toBe(true);
        return;
      }
      case 'flush':
        expect(await this.flush()).toMatchObject(ok);
    }
  }

  /** The bdev holds what the map does, and nothing else. */
  async check(model: Map<string, Buffer>): Promise<void> {
    const keys = await this.listAll();
    expect([...keys].sort()).toEqual([...model.keys()].sort());
    for (const [key, value] of model) {
      const { status, cdw0, data } = await this.retrieve(key, value.length);
      expect([key, status, cdw0]).toEqual([key, IoStatus.SUCCESS, value.length]);
      expect(data.equals(value)).toBe(true);
    }
  }

  /** Block I/O is refused, and nothing is stored by way of it. */
  expectNoBlocks(): void {
    const { channel, region } = this;
    expect(channel.readBlocks(region, 0, 0, 1, this)).toBe(Errno.ENOTSUP);
    expect(channel.writeBlocks(region, 0, 0, 1, this)).toBe(Errno.ENOTSUP);
    expect(channel.unmapBlocks(0, 1, this)).toBe(Errno.ENOTSUP);
    expect(channel.writeZeroesBlocks(0, 1, this)).toBe(Errno.ENOTSUP);
    expect(channel.copyBlocks(0, 1, 1, this)).toBe(Errno.ENOTSUP);
  }
}
