/** A base bdev on a simulated disk, for all reactors: for tests of what a crash, a kill and a full disk leave. */
import {
  type BdevIo,
  type BdevModule,
  type BdevSpec,
  copyFromIo,
  copyToIo,
  getBdevService,
  IoStatus,
  IoType,
  ioTypeMask,
  type Memory,
  type ModuleChannel,
  registerReactorModule,
} from '@spdk-ts/bdev';
import type { Random } from '@spdk-ts/env';
import type { ReactorPlugin, Thread } from '@spdk-ts/reactor';
import { type DiskWrite, SECTOR, type SimDisk } from '../../../../test/sim/disk.ts';

const MODULE = 'crash_disk';
const POLLS_MAX = 6;
const NO_SPACE = 0x81;
const SCRATCH_BYTES = 1024 * 1024;

interface Request {
  readonly io: BdevIo;
  readonly data: Uint8Array;
  readonly mark: number;
  polls: number;
}

/** I/O ends after a random number of polls, in any order. */
class DiskChannel implements ModuleChannel {
  private readonly life: DiskLife;
  private readonly memory: Memory;
  private readonly scratch = new Uint8Array(SCRATCH_BYTES);
  private readonly scratchRegion: number;
  private readonly poller;
  private requests: Request[] = [];

  constructor(life: DiskLife, thread: Thread, memory: Memory) {
    this.life = life;
    this.memory = memory;
    this.scratchRegion = thread.reactor.regions.addLocal(this.scratch).id;
    this.poller = thread.registerPoller('crash_disk', this.poll);
  }

  submit(io: BdevIo): void {
    const bytes = io.num_blocks * SECTOR;
    const data = io.type === IoType.WRITE ? this.gather(io, bytes) : new Uint8Array(0);
    const { disk, random } = this.life;
    this.requests.push({ io, data, mark: disk.mark(), polls: random.below(POLLS_MAX) });
  }

  /** What a write brings, now. */
  private gather(io: BdevIo, bytes: number): Uint8Array {
    copyFromIo(this.memory, io, 0, this.scratchRegion, 0, bytes);
    this.memory.settle();
    return this.scratch.slice(0, bytes);
  }

  private readonly poll = (): number => {
    const due = this.requests.filter((request) => request.polls-- <= 0);
    this.requests = this.requests.filter((request) => !due.includes(request));
    for (const request of due) this.perform(request);
    return due.length;
  };

  private perform({ io, data, mark }: Request): void {
    const { disk } = this.life;
    const at = io.offset_blocks * SECTOR;
    const bytes = io.num_blocks * SECTOR;
    if (io.type === IoType.FLUSH) disk.flush(mark);
    else if (io.type === IoType.READ) {
      disk.read(at, this.scratch.subarray(0, bytes));
      copyToIo(this.memory, io, 0, this.scratchRegion, 0, bytes);
      this.memory.settle();
    } else if (--this.life.writesLeft < 0) {
      io.completeNvme(0, NO_SPACE);
      return;
    } else if (io.fua) disk.writeStable(at, bytes, data);
    else disk.write(at, bytes, data);
    io.complete(IoStatus.SUCCESS);
  }

  writes(): DiskWrite[] {
    return this.requests
      .filter(({ io }) => io.type === IoType.WRITE)
      .map(({ io, data }) => ({ at: io.offset_blocks * SECTOR, bytes: data.length, data }));
  }

  destroy(): void {
    this.poller.unregister();
  }
}

/** The disk in one life of the process that uses it. */
export class DiskLife {
  readonly disk: SimDisk;
  /** Writes until the disk is full. */
  writesLeft = Number.POSITIVE_INFINITY;
  readonly random: Random;
  private readonly channels: DiskChannel[] = [];

  constructor(disk: SimDisk, random: Random) {
    this.disk = disk;
    this.random = random;
  }

  get plugin(): ReactorPlugin {
    return {
      name: MODULE,
      start: (reactor) => {
        registerReactorModule(reactor, {
          name: MODULE,
          instantiate: () => {
            const { memory } = getBdevService(reactor);
            return {
              createChannel: (thread) => {
                const channel = new DiskChannel(this, thread, memory);
                this.channels.push(channel);
                return channel;
              },
            };
          },
        });
        return {};
      },
    };
  }

  readonly module: BdevModule = { name: MODULE, destroy: () => {}, config: () => [] };

  spec(name: string): BdevSpec {
    return {
      ...{ name, product_name: 'Crash disk', block_size: SECTOR, num_blocks: this.disk.bytes / SECTOR },
      io_types: ioTypeMask(IoType.READ, IoType.WRITE, IoType.FLUSH),
      context: null,
    };
  }

  private underWay(): DiskWrite[] {
    return this.channels.flatMap((channel) => channel.writes());
  }

  /** The power goes. */
  crash(): void {
    this.disk.crash(this.random, this.underWay());
  }

  /** The process is killed: what was answered is there, and any sector of what was not. */
  kill(): void {
    for (const { at, data } of this.underWay())
      for (let skip = 0; skip < data!.length; skip += SECTOR)
        if (this.random.below(2) === 0)
          this.disk.write(at + skip, SECTOR, data!.subarray(skip, skip + SECTOR));
  }
}
