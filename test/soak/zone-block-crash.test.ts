/**
 * zone_block bdevs on disks that lose power, thousands of times in virtual time, also while they are made. Afterwards the
 * state of the zones loads, whatever was flushed, written with force unit access, reset or finished is so, every block
 * below a write pointer holds what was acknowledged for it (save what was not flushed, and ended after a write behind
 * it), and everything behind reads as zeroes.
 */
import {
  type BdevChannel,
  BdevRegistry,
  bdevReactorEntry,
  getBdevService,
  getZoneInfo,
  IoStatus,
  IoType,
  ZoneReport,
} from '@spdk-ts/bdev';
import zoneBlock from '@spdk-ts/bdev-zone-block';
import { ManualClock, Random } from '@spdk-ts/env';
import { setLogWriter } from '@spdk-ts/log';
import { LocalHost, type ReactorPlugin } from '@spdk-ts/reactor';
import { RpcServer } from '@spdk-ts/rpc';
import { registerSchema } from '@spdk-ts/rpc-schema';
import { ZoneAction, ZoneState } from '@spdk-ts/zones';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SECTOR, SimDisk } from '../sim/disk.ts';
import { DiskBdev } from '../sim/disk-bdev.ts';
import { type EngineTraits, portableTraits, ringTraits } from '../sim/disk-engine.ts';
import { soakCrashes, soakSeed } from './duration.ts';
import { letGo } from './leftovers.ts';
import { ANYTHING, CAPACITY, SIZE, Zone } from './zone-model.ts';

const REACTORS = 2;
const DEPTH = 10;
const ZONES = 6;
const OPS_MAX = 200;
const TICKS_PER_POLL = 100_000;
/** Iterations of a life, in which a thousand are usual. */
const POLLS_MAX = 100_000;
const pool = { small_count: 16, small_bytes: 8 * 1024, large_count: 4, large_bytes: 132 * 1024 };

const plugins: ReactorPlugin[] = [];
let before: (line: string) => void;
beforeAll(async () => {
  console.log(`LOAD_SEED=${soakSeed}`);
  registerSchema(...(zoneBlock.methods ?? []));
  for (const entry of [bdevReactorEntry, zoneBlock.reactorEntry])
    plugins.push(((await import(entry)) as { default: ReactorPlugin }).default);
  before = setLogWriter(() => {});
});
afterAll(() => void setLogWriter(before));

/** From power on to the next crash. */
class Life {
  readonly counts = { writes: 0, flushes: 0, resets: 0 };
  private readonly zones: readonly Zone[];
  private readonly random: Random;
  private readonly clock = new ManualClock();
  private readonly block_size: number;
  private readonly values: { next: number; now: number };
  private host!: LocalHost;
  private readonly channels: BdevChannel[] = [];
  private readonly regions: number[] = [];
  private readonly free: number[] = [];
  private inflight = 0;
  private polls = 0;

  constructor(
    zones: readonly Zone[],
    random: Random,
    block_size: number,
    values: { next: number; now: number },
  ) {
    this.zones = zones;
    this.random = random;
    this.block_size = block_size;
    this.values = values;
  }

  private poll(): void {
    if (++this.polls > POLLS_MAX) throw new Error('I/O does not end');
    this.host.poll();
    this.clock.advance(TICKS_PER_POLL);
  }

