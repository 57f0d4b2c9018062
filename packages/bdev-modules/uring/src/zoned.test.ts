/** A channel of a zoned block device, over zones that a test simulates: data in a file, pointers and states beside it. */
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type BdevControlPlugin,
  type BdevIo,
  type BdevReactorModule,
  getBdevService,
  IoStatus,
  IoType,
  ioTypeMask,
  registerReactorModule,
} from '@spdk-ts/bdev';
import {
  type EngineOwner,
  type FileContext,
  type FileEngine,
  type FileOperation,
  type FileZones,
  NodeEngine,
  unknownPointers,
  ZonedFileChannel,
  ZoneOrder,
} from '@spdk-ts/file-io';
import { Logger } from '@spdk-ts/log';
import type { Native } from '@spdk-ts/native';
import type { ReactorPlugin, Thread } from '@spdk-ts/reactor';
import { ZoneAction, ZoneState } from '@spdk-ts/zones';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModuleBed } from '../../test/bed.ts';
import { ZoneUser, zonesAgainstModel } from '../../test/zoned.ts';

const BLOCK = 512;
const ZONE = 64;
const CAPACITY = 48;
const ZONES = 8;
const EIO = -5;
const EOVERFLOW = -75;
const MAX_ACTIVE = 5;

/** Conditions of linux/blkzoned.h. */
const Condition = { EMPTY: 1, IMPLICIT: 2, EXPLICIT: 3, CLOSED: 4, READ_ONLY: 13, FULL: 14, OFFLINE: 15 };

/** What the kernel and a device do with zones. */
class Zones {
  readonly pointers = new Array<number>(ZONES).fill(0);
  readonly conditions = new Array<number>(ZONES).fill(Condition.EMPTY);
  readonly writing = new Array<number>(ZONES).fill(0);
  reports = 0;
  limit = ZONES;
  private readonly fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }

  get active(): number {
    return this.conditions.filter((condition) => condition >= 2 && condition <= 4).length;
  }

  /** A write begins: 0, or what the kernel answers. */
  write(block: number, blocks: number): number {
    const zone = Math.floor(block / ZONE);
    expect(this.writing[zone], 'writes to a zone at once').toBe(0);
    const condition = this.conditions[zone]!;
    if (block % ZONE !== this.pointers[zone] || condition > 4) return EIO;
    if (this.pointers[zone]! + blocks > CAPACITY) return EIO;
    if (condition === Condition.EMPTY && this.active >= this.limit) return EOVERFLOW;
    this.pointers[zone]! += blocks;
    this.conditions[zone] = this.pointers[zone] === CAPACITY ? Condition.FULL : Condition.IMPLICIT;
    this.writing[zone] = 1;
    return 0;
  }

  /** The calls of the addon that are about zones; sectors are blocks here. */
  native(): Native {
    return {
      zoneReport: (_fd: number, sector: number, into: Uint8Array): number => {
        this.reports++;
        const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
        const room = Math.floor((into.byteLength - 16) / 64);
        let count = 0;
        view.setUint32(12, 1, true);
        for (let zone = Math.floor(sector / ZONE); zone < ZONES && count < room; zone++) {
          const at = 16 + 64 * count++;
          const values = [zone * ZONE, ZONE, zone * ZONE + this.pointers[zone]!];
          for (const [i, value] of values.entries()) view.setBigUint64(at + 8 * i, BigInt(value), true);
          view.setUint8(at + 24, 2);
          view.setUint8(at + 25, this.conditions[zone]!);
          view.setBigUint64(at + 32, BigInt(CAPACITY), true);
        }
        return count;
      },
      zoneManage: (_fd: number, action: number, sector: number, sectors: number): number => {
        expect([sector % ZONE, sectors]).toEqual([0, ZONE]);
        return this.manage(sector / ZONE, action);
      },
    } as unknown as Native;
  }

  private manage(zone: number, action: number): number {
    const { conditions, pointers } = this;
    expect(
      conditions[zone]! <= 4 || (conditions[zone] === Condition.FULL && action !== ZoneAction.OPEN),
    ).toBe(true);
    if (action === ZoneAction.CLOSE) conditions[zone] = Condition.CLOSED;
    else if (action === ZoneAction.FINISH) conditions[zone] = Condition.FULL;
    else if (action === ZoneAction.OPEN) {
      if (conditions[zone] === Condition.EMPTY && this.active >= this.limit) return EOVERFLOW;
      conditions[zone] = Condition.EXPLICIT;
    } else {
      conditions[zone] = Condition.EMPTY;
      pointers[zone] = 0;
      writeSync(this.fd, Buffer.alloc(ZONE * BLOCK), 0, ZONE * BLOCK, zone * ZONE * BLOCK);
    }
    return 0;
  }
}

