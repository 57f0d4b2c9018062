/**
 * For tests of zoned bdevs: zone I/O, one at a time, and a byte model of zones that random I/O is held to. Also for programs
 * that no test runner runs.
 */
import { deepStrictEqual as same } from 'node:assert/strict';
import {
  type BdevChannel,
  type BdevIo,
  Errno,
  getZoneInfo,
  IoStatus,
  IoType,
  type ZoneInfo,
  ZoneReport,
  zoneAppend,
  zoneManagement,
  zoneManagementAll,
} from '@spdk-ts/bdev';
import type { Reactor, WorkerHost } from '@spdk-ts/reactor';
import { ZoneAction, ZoneState } from '@spdk-ts/zones';
import fc from 'fast-check';

export interface Ended {
  readonly status: number;
  readonly sct: number;
  readonly sc: number;
  readonly location: number;
}

/** I/O to a zoned bdev through one channel. Blocks are filled with one byte each. */
export class ZoneUser {
  readonly channel: BdevChannel;
  private readonly scratch: Uint8Array;
  readonly region: number;
  private readonly poll: () => Promise<void>;
  private readonly block_size: number;

  constructor(
    reactor: Reactor,
    channel: BdevChannel,
    region: number,
    poll: () => Promise<void>,
    blocks_max = 64,
  ) {
    this.channel = channel;
    this.region = region;
    this.poll = poll;
    this.block_size = channel.block_size;
    this.scratch = new Uint8Array(blocks_max * channel.block_size);
    reactor.regions.add(region, this.scratch);
  }

  /** Polls until the I/O that `submit` starts has ended. */
  async run(submit: (owner: { bdevIoDone(io: BdevIo): void }) => number): Promise<Ended> {
    let ended: Ended | null = null;
    const result = submit({
      bdevIoDone: (io) => {
        ended = { status: io.status, sct: io.sct, sc: io.sc, location: io.append_location };
        io.free();
      },
    });
    if (result !== 0) return { status: result, sct: 0, sc: 0, location: -1 };
    while (ended === null) await this.poll();
    return ended;
  }

  /** 0 for success, a command specific status, or a negative bdev status or errno. */
  private async status(submit: Parameters<ZoneUser['run']>[0]): Promise<number> {
    return statusOf(await this.run(submit));
  }

  /** Fills one block of the scratch area, for who submits I/O by hand. */
  fillSlot(slot: number, value: number): void {
    this.scratch.fill(value, slot * this.block_size, (slot + 1) * this.block_size);
  }

  private fill(values: readonly number[]): void {
    values.forEach((value, at) => {
      this.scratch.fill(value, at * this.block_size, (at + 1) * this.block_size);
    });
  }

  write(at: number, values: readonly number[], fua = false): Promise<number> {
    this.fill(values);
    return this.status((owner) => {
      const io = this.channel.getIo()!;
      io.type = IoType.WRITE;
      io.offset_blocks = at;
      io.num_blocks = values.length;
      io.region = this.region;
      io.length = values.length * this.block_size;
      io.owner = owner;
      io.fua = fua;
      const refused = this.channel.submit(io);
      if (refused !== 0) io.free();
      return refused;
    });
  }

  /** Status, and where it went. */
  async append(zone_id: number, values: readonly number[]): Promise<[number, number]> {
    this.fill(values);
    const ended = await this.run((owner) =>
      zoneAppend(this.channel, this.region, 0, zone_id, values.length, owner),
    );
    return [statusOf(ended), ended.location];
  }

  /** The byte that each block is filled with. */
  async read(at: number, blocks: number): Promise<number[]> {
    this.scratch.fill(0xee);
    const status = await this.status((owner) => this.channel.readBlocks(this.region, 0, at, blocks, owner));
    if (status !== 0) return [status];
    return Array.from({ length: blocks }, (_, i) => {
      const block = this.scratch.subarray(i * this.block_size, (i + 1) * this.block_size);
      same(
        block.every((byte) => byte === block[0]),
        true,
      );
      return block[0]!;
    });
  }

  manage(zone_id: number, action: number): Promise<number> {
    return this.status((owner) => zoneManagement(this.channel, zone_id, action, owner));
  }
  manageAll(action: number): Promise<number> {
    return this.status((owner) => zoneManagementAll(this.channel, action, owner));
  }
  zeroes(at: number, blocks: number): Promise<number> {
    return this.status((owner) => this.channel.writeZeroesBlocks(at, blocks, owner));
  }
  copy(at: number, from: number, blocks: number): Promise<number> {
    return this.status((owner) => this.channel.copyBlocks(at, from, blocks, owner));
  }
  flush(): Promise<number> {
    return this.status((owner) => this.channel.flushBlocks(0, this.channel.num_blocks, owner));
  }