  /** False: the power went while the bdev was being made. */
  async start(disk: DiskBdev, polls_max: number): Promise<boolean> {
    const all = [plugins[0]!, disk.plugin, plugins[1]!];
    this.host = await LocalHost.start({ clock: this.clock, plugins: all, pool, count: REACTORS });
    const bdevs = new BdevRegistry(this.host, { bdev_io_pool_size: 1024 });
    const rpc = new RpcServer();
    bdevs.registerModule(disk.module);
    await zoneBlock.setup({ host: this.host, bdevs, rpc });
    await bdevs.register(disk.module.name, disk.spec('Disk', this.block_size));
    let outcome: unknown = null;
    rpc
      .call('bdev_zone_block_create', {
        ...{ name: 'Z', base_bdev: 'Disk', zone_capacity: CAPACITY, optimal_open_zones: 1 },
      })
      .then(
        (name) => {
          outcome = name;
        },
        (error: unknown) => {
          outcome = error;
        },
      );
    for (let polls = 0; outcome === null; polls++) {
      if (polls === polls_max) return false;
      this.poll();
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (outcome !== 'Z') throw outcome;
    const { id } = bdevs.get('Z')!;
    for (const reactor of this.host.local) {
      const thread = reactor.threads[0] ?? reactor.createThread(`test_${reactor.index}`);
      this.channels.push(getBdevService(reactor).getChannel(id, thread));
      const region = this.host.allocateRegionId();
      reactor.regions.add(region, new Uint8Array((DEPTH + 1) * SIZE * this.block_size));
      this.regions.push(region);
    }
    for (let slot = 0; slot < DEPTH; slot++) this.free.push(slot);
    return true;
  }

  private words(which: number, slot: number): Int32Array {
    const { bytes } = this.host.local[which]!.regions.get(this.regions[which]!)!;
    const length = SIZE * this.block_size;
    return new Int32Array(bytes.buffer, bytes.byteOffset + slot * length, length / 4);
  }

  /** The number in all words of each block, or ANYTHING. */
  private contents(which: number, slot: number, blocks: number): number[] {
    const words = this.words(which, slot);
    const each = this.block_size / 4;
    return Array.from({ length: blocks }, (_, i) => {
      const block = words.subarray(i * each, (i + 1) * each);
      return block.every((word) => word === block[0]) ? block[0]! : ANYTHING;
    });
  }

  /** Every zone, held against what it may be. */
  check(): void {
    const report = new ZoneReport(ZONES);
    let known = false;
    getZoneInfo(this.channels[0]!, 0, ZONES, report, {
      bdevIoDone: (io) => {
        known = true;
        io.free();
      },
    });
    while (!known) this.poll();
    this.zones.forEach((zone, at) => {
      let data: number[] | null = null;
      const result = this.channels[0]!.readBlocks(
        this.regions[0]!,
        DEPTH * SIZE * this.block_size,
        at * SIZE,
        SIZE,
        {
          bdevIoDone: (io) => {
            if (io.status !== IoStatus.SUCCESS) throw new Error(`a read ended with ${io.status}`);
            data = this.contents(0, DEPTH, SIZE);
            io.free();
          },
        },
      );
      expect(result).toBe(0);
      while (data === null) this.poll();
      const { state, write_pointer } = report.get(at);
      const pointer = write_pointer - at * SIZE;
      const fault = zone.fault(state, pointer, data);
      if (fault !== undefined)
        throw new Error(`zone ${at} is in state ${state}, its write pointer at ${pointer}: ${fault}`);
      zone.adopt(state, pointer, data);
    });
  }

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
    const { random } = this;
    const which = random.below(REACTORS);
    const kind = random.below(16);
    if (kind < 2) {
      this.flush(which);
      return;
    }
    const writes = kind < 12;
    const from = random.below(ZONES);
    for (let i = 0; i < ZONES; i++) {
      const at = (from + i) % ZONES;
      const zone = this.zones[at]!;
      if (zone.changing !== 'no' || (!writes && zone.writes > 0)) continue;
      if (writes) this.append(which, at, zone);
      else this.change(which, at, zone, kind === 15 ? 'finish' : 'reset');
      return;
    }
  }

  private submit(
    which: number,
    fields: object,
    ended: (io: { status: number; append_location: number }) => void,
  ): void {
    const io = this.channels[which]!.getIo()!;
    Object.assign(io, { fua: false, zone_all: false }, fields);
    io.owner = {
      bdevIoDone: () => {
        this.inflight--;
        ended(io);
        io.free();
      },
    };
    this.inflight++;
    expect(this.channels[which]!.submit(io)).toBe(0);
  }

  private flush(which: number): void {
    const time = this.values.now++;
    const seen = this.zones.map(({ life, acknowledged }) => ({ life, acknowledged }));
    const fields = { type: IoType.FLUSH, offset_blocks: 0, num_blocks: ZONES * SIZE };
    this.submit(which, fields, ({ status }) => {
      expect(status).toBe(IoStatus.SUCCESS);
      this.counts.flushes++;
      this.zones.forEach((zone, at) => {
        const { life, acknowledged } = seen[at]!;
        if (zone.life === life) zone.stableSince(time, acknowledged);
      });
    });
  }

