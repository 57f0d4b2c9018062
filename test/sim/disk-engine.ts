import { IoType } from '@spdk-ts/bdev';
import type { Random, RegionTable } from '@spdk-ts/env';
import { type EngineOwner, type FileEngine, type FileOperation, Phase } from '@spdk-ts/file-io';
import type { Poller, Thread } from '@spdk-ts/reactor';
import type { DiskWrite, SimDisk } from './disk.ts';

/** Most that a request takes, ticks: those under way at once end in any order. */
const LATENCY_TICKS_MAX = 1_000_000;
const EINTR = -4;

/** What engines of the tree have, and have not: see FileEngine. */
export interface EngineTraits {
  /** Direct I/O: what ends short ends between blocks, else between sectors. */
  readonly direct: boolean;
  readonly writesThrough: boolean;
  readonly punches: boolean;
  readonly zeroesRanges: boolean;
}

/** As io_uring's and as node:fs's. */
export const ringTraits: EngineTraits = {
  ...{ direct: true, writesThrough: true },
  punches: true,
  zeroesRanges: true,
};
export const portableTraits: EngineTraits = {
  ...{ direct: false, writesThrough: false },
  punches: true,
  zeroesRanges: false,
};

interface Request {
  readonly operation: FileOperation;
  readonly what: 'transfer' | 'zeroes' | 'range' | 'sync';
  readonly due: number;
  /** How much it will do, bytes: less than asked for, at times. */
  readonly bytes: number;
  /** Sync: what it makes stable. */
  readonly mark: number;
}

/**
 * Brings a file channel's requests to a simulated disk: each takes its time, some end short or have to be asked for
 * again, and those that a power failure finds under way may have got to the medium in part.
 */
export class DiskEngine implements FileEngine {
  readonly writesThrough: boolean;
  readonly punches: boolean;
  readonly zeroesRanges: boolean;
  private readonly disk: SimDisk;
  private readonly unit: number;
  private readonly random: Random;
  private readonly thread: Thread;
  private readonly regions: RegionTable;
  private readonly owner: EngineOwner;
  private readonly poller: Poller;
  private requests: Request[] = [];

  /** `unit`: requests end short at multiples of so many bytes. */
  constructor(
    disk: SimDisk,
    traits: EngineTraits,
    unit: number,
    random: Random,
    thread: Thread,
    owner: EngineOwner,
  ) {
    this.disk = disk;
    this.unit = unit;
    this.writesThrough = traits.writesThrough;
    this.punches = traits.punches;
    this.zeroesRanges = traits.zeroesRanges;
    this.random = random;
    this.thread = thread;
    this.regions = thread.reactor.regions;
    this.owner = owner;
    this.poller = thread.registerPoller('sim_disk', this.poll);
  }

  begin(): boolean {
    return this.requests.length < 64;
  }
  end(): void {}

  private ask(operation: FileOperation, what: Request['what'], bytes: number): void {
    const due = this.thread.reactor.now + this.random.below(LATENCY_TICKS_MAX);
    this.requests.push({ operation, what, due, bytes, mark: this.disk.mark() });
  }

  /** Now and then less than was asked for. */
  private part(bytes: number): number {
    const { unit } = this;
    if (bytes <= unit || this.random.below(8) !== 0) return bytes;
    return unit * (1 + this.random.below(Math.ceil(bytes / unit) - 1));
  }

  transfer(operation: FileOperation): void {
    this.ask(operation, 'transfer', this.part(operation.length - operation.done));
  }
  writeZeroes(operation: FileOperation): void {
    this.ask(operation, 'zeroes', this.part(operation.length - operation.done));
  }
  allocate(operation: FileOperation): void {
    this.ask(operation, 'range', operation.count);
  }
  sync(operation: FileOperation): void {
    this.ask(operation, 'sync', 0);
  }

  cancel(): boolean {
    return false;
  }
  destroy(): void {
    this.poller.unregister();
  }

  private readonly poll = (): number => {
    const { now } = this.thread.reactor;
    const due = this.requests.filter((request) => request.due <= now);
    if (due.length === 0) return 0;
    this.requests = this.requests.filter((request) => request.due > now);
    for (const request of due.sort((a, b) => a.due - b.due)) this.perform(request);
    return due.length;
  };

  private perform({ operation, what, bytes, mark }: Request): void {
    const { index } = operation;
    if (this.random.below(50) === 0) {
      this.owner.answered(index, EINTR);
      return;
    }
    const at = operation.at + operation.done;
    const io = operation.io!;
    if (what === 'sync') this.disk.flush(mark);
    else if (what === 'transfer' && io.type === IoType.READ) {
      const data = new Uint8Array(bytes);
      this.disk.read(at, data);
      this.copy(operation, bytes, (piece, skip) => piece.set(data.subarray(skip, skip + piece.length)));
    } else {
      const data = what === 'transfer' ? this.gather(operation, bytes) : null;
      if (io.fua && this.writesThrough && operation.phase === Phase.TRANSFER)
        this.disk.writeStable(at, bytes, data);
      else this.disk.write(at, bytes, data);
    }
    this.owner.answered(index, what === 'range' || what === 'sync' ? 0 : bytes);
  }

  private gather(operation: FileOperation, bytes: number): Uint8Array {
    const data = new Uint8Array(bytes);
    this.copy(operation, bytes, (piece, skip) => data.set(piece, skip));
    return data;
  }

  /** Calls with each piece of the operation's next bytes, and where in them it lies. */
  private copy(
    { io, done }: FileOperation,
    bytes: number,
    fn: (piece: Uint8Array, skip: number) => void,
  ): void {
    const { iovs, region, offset } = io!;
    if (iovs === null) {
      fn(this.regions.bytes(region).subarray(offset + done, offset + done + bytes), 0);
      return;
    }
    let at = 0;
    for (let i = 0; i < iovs.count; i++) {
      const length = iovs.length[i]!;
      const from = Math.max(done, at);
      const to = Math.min(done + bytes, at + length);
      const start = iovs.offset[i]! - at;
      if (from < to) fn(this.regions.bytes(iovs.region[i]!).subarray(start + from, start + to), from - done);
      at += length;
    }
  }

  /** The writes that are under way, for a crash: nobody is told of their end any more. */
  stop(): DiskWrite[] {
    const writes = this.requests.filter(
      ({ operation, what }) => what !== 'sync' && operation.io!.type !== IoType.READ,
    );
    this.requests = [];
    return writes.map(({ operation, what, bytes }) => ({
      at: operation.at + operation.done,
      bytes,
      data: what === 'transfer' ? this.gather(operation, bytes) : null,
    }));
  }
}