  async report(zone_id = 0, num_zones?: number): Promise<ZoneInfo[]> {
    const { zone_size } = this.channel.device.description;
    const count = num_zones ?? this.channel.num_blocks / zone_size;
    const report = new ZoneReport(count);
    same(await this.status((owner) => getZoneInfo(this.channel, zone_id, count, report, owner)), 0);
    return Array.from({ length: report.count }, (_, at) => report.get(at));
  }
  async states(): Promise<number[]> {
    return (await this.report()).map(({ state }) => state);
  }
}

function statusOf({ status, sct, sc }: Ended): number {
  if (status === IoStatus.SUCCESS) return 0;
  return status === IoStatus.NVME_ERROR && sct === 1 ? sc : status;
}

/** Holds a zoned bdev against a model of its data and write pointers; fast-check prints the seed of what fails. */
export async function zonesAgainstModel(
  user: ZoneUser,
  zone_capacity: number,
  runs: { readonly numRuns: number; readonly seed?: number } = { numRuns: 20 },
  keeps_data = true,
): Promise<void> {
  const { channel } = user;
  const { zone_size, max_zone_append_size } = channel.device.description;
  const append_blocks = max_zone_append_size || zone_size;
  const num_zones = channel.num_blocks / zone_size;
  const flushes = channel.supports(IoType.FLUSH);
  const model = new Uint8Array(channel.num_blocks);
  const step = fc.record({
    what: fc.constantFrom('append', 'append', 'write', 'reset', 'finish', 'flush', 'read', 'read'),
    zone: fc.nat(num_zones - 1),
    at: fc.nat(channel.num_blocks - 1),
    blocks: fc.integer({ min: 1, max: Math.min(zone_capacity, 24) }),
    value: fc.integer({ min: 1, max: 200 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (list) => {
      same(await user.manageAll(ZoneAction.RESET), 0);
      model.fill(0);
      const pointers = new Array<number>(num_zones).fill(0);
      const full = new Array<boolean>(num_zones).fill(false);
      for (const { what, zone, at, blocks, value } of list) {
        const start = zone * zone_size;
        const pointer = pointers[zone]!;
        if (what === 'append' || what === 'write') {
          // Behind a zone that is full to its end is the next one: then its last block is written.
          const behind = what === 'write' && pointer === zone_size;
          const values = Array.from({ length: behind ? 1 : blocks }, (_, i) => value + i);
          const first = start + pointer - (behind ? 1 : 0);
          // What no zone is asked about: the bdev ends before the write does, or takes no such append.
          const beyond = what === 'write' && first + values.length > channel.num_blocks;
          const too_long = what === 'append' && blocks > append_blocks;
          const expected =
            beyond || too_long ? -22 : full[zone] ? 0xb9 : pointer + blocks > zone_capacity ? 0xb8 : 0;
          if (what === 'write') same(await user.write(first, values), expected);
          else {
            const [status, location] = await user.append(start, values);
            same(status, expected);
            if (status === 0) same(location, start + pointer);
          }
          if (expected !== 0) continue;
          model.set(values, start + pointer);
          pointers[zone] = pointer + blocks;
          full[zone] = pointers[zone] === zone_capacity;
        } else if (what === 'reset') {
          same(await user.manage(start, ZoneAction.RESET), 0);
          model.fill(0, start, start + zone_size);
          pointers[zone] = 0;
          full[zone] = false;
        } else if (what === 'finish') {
          same(await user.manage(start, ZoneAction.FINISH), 0);
          full[zone] = true;
        } else if (what === 'flush') same(await user.flush(), flushes ? 0 : Errno.ENOTSUP);
        else {
          const count = Math.min(blocks, channel.num_blocks - at);
          const read = await user.read(at, count);
          if (keeps_data) same(read, [...model.subarray(at, at + count)]);
        }
      }
      const states = await user.report();
      same(
        states.map(({ state }) => state === ZoneState.FULL),
        full,
      );
      same(
        states.map(({ write_pointer, zone_id }) => write_pointer - zone_id),
        pointers.map((pointer, zone) => (full[zone] ? zone_capacity : pointer)),
      );
      for (let at = 0; keeps_data && at < channel.num_blocks; at += 16) {
        const count = Math.min(16, channel.num_blocks - at);
        same(await user.read(at, count), [...model.subarray(at, at + count)]);
      }
    }),
    runs,
  );
}

/**
 * Lets the drivers (driver.mjs) of two workers fill a zone with appends of a block each, and looks that they have had every
 * block once, and that what they have written is there.
 */
export async function expectFilledByTwo(
  host: WorkerHost,
  id: number,
  zone_id: number,
  zone_capacity: number,
): Promise<void> {
  const got = (await host.broadcast('driver', 'appendAll', { id, zone_id, depth: 8 })) as number[][];
  const blocks = got.flat().sort((a, b) => a - b);
  same(
    blocks,
    Array.from({ length: zone_capacity }, (_, i) => zone_id + i),
  );
  for (const [index, places] of got.entries())
    for (const at of [places[0], places.at(-1)])
      if (at !== undefined)
        same(await host.call(1 - index, 'driver', 'read', { id, at }), {
          status: IoStatus.SUCCESS,
          values: [index + 1],
        });
}