/** Writes to the file what the zones take. */
class ZonedEngine implements FileEngine {
  readonly writesThrough = false;
  readonly punches = false;
  readonly zeroesRanges = false;
  private readonly inner: NodeEngine;
  private readonly zones: Zones;
  private readonly thread: Thread;
  private readonly owner: EngineOwner;
  private readonly at = new Map<number, number>();

  constructor(fd: number, thread: Thread, zones: Zones, owner: EngineOwner) {
    this.zones = zones;
    this.thread = thread;
    this.owner = owner;
    this.inner = new NodeEngine(fd, thread, getBdevService(thread.reactor).zeroRegion, {
      answered: (index, result) => {
        const zone = this.at.get(index);
        if (zone !== undefined) zones.writing[zone] = 0;
        this.at.delete(index);
        owner.answered(index, result);
      },
    });
  }

  begin(operation: FileOperation): boolean {
    return this.inner.begin(operation);
  }
  end(): void {}
  transfer(operation: FileOperation): void {
    const io = operation.io!;
    if (io.type === IoType.WRITE) {
      const errno = this.zones.write(io.offset_blocks, io.num_blocks);
      if (errno !== 0) {
        this.thread.send(() => this.owner.answered(operation.index, errno));
        return;
      }
      this.at.set(operation.index, Math.floor(io.offset_blocks / ZONE));
    }
    this.inner.transfer(operation);
  }
  writeZeroes(): void {}
  allocate(): void {}
  sync(operation: FileOperation): void {
    this.inner.sync(operation);
  }
  cancel(): boolean {
    return false;
  }
  destroy(): void {
    this.inner.destroy();
  }
}

