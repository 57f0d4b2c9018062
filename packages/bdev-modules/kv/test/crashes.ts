/**
 * A key-value log whose process or machine dies again and again under load. After each death every key holds a value that
 * it may: the last one that was flushed (or stored with force unit access), or one whose store or delete was begun since.
 */
import {
  type BdevChannel,
  type BdevIo,
  BdevRegistry,
  bdevReactorEntry,
  getBdevService,
  IoStatus,
  IoType,
  KvStatus,
  KvStoreOption,
} from '@spdk-ts/bdev';
import { ManualClock, Random } from '@spdk-ts/env';
import { LocalHost } from '@spdk-ts/reactor';
import { RpcServer } from '@spdk-ts/rpc';
import { registerSchema } from '@spdk-ts/rpc-schema';
import { expect } from 'vitest';
import { SimDisk } from '../../../../test/sim/disk.ts';
import { loadReactorPlugin } from '../../test/bed.ts';
import control from '../src/index.ts';
import kvReactor from '../src/reactor.ts';
import { DiskLife } from './crash-disk.ts';

const KEYS = 40;
const VALUE_BYTES_MAX = 3000;
const DEPTH = 12;
const AREA_BYTES = 4096;
const POLLS_MAX = 200_000;
const pool = { small_count: 4, small_bytes: 8 * 1024, large_count: 2, large_bytes: 132 * 1024 };

/** A key's value: a number that its bytes are made of, and their count; null: there is none. */
type Content = { readonly id: number; readonly bytes: number } | null;
/** In what a key may hold after a crash, in order; what is stable comes first. */
interface Possible {
  readonly content: Content;
  /** When its command was begun and answered (Infinity: not, or with an error). */
  readonly begun: number;
  answered: number;
}

function fill(area: Uint8Array, content: { id: number; bytes: number }): void {
  const view = new DataView(area.buffer, area.byteOffset);
  for (let at = 0; at < content.bytes; at++) area[at] = (content.id >>> ((at & 3) * 8)) ^ (at >>> 2);
  if (content.bytes >= 4) view.setUint32(0, content.id, true);
}

export interface CrashCounts {
  stores: number;
  deletes: number;
  flushes: number;
  reclaimed: number;
  full: number;
  crashes: number;
}

export class CrashRun {
  readonly disk: SimDisk;
  readonly counts: CrashCounts = { stores: 0, deletes: 0, flushes: 0, reclaimed: 0, full: 0, crashes: 0 };
  private readonly random: Random;
  private readonly keys: Possible[][] = Array.from({ length: KEYS }, () => [
    { content: null, begun: 0, answered: 0 },
  ]);
  /** Changes of a key under way: one at a time, so that their order is known. */
  private busy = new Set<number>();
  private tick = 0;
  private ids = 0;

  private host!: LocalHost;
  private channels: BdevChannel[] = [];
  private areas: Uint8Array[] = [];
  private freeAreas: number[] = [];
  private region = 0;
  private inflight = 0;
  private life!: DiskLife;
  private bdevs!: BdevRegistry;

  constructor(seed: number, disk_bytes: number) {
    this.random = new Random(seed);
    this.disk = new SimDisk(disk_bytes);
  }

  async start(): Promise<void> {
    this.life = new DiskLife(this.disk, this.random);
    const clock = new ManualClock();
    const plugins = [await loadReactorPlugin(bdevReactorEntry), this.life.plugin, kvReactor];
    this.host = await LocalHost.start({ clock, plugins, pool, count: 2 });
    this.bdevs = new BdevRegistry(this.host, { bdev_io_pool_size: 1024 });
    const rpc = new RpcServer();
    registerSchema(...(control.methods ?? []));
    await control.setup({ host: this.host, bdevs: this.bdevs, rpc });
    this.bdevs.registerModule(this.life.module);
    await this.bdevs.register(this.life.module.name, this.life.spec('Disk'));
    await this.until(
      rpc.call('bdev_kv_create', { name: 'K', base_bdev_name: 'Disk', max_value_len: VALUE_BYTES_MAX }),
    );
    const { id } = this.bdevs.get('K')!;
    this.channels = this.host.local.map((reactor) => {
      const thread = reactor.threads[0] ?? reactor.createThread('user');
      return getBdevService(reactor).getChannel(id, thread);
    });
    this.region = this.host.allocateRegionId();
    const memory = new Uint8Array(new SharedArrayBuffer((DEPTH + 1) * AREA_BYTES));
    this.areas = Array.from({ length: DEPTH + 1 }, (_, i) =>
      memory.subarray(i * AREA_BYTES, (i + 1) * AREA_BYTES),
    );
    this.freeAreas = this.areas.map((_, i) => i);
    for (const reactor of this.host.local) reactor.regions.add(this.region, memory);
    this.inflight = 0;
    this.busy = new Set();
  }

