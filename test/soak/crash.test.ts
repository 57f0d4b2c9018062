/**
 * Disks that lose power while `file` and `uring` bdevs write to them, thousands of times in virtual time. What a
 * flush or force unit access was acknowledged for must be there afterwards; every other sector holds old data or
 * those of a write since, whole. Both modules are a file channel over an engine; here the engine is a simulated disk
 * with a volatile cache, which loses, tears and reorders what was not flushed.
 */
import {
  type BdevChannel,
  BdevRegistry,
  bdevReactorEntry,
  getBdevService,
  IoStatus,
  IoType,
} from '@spdk-ts/bdev';
import { ManualClock, Random } from '@spdk-ts/env';
import { setLogWriter } from '@spdk-ts/log';
import { LocalHost, type ReactorPlugin } from '@spdk-ts/reactor';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fillContent, ZEROES } from '../bdev/content.ts';
import { plain, randomShape, Scratch } from '../bdev/scratch.ts';
import { Versions } from '../bdev/versions.ts';
import { SECTOR, SimDisk } from '../sim/disk.ts';
import { DiskBdev } from '../sim/disk-bdev.ts';
import { type EngineTraits, portableTraits, ringTraits } from '../sim/disk-engine.ts';
import { soakCrashes, soakSeed } from './duration.ts';
import { letGo } from './leftovers.ts';

const DISK_BYTES = 128 * 1024;
const SCRATCH_BYTES = 4 * 1024 * 1024;
const DEPTH = 16;
const TICKS_PER_POLL = 100_000;
const OPS_MAX = 120;
/** Iterations of a life, in which a thousand are usual. */
const POLLS_MAX = 100_000;
const pool = { small_count: 4, small_bytes: 8 * 1024, large_count: 2, large_bytes: 132 * 1024 };

let bdevPlugin: ReactorPlugin;
let before: (line: string) => void;
beforeAll(async () => {
  console.log(`LOAD_SEED=${soakSeed}`);
  bdevPlugin = ((await import(bdevReactorEntry)) as { default: ReactorPlugin }).default;
  before = setLogWriter(() => {});
});
afterAll(() => void setLogWriter(before));

/** From power on to the next crash: reads what is there, then writes. */
class Life {
  readonly writes = { acknowledged: 0, flushed: 0 };
  private readonly versions: Versions;
  private readonly random: Random;
  private readonly clock = new ManualClock();
  private readonly block_size: number;
  private host!: LocalHost;
  private channel!: BdevChannel;
  private scratch!: Scratch;
  private inflight = 0;
  private polls = 0;
  private problem = '';

  constructor(versions: Versions, random: Random, block_size: number) {
    this.versions = versions;
    this.random = random;
    this.block_size = block_size;
  }

  async start(disk: DiskBdev): Promise<void> {
    this.host = await LocalHost.start({ clock: this.clock, plugins: [bdevPlugin, disk.plugin], pool });
    const bdevs = new BdevRegistry(this.host, { bdev_io_pool_size: 512 });
    bdevs.registerModule(disk.module);
    const { id } = await bdevs.register(disk.module.name, disk.spec('Disk', this.block_size));
    const reactor = this.host.local[0]!;
    this.channel = getBdevService(reactor).getChannel(id, reactor.threads[0]!);
    this.scratch = new Scratch(reactor, this.host.allocateRegionId(), SCRATCH_BYTES);
  }

  private poll(): void {
    if (++this.polls > POLLS_MAX) this.problem = 'I/O does not end';
    this.host.poll();
    this.clock.advance(TICKS_PER_POLL);
    if (this.problem !== '') throw new Error(this.problem);
  }

  /** Everything that the disk holds, held against what it may. */
  check(): void {
    const place = this.scratch.take(DISK_BYTES, plain)!;
    let done = false;
    this.submit(IoType.READ, 0, DISK_BYTES / this.block_size, place, false, (ok) => {
      done = true;
      const data = new Int32Array(place.gather().buffer);
      const sectors = DISK_BYTES / SECTOR;
      this.problem = ok ? this.versions.checkAfterCrash(0, sectors, data) : 'the disk cannot be read';
      if (this.problem === '') this.versions.restarted(data);
    });
    while (!done) this.poll();
    this.scratch.give(place);
  }