  private append(which: number, at: number, zone: Zone): void {
    const { random } = this;
    const blocks = 1 + random.below(6);
    const slot = this.free.pop()!;
    const value = this.values.next;
    this.values.next += blocks;
    const words = this.words(which, slot);
    for (let i = 0; i < blocks; i++)
      words.fill(value + i, (i * this.block_size) / 4, ((i + 1) * this.block_size) / 4);
    const fua = random.below(4) === 0;
    zone.writes++;
    zone.asked += blocks;
    const fields = {
      ...{ type: IoType.ZONE_APPEND, offset_blocks: at * SIZE, num_blocks: blocks, fua },
      ...{
        region: this.regions[which],
        offset: slot * SIZE * this.block_size,
        length: blocks * this.block_size,
      },
    };
    this.submit(which, fields, ({ status, append_location }) => {
      zone.writes--;
      this.free.push(slot);
      if (status === IoStatus.SUCCESS) {
        this.counts.writes++;
        zone.wrote(append_location - at * SIZE, blocks, value, fua, this.values.now++);
      } else zone.asked -= blocks;
    });
  }

  private change(which: number, at: number, zone: Zone, what: 'reset' | 'finish'): void {
    zone.changing = what;
    const time = this.values.now++;
    const fields = {
      ...{ type: IoType.ZONE_MANAGEMENT, offset_blocks: at * SIZE, num_blocks: SIZE },
      zone_action: what === 'reset' ? ZoneAction.RESET : ZoneAction.FINISH,
    };
    this.submit(which, fields, ({ status }) => {
      expect(status).toBe(IoStatus.SUCCESS);
      this.counts.resets++;
      if (what === 'reset') zone.reset();
      else {
        zone.changing = 'no';
        zone.finished = true;
        zone.stableSince(time, zone.acknowledged);
      }
    });
  }
}

async function crashes(traits: EngineTraits, block_size: number, count: number): Promise<void> {
  const first_bytes = 64 * 1024;
  const disk = new SimDisk(first_bytes + ZONES * SIZE * block_size);
  const random = new Random(soakSeed);
  // What was there before is none of the zones' business.
  const garbage = new Uint8Array(disk.bytes);
  for (let at = 0; at < garbage.length; at++) garbage[at] = 1 + random.below(255);
  disk.writeStable(0, garbage.length, garbage);
  const zones = Array.from({ length: ZONES }, () => new Zone());
  const values = { next: 1, now: 0 };
  const total = { writes: 0, flushes: 0, resets: 0, unmade: 0 };
  for (let i = 0; i <= count; i++) {
    const bdev = new DiskBdev(disk, traits, random);
    const life = new Life(zones, random, block_size, values);
    try {
      // A format takes some fifty iterations: after each disk that is new, one that the power does not last for.
      const formats = i % 8 === 0;
      if (await life.start(bdev, formats ? random.below(60) : POLLS_MAX)) {
        life.check();
        life.run();
      } else total.unmade++;
    } catch (error) {
      throw new Error(`LOAD_SEED=${soakSeed}, after ${i} crashes: ${(error as Error).message}`, {
        cause: error,
      });
    }
    bdev.crash(random);
    await letGo();
    total.writes += life.counts.writes;
    total.flushes += life.counts.flushes;
    total.resets += life.counts.resets;
    // Now and then a disk that was never formatted, so that it is formatted often.
    if (i % 8 === 7) {
      disk.writeStable(0, 4 * SECTOR, garbage.subarray(0, 4 * SECTOR));
      disk.writeStable(block_size, SECTOR, garbage.subarray(0, SECTOR));
      for (const zone of zones) zone.adopt(ZoneState.EMPTY, 0, []);
    }
  }
  console.log(
    `${disk.crashes} crashes, ${total.unmade} of them before the bdev was there; ${total.writes} appends, ` +
      `${total.flushes} flushes and ${total.resets} resets and finishes acknowledged, ${disk.lost} sectors lost`,
  );
  // It was what it is meant to be.
  expect(total.flushes).toBeGreaterThan(count);
  expect(total.resets).toBeGreaterThan(count);
  expect(total.unmade).toBeGreaterThan(0);
  expect(disk.lost).toBeGreaterThan(count);
}

it.each([
  ['with a ring', ringTraits, 512],
  ['with a ring', ringTraits, 4096],
  ['without', portableTraits, 512],
  ['without', portableTraits, 4096],
] as const)(
  'zones on a disk %s are what was acknowledged: %o, blocks of %i bytes',
  { timeout: 60_000 + soakCrashes * 500 },
  async (_way, traits, block_size) => {
    await crashes(traits, block_size, Math.ceil(soakCrashes / 4));
  },
);