  private async until<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    promise.then(mark, mark);
    for (let i = 0; !settled; i++) {
      if (i === POLLS_MAX) throw new Error('the promise does not settle');
      this.host.poll();
      await Promise.resolve();
      if (i % 16 === 15) await new Promise((resolve) => setImmediate(resolve));
    }
    return await promise;
  }

  private submit(
    key: number,
    prepare: (io: BdevIo, channel: BdevChannel) => number,
    ended: (io: BdevIo) => void,
  ): void {
    const channel = this.channels[this.random.below(this.channels.length)]!;
    const io = channel.getIo()!;
    const name = Buffer.from(`key${key}`);
    io.setKey(name, 0, name.length);
    this.inflight++;
    io.owner = {
      bdevIoDone: () => {
        this.inflight--;
        ended(io);
        io.free();
      },
    };
    expect(prepare(io, channel)).toBe(0);
  }

  private drain(most = 0): void {
    for (let polls = 0; this.inflight > most; polls++) {
      if (polls > POLLS_MAX) throw new Error(`${this.inflight} I/Os do not end`);
      this.host.poll();
    }
  }

  /** Reads a key: its content, or what is wrong. */
  private read(key: number, seen: (content: Content, problem: string) => void): void {
    const number = this.freeAreas.pop()!;
    const area = this.areas[number]!;
    this.submit(
      key,
      (io, channel) => channel.kvRetrieve(io, this.region, number * AREA_BYTES, AREA_BYTES),
      ({ status, sc, cdw0 }) => {
        this.freeAreas.push(number);
        if (status === IoStatus.NVME_ERROR && sc === KvStatus.KEY_DOES_NOT_EXIST) seen(null, '');
        else if (status !== IoStatus.SUCCESS) seen(null, `status ${status}, sc 0x${sc.toString(16)}`);
        else {
          const id = new DataView(area.buffer, area.byteOffset).getUint32(0, true);
          const wanted = new Uint8Array(cdw0);
          fill(wanted, { id, bytes: cdw0 });
          const same = Buffer.compare(wanted, area.subarray(0, cdw0)) === 0;
          seen({ id, bytes: cdw0 }, same ? '' : 'a value is torn');
        }
      },
    );
  }

  /** After a start: every key holds what it may. */
  check(): void {
    for (let key = 0; key < KEYS; key++) {
      this.read(key, (content, problem) => {
        const possible = this.keys[key]!;
        const found = possible.find(
          (p) => p.content?.id === content?.id && p.content?.bytes === content?.bytes,
        );
        if (problem !== '' || found === undefined)
          throw new Error(
            `key ${key} holds ${JSON.stringify(content)} ${problem}; it may hold ${JSON.stringify(possible)}`,
          );
        this.keys[key] = [{ content: found.content, begun: 0, answered: 0 }];
      });
      this.drain(DEPTH - 1);
    }
    this.drain();
    // Some lives find the disk full.
    if (this.random.below(4) === 0) this.life.writesLeft = this.random.below(150);
  }

  run(operations: number): void {
    const { random } = this;
    for (let left = random.below(operations); left > 0; left--) {
      this.drain(DEPTH - 1);
      this.one();
      for (let polls = random.below(5); polls > 0; polls--) this.host.poll();
    }
  }

  private one(): void {
    const { random } = this;
    const kind = random.below(20);
    if (kind < 2) this.flush();
    else if (kind < 5) {
      const key = random.below(KEYS);
      const known = this.keys[key]!.at(-1)!.content;
      const still = this.busy.has(key);
      const begun = this.tick;
      this.read(key, (content, problem) => {
        const changed = still || this.busy.has(key) || this.keys[key]!.some((p) => p.begun > begun);
        if (problem !== '') throw new Error(`key ${key}: ${problem}`);
        if (!changed && content?.id !== known?.id) throw new Error(`key ${key} is not what was stored`);
      });
    } else this.change(kind < 8);
  }

  private flush(): void {
    const begun = ++this.tick;
    this.submit(
      0,
      (io, channel) => {
        io.type = IoType.FLUSH;
        io.offset_blocks = 0;
        io.num_blocks = 0;
        return channel.submit(io);
      },
      ({ status }) => {
        if (status !== IoStatus.SUCCESS) return;
        this.counts.flushes++;
        for (const possible of this.keys) this.settled(possible, begun);
      },
    );
  }

  /** What was answered before a flush began is stable: what came before it cannot come back. */
  private settled(possible: Possible[], begun: number): void {
    let last = 0;
    possible.forEach(({ answered }, at) => {
      if (answered < begun) last = at;
    });
    possible.splice(0, last);
  }

  private change(deletes: boolean): void {
    const { random } = this;
    const key = random.below(KEYS);
    if (this.busy.has(key)) return;
    const possible = this.keys[key]!;
    const now = possible.at(-1)!;
    const content = deletes ? null : { id: ++this.ids, bytes: 4 + random.below(VALUE_BYTES_MAX - 4) };
    const fua = random.below(6) === 0;
    const options = random.below(3) === 0 ? 1 + random.below(2) : 0;
    const entry: Possible = { content, begun: ++this.tick, answered: Number.POSITIVE_INFINITY };
    this.busy.add(key);
    possible.push(entry);
    const number = this.freeAreas.pop()!;
    if (content !== null) fill(this.areas[number]!, content);
    this.submit(
      key,
      (io, channel) => {
        io.fua = fua;
        if (content === null) return channel.kvDelete(io);
        return channel.kvStore(io, this.region, number * AREA_BYTES, content.bytes, options);
      },
      ({ status, sc }) => {
        this.freeAreas.push(number);
        this.busy.delete(key);
        const exists = now.content !== null;
        const refusal =
          (sc === KvStatus.KEY_EXISTS && exists && options === KvStoreOption.MUST_NOT_EXIST) ||
          (sc === KvStatus.KEY_DOES_NOT_EXIST &&
            !exists &&
            (content === null || options === KvStoreOption.MUST_EXIST));
        if (status === IoStatus.SUCCESS) {
          this.counts[deletes ? 'deletes' : 'stores']++;
          entry.answered = ++this.tick;
          if (fua) possible.splice(0, possible.indexOf(entry));
        } else if (status === IoStatus.NVME_ERROR && (refusal || sc === KvStatus.CAPACITY_EXCEEDED)) {
          if (sc === KvStatus.CAPACITY_EXCEEDED) this.counts.full++;
          // A write that finds no space leaves nothing.
          possible.splice(possible.indexOf(entry), 1);
        } else throw new Error(`key ${key}: status ${status}, sc 0x${sc.toString(16)}`);
      },
    );
  }

  die(): void {
    const info = this.bdevs.info(this.bdevs.get('K')!).driver_specific as {
      kv: { reclaimed_segments: number };
    };
    this.counts.reclaimed += info.kv.reclaimed_segments;
    this.counts.crashes++;
    if (this.random.below(3) === 0) this.life.kill();
    else this.life.crash();
  }
}

/** So many lives one after another. Throws with the seed. */
export async function crashes(
  seed: number,
  disk_bytes: number,
  lives: number,
  operations: number,
): Promise<CrashCounts> {
  const run = new CrashRun(seed, disk_bytes);
  for (let life = 0; life < lives; life++) {
    try {
      await run.start();
      run.check();
      run.run(operations);
    } catch (error) {
      throw new Error(`KV_SEED=${seed}, life ${life}: ${(error as Error).message}`, { cause: error });
    }
    run.die();
  }
  return run.counts;
}