  private submit(
    type: number,
    at: number,
    blocks: number,
    place: ReturnType<Scratch['take']>,
    fua: boolean,
    ended: (ok: boolean) => void,
  ): void {
    const io = this.channel.getIo()!;
    io.type = type;
    io.offset_blocks = at;
    io.num_blocks = blocks;
    io.fua = fua;
    if (place !== null) {
      io.region = place.region;
      io.offset = place.offset;
      io.length = place.length;
      io.iovs = place.iovs;
    }
    io.owner = {
      bdevIoDone: () => {
        this.inflight--;
        const ok = io.status === IoStatus.SUCCESS;
        io.free();
        ended(ok);
      },
    };
    this.inflight++;
    expect(this.channel.submit(io)).toBe(0);
  }

  /** Random I/O, until the power goes at a random time. */
  run(): void {
    const { random } = this;
    for (let left = random.below(OPS_MAX); left > 0; left--) {
      while (this.inflight >= DEPTH) this.poll();
      this.one();
      for (let polls = random.below(4); polls > 0; polls--) this.poll();
    }
    for (let polls = random.below(20); polls > 0; polls--) this.poll();
  }

  private one(): void {
    const { random, versions, block_size } = this;
    const sectors = block_size / SECTOR;
    const all = DISK_BYTES / block_size;
    const blocks = 1 + random.below(random.below(8) === 0 ? all : Math.min(all, 8));
    const at = random.below(all - blocks + 1);
    const kind = random.below(16);
    if (kind < 2) {
      const start = versions.now();
      this.submit(IoType.FLUSH, 0, all, null, false, (ok) => {
        expect(ok).toBe(true);
        versions.flushed(start);
        this.writes.flushed++;
      });
      return;
    }
    const bytes = blocks * block_size;
    const place = this.scratch.take(bytes, randomShape(random, bytes))!;
    const range = [at * sectors, blocks * sectors] as const;
    if (kind < 5) {
      const since = versions.now();
      this.submit(IoType.READ, at, blocks, place, false, (ok) => {
        const data = new Int32Array(place.gather().buffer);
        this.problem = ok ? versions.check(...range, data, since, false) : 'a read failed';
        this.scratch.give(place);
      });
      return;
    }
    const fua = random.below(4) === 0;
    const type = kind < 12 ? IoType.WRITE : kind < 14 ? IoType.WRITE_ZEROES : IoType.UNMAP;
    const content = versions.newContents(range[1]);
    const contents = Array.from({ length: range[1] }, (_, i) =>
      type === IoType.WRITE ? content + i : ZEROES,
    );
    const words = new Int32Array(bytes / 4);
    for (let i = 0; i < range[1]; i++) fillContent(words, (i * SECTOR) / 4, SECTOR / 4, contents[i]!);
    place.scatter(new Uint8Array(words.buffer));
    const write = versions.begin(...range, contents, fua);
    this.submit(type, at, blocks, type === IoType.WRITE ? place : null, fua, (ok) => {
      expect(ok).toBe(true);
      versions.end(write, ok);
      this.scratch.give(place);
      this.writes.acknowledged++;
    });
  }
}

async function crashes(traits: EngineTraits, block_size: number, count: number): Promise<void> {
  const disk = new SimDisk(DISK_BYTES);
  const random = new Random(soakSeed);
  const versions = new Versions(0, DISK_BYTES / SECTOR, SECTOR);
  const total = { acknowledged: 0, flushed: 0 };
  for (let i = 0; i <= count; i++) {
    const bdev = new DiskBdev(disk, traits, random);
    const life = new Life(versions, random, block_size);
    await life.start(bdev);
    try {
      life.check();
      life.run();
    } catch (error) {
      throw new Error(`LOAD_SEED=${soakSeed}, after ${i} crashes: ${(error as Error).message}`);
    }
    bdev.crash(random);
    await letGo();
    total.acknowledged += life.writes.acknowledged;
    total.flushed += life.writes.flushed;
  }
  console.log(
    `${disk.crashes} crashes, ${total.acknowledged} writes and ${total.flushed} flushes acknowledged, ` +
      `${disk.lost} sectors lost`,
  );
  // It was what it is meant to be.
  expect(total.flushed).toBeGreaterThan(count);
  expect(disk.lost).toBeGreaterThan(count);
}

it.each([
  ['with a ring', ringTraits, 512],
  ['with a ring', ringTraits, 4096],
  ['without', portableTraits, 512],
  ['without', portableTraits, 4096],
] as const)(
  'file bdevs %s keep what was flushed: %o, blocks of %i bytes',
  { timeout: 60_000 + soakCrashes * 500 },
  async (_way, traits, block_size) => {
    await crashes(traits, block_size, Math.ceil(soakCrashes / 4));
  },
);
