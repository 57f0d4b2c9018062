import { RpcServer } from '@spdk-ts/rpc';
import { describe, expect, it } from 'vitest';
import { BLOCK, RW, TestBed } from '../test/support.ts';
import {
  type BdevDescription,
  type BdevModule,
  IoStatus,
  IoType,
  ioTypeMask,
  registerBdevRpcs,
} from './index.ts';

/** A module that says when it is asked, and does what the test wants then. */
class Watcher implements BdevModule {
  readonly name: string;
  private readonly calls: string[];
  onConfig: (description: BdevDescription) => Promise<void> | void = () => {};
  onDisk: (description: BdevDescription) => Promise<void> | void = () => {};

  constructor(name: string, calls: string[]) {
    this.name = name;
    this.calls = calls;
  }
  destroy(): void {}
  config(): [] {
    return [];
  }
  examineConfig(description: BdevDescription): Promise<void> | void {
    this.calls.push(`${this.name} config ${description.name}`);
    return this.onConfig(description);
  }
  async examineDisk(description: BdevDescription): Promise<void> {
    this.calls.push(`${this.name} disk ${description.name}`);
    await this.onDisk(description);
  }
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

const owner = { name: 'watcher', onEvent: () => {} };

async function watched(): Promise<{ bed: TestBed; a: Watcher; b: Watcher; calls: string[] }> {
  const bed = await TestBed.start();
  const calls: string[] = [];
  const a = new Watcher('a', calls);
  const b = new Watcher('b', calls);
  bed.bdevs.registerModule(a);
  bed.bdevs.registerModule(b);
  return { bed, a, b, calls };
}

describe('examination', () => {
  it('asks every module for its configuration first, then every module to look at an unclaimed bdev', async () => {
    const { bed, calls } = await watched();
    await bed.create({ name: 'N' });
    await bed.bdevs.waitForExamine();
    expect(calls).toEqual(['a config N', 'b config N', 'a disk N', 'b disk N']);
  });

  it.each(['exclusive_write', 'read_many_write_one'] as const)(
    'lets only the claimer look at what is claimed (%s)',
    async (type) => {
      const { bed, b, calls } = await watched();
      b.onConfig = ({ name }) => bed.bdevs.open(name, { write: false, owner }).claim(type, { module: 'b' });
      await bed.create({ name: 'N' });
      await bed.bdevs.waitForExamine();
      expect(calls).toEqual(['a config N', 'b config N', 'b disk N']);
    },
  );

  it('lets every holder of a shared claim look', async () => {
    const { bed, a, b, calls } = await watched();
    const claim =
      (module: string) =>
      ({ name }: BdevDescription): void =>
        bed.bdevs.open(name, { write: false, owner }).claim('read_many_write_shared', { module, key: 7 });
    a.onConfig = claim('a');
    b.onConfig = claim('b');
    await bed.create({ name: 'N' });
    await bed.bdevs.waitForExamine();
    expect(calls.slice(2)).toEqual(['a disk N', 'b disk N']);
  });

  it('is over for register when configured bdevs are there; waiting waits for all that is in flight', async () => {
    const { bed, a, b, calls } = await watched();
    const gate = withResolvers();
    a.onConfig = async ({ name }) => {
      if (name === 'N') await bed.create({ name: 'onN' });
    };
    b.onDisk = () => gate.promise;
    await bed.create({ name: 'N' });
    expect(bed.bdevs.get('onN')).toBeDefined();
    let waited = false;
    const waiting = bed.bdevs.waitForExamine().then(() => {
      waited = true;
    });
    await bed.settle();
    expect(waited).toBe(false);
    gate.resolve();
    await waiting;
    expect(calls).toContain('b disk onN');
  });

  it('outlives a module that fails', async () => {
    const { bed, a, calls } = await watched();
    a.onConfig = () => {
      throw new Error('config went wrong');
    };
    a.onDisk = async () => {
      throw new Error('disk went wrong');
    };
    await bed.create({ name: 'N' });
    await bed.bdevs.waitForExamine();
    expect(calls).toEqual(['a config N', 'b config N', 'a disk N', 'b disk N']);
  });

  it('leaves out bdevs that cannot be read', async () => {
    const { bed, calls } = await watched();
    await bed.create({ name: 'N', io_types: ioTypeMask(IoType.WRITE) });
    await bed.bdevs.waitForExamine();
    expect(calls).toEqual([]);
  });

  it('happens on demand only while auto examine is off: by name, alias or UUID, now or later', async () => {
    const { bed, calls } = await watched();
    const rpc = new RpcServer({ checkResults: true });
    registerBdevRpcs(rpc, bed.bdevs, bed.host, bed.clock);
    await expect(rpc.call('bdev_examine', { name: 'N' })).rejects.toMatchObject({
      code: -22,
      message: expect.stringContaining('"N"'),
    });
    await bed.bdevs.setOptions({ bdev_auto_examine: false });
    await bed.create({ name: 'N', aliases: ['other'] });
    await bed.create({ name: 'M' });
    await bed.bdevs.waitForExamine();
    expect(calls).toEqual([]);
    expect(await rpc.call('bdev_examine', { name: 'other' })).toBe(true);
    await rpc.call('bdev_wait_for_examine');
    expect(calls).toEqual(['a config N', 'b config N', 'a disk N', 'b disk N']);
    await expect(rpc.call('bdev_examine', { name: 'other' })).rejects.toMatchObject({ code: -17 });
    calls.length = 0;
    const uuid = '8a5f2f0e-7d55-4b9b-bb0d-6f1f6a4c2a11';
    await rpc.call('bdev_examine', { name: uuid.toUpperCase() });
    await bed.create({ name: 'Later', uuid });
    await bed.bdevs.waitForExamine();
    expect(calls[0]).toBe('a config Later');
    // Another bdev of that name is another bdev.
    await bed.until(bed.bdevs.unregister('N'));
    expect(bed.bdevs.config().filter(({ method }) => method === 'bdev_examine')).toEqual([
      { method: 'bdev_examine', params: { name: uuid.toUpperCase() } },
    ]);
  });
});

describe('reading on behalf of the control thread', () => {
  it('gives the data, however many pieces they come in, and holds nothing afterwards', async () => {
    const bed = await TestBed.start({
      pool: { small_count: 16, small_bytes: 8192, large_count: 2, large_bytes: 16 * 1024 },
    });
    const { region, bytes } = bed;
    for (let i = 0; i < 4096; i++) bytes[i] = i % 251;
    const done = { bdevIoDone: (io: { free(): void }) => io.free() };
    for (let at = 0; at < 96; at += 8) expect(bed.channel.writeBlocks(region, 0, at, 8, done)).toBe(0);
    bed.poll();
    bed.script.seen = [];
    const data = await bed.until(bed.bdevs.readBlocks('Test0', 0, 96));
    expect(bed.script.seen).toHaveLength(3);
    expect(data).toHaveLength(96 * BLOCK);
    for (let at = 0; at < 96; at += 8)
      expect(Buffer.compare(data.subarray(at * BLOCK, (at + 8) * BLOCK), bytes.subarray(0, 4096))).toBe(0);
    bed.channel.put();
    await bed.until(bed.bdevs.unregister('Test0'));
  });

  it('says which blocks could not be read, and why', async () => {
    const bed = await TestBed.start({ spec: { io_types: RW } });
    bed.script.immediate = false;
    const reading = bed.bdevs.readBlocks('Test0', 3, 2);
    reading.catch(() => {});
    await bed.settle();
    bed.script.complete(IoStatus.FAILED);
    await expect(bed.until(reading)).rejects.toMatchObject({
      code: -5,
      message: 'Input/output error: reading blocks 3 to 4 of bdev Test0 ended FAILED',
    });
    await expect(bed.until(bed.bdevs.readBlocks('Test0', 1023, 2))).rejects.toMatchObject({
      code: -22,
      message: 'Invalid argument: blocks 1023 to 1024 of bdev Test0 cannot be read',
    });
    await expect(bed.bdevs.readBlocks('Nope', 0, 1)).rejects.toMatchObject({ code: -19 });
  });
});