describe('a zoned block device', () => {
  let folder = '';
  let fd = -1;
  let zones: Zones;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'zoned-'));
    writeFileSync(join(folder, 'disk'), '');
    truncateSync(join(folder, 'disk'), ZONES * ZONE * BLOCK);
    fd = openSync(join(folder, 'disk'), 'r+');
    zones = new Zones(fd);
  });
  afterEach(() => {
    closeSync(fd);
    rmSync(folder, { recursive: true });
  });

  async function start(count = 1): Promise<ModuleBed> {
    const log = new Logger('zoned');
    const module: BdevReactorModule = {
      name: 'zoned',
      instantiate: (description) => ({
        createChannel: (thread) =>
          new ZonedFileChannel(
            ...([
              description,
              (description.context as FileContext).zones!,
              zones.native(),
              thread,
              log,
            ] as const),
            (owner) => new ZonedEngine(fd, thread, zones, owner),
            () => {},
          ),
      }),
    };
    const half: ReactorPlugin = {
      name: 'bdev_zoned',
      start(reactor) {
        registerReactorModule(reactor, module);
        return {};
      },
    };
    const control: BdevControlPlugin = {
      ...{ name: 'zoned', reactorEntry: '' },
      setup: ({ bdevs }) => bdevs.registerModule({ name: 'zoned', destroy() {}, config: () => [] }),
    };
    const bed = await ModuleBed.start(control, half, { count });
    const shared: FileZones = {
      ...{ zone_size: ZONE, num_zones: ZONES },
      ...{ gates: ZoneOrder.allocate(ZONES), pointers: unknownPointers(ZONES) },
    };
    const context: FileContext = {
      ...{ filename: '/disk', fd, readonly: false, blockDevice: true, direct: true, zones: shared },
      flushFailed: new SharedArrayBuffer(4),
      noHoles: new SharedArrayBuffer(4),
      noZeroRange: new SharedArrayBuffer(4),
    };
    await bed.bdevs.register('zoned', {
      ...{ name: 'Z', product_name: 'test', block_size: BLOCK, num_blocks: ZONES * ZONE, context },
      ...{ zoned: true, zone_size: ZONE, max_zone_append_size: ZONE },
      io_types: ioTypeMask(
        ...[IoType.READ, IoType.WRITE, IoType.FLUSH, IoType.RESET, IoType.ABORT],
        ...[IoType.GET_ZONE_INFO, IoType.ZONE_MANAGEMENT, IoType.ZONE_APPEND],
      ),
    });
    return bed;
  }
  const user = (bed: ModuleBed, reactor = 0): ZoneUser =>
    new ZoneUser(bed.host.local[reactor]!, bed.channel('Z', reactor), bed.host.allocateRegionId(), bed.poll);

  it('does what a model of zones does', { timeout: 60_000 }, async () => {
    const bed = await start();
    await zonesAgainstModel(user(bed), CAPACITY, 10);
  });

  it('refuses what the device would, with the reason, and asks it only when it has to', async () => {
    const z = user(await start());
    expect(await z.append(0, [1, 2])).toEqual([0, 0]);
    const asked = zones.reports;
    expect(await z.append(0, [3])).toEqual([0, 2]);
    expect(await z.write(3, [4])).toBe(0);
    expect(zones.reports).toBe(asked);
    expect(await z.write(5, [4])).toBe(0xbc);
    expect(await z.write(CAPACITY - 1, [4, 5])).toBe(0xb8);
    expect((await z.append(0, new Array(45).fill(1)))[0]).toBe(0xb8);
    expect(await z.append(0, new Array(44).fill(7))).toEqual([0, 4]);
    expect((await z.append(0, [1]))[0]).toBe(0xb9);
    zones.conditions[1] = Condition.READ_ONLY;
    zones.conditions[2] = Condition.OFFLINE;
    expect([await z.write(ZONE, [1]), await z.write(2 * ZONE, [1])]).toEqual([0xba, 0xbb]);
    expect(await z.manage(ZONE, ZoneAction.RESET)).toBe(0xbf);
    // What has no call of the kernel: Invalid Field in Command.
    expect(await z.run((owner) => offline(z, owner))).toMatchObject({
      status: IoStatus.NVME_ERROR,
      sct: 0,
      sc: 2,
    });
    zones.limit = 0;
    expect(await z.write(3 * ZONE, [1])).toBe(0xbd);
    expect(await z.manage(3 * ZONE, ZoneAction.OPEN)).toBe(0xbd);
  });

  function offline(z: ZoneUser, owner: { bdevIoDone(io: BdevIo): void }): number {
    const io = z.channel.getIo()!;
    Object.assign(io, { type: IoType.ZONE_MANAGEMENT, offset_blocks: ZONE, num_blocks: ZONE, owner });
    io.zone_action = ZoneAction.OFFLINE;
    io.zone_all = false;
    return z.channel.submit(io);
  }

  it('manages one zone, and all that an action is for', async () => {
    const z = user(await start());
    zones.limit = MAX_ACTIVE;
    expect(await z.write(0, [1])).toBe(0);
    expect(await z.manage(ZONE, ZoneAction.OPEN)).toBe(0);
    expect(await z.manage(2 * ZONE, ZoneAction.FINISH)).toBe(0);
    expect(await z.manage(3 * ZONE, ZoneAction.CLOSE)).toBe(0xbf);
    const { EMPTY, IMPLICIT_OPEN, EXPLICIT_OPEN, FULL, CLOSED } = ZoneState;
    expect((await z.states()).slice(0, 4)).toEqual([IMPLICIT_OPEN, EXPLICIT_OPEN, FULL, EMPTY]);
    expect(await z.manageAll(ZoneAction.CLOSE)).toBe(0);
    expect((await z.states()).slice(0, 4)).toEqual([CLOSED, CLOSED, FULL, EMPTY]);
    expect(await z.manageAll(ZoneAction.OPEN)).toBe(0);
    expect((await z.states()).slice(0, 4)).toEqual([EXPLICIT_OPEN, EXPLICIT_OPEN, FULL, EMPTY]);
    expect(await z.manageAll(ZoneAction.FINISH)).toBe(0);
    expect(await z.manageAll(ZoneAction.RESET)).toBe(0);
    expect(await z.states()).toEqual(new Array(ZONES).fill(EMPTY));
    expect(await z.read(0, 1)).toEqual([0]);
    expect((await z.report(2 * ZONE, 3)).map(({ zone_id }) => zone_id)).toEqual([
      2 * ZONE,
      3 * ZONE,
      4 * ZONE,
    ]);
  });

  it('takes writes and appends of two reactors at once, in order in each zone', async () => {
    const bed = await start(2);
    const places: number[] = [];
    const statuses: number[] = [];
    const owner = {
      bdevIoDone(io: BdevIo) {
        statuses.push(io.status);
        if (io.type === IoType.ZONE_APPEND) places.push(io.append_location);
        io.free();
      },
    };
    for (const index of [0, 1]) {
      const channel = bed.channel('Z', index);
      const { region, bytes } = bed.host.local[index]!.buffers;
      bytes.fill(index + 1, 0, 20 * BLOCK);
      for (let i = 0; i < 20; i++) {
        expect(channel.writeBlocks(region, i * BLOCK, (index + 1) * ZONE + i, 1, owner)).toBe(0);
        const io = channel.getIo()!;
        Object.assign(io, {
          type: IoType.ZONE_APPEND,
          offset_blocks: 0,
          num_blocks: 1,
          region,
          length: BLOCK,
          owner,
        });
        expect(channel.submit(io)).toBe(0);
      }
    }
    while (statuses.length < 80) await bed.poll();
    expect(new Set(statuses)).toEqual(new Set([IoStatus.SUCCESS]));
    expect(places.sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i));
    const z = user(bed);
    expect(await z.read(ZONE, 20)).toEqual(new Array(20).fill(1));
    expect(await z.read(2 * ZONE, 20)).toEqual(new Array(20).fill(2));
    expect((await z.read(0, 40)).sort()).toEqual([...new Array(20).fill(1), ...new Array(20).fill(2)]);
  });
});
