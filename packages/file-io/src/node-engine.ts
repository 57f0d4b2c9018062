import { fdatasync, read, readv, write, writev } from 'node:fs';
import { type BdevIo, IoType } from '@spdk-ts/bdev';
import type { RegionTable } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import type { Poller, Reactor, Thread } from '@spdk-ts/reactor';
import { type EngineOwner, type FileEngine, PUNCH_HOLE } from './engine.ts';
import type { FileOperation } from './operation.ts';

/** Most pieces that the kernel takes in one call (IOV_MAX). */
const PIECES_MAX = 1024;
const EIO = -5;

type Callback = (error: NodeJS.ErrnoException | null, bytes?: number) => void;

/**
 * Requests through node:fs, whose thread pool does the work, and a poller that takes the answers: what works
 * everywhere.
 */
export class NodeEngine implements FileEngine {
  readonly writesThrough = false;
  readonly punches: boolean = native !== null;
  readonly zeroesRanges = false;
  private readonly reactor: Reactor;
  private readonly regions: RegionTable;
  private readonly fd: number;
  private readonly zeroes: Uint8Array;
  private readonly owner: EngineOwner;
  private readonly poller: Poller;
  /** Made once for each operation. */
  private readonly callbacks: Callback[] = [];
  private answers: number[] = [];
  private taken: number[] = [];
  private results: number[] = [];
  /** Holes still to be made. The call blocks: one a poll. */
  private readonly holes: FileOperation[] = [];

  constructor(fd: number, thread: Thread, zeroRegion: number, owner: EngineOwner) {
    this.reactor = thread.reactor;
    this.regions = thread.reactor.regions;
    this.fd = fd;
    this.zeroes = this.regions.bytes(zeroRegion);
    this.owner = owner;
    this.poller = thread.registerPoller('bdev_file', this.poll);
  }

  begin({ index }: FileOperation): boolean {
    this.callbacks[index] ??= (error, bytes) => {
      this.answer(index, error === null ? (bytes ?? 0) : (error.errno ?? EIO));
    };
    return true;
  }
  end(): void {}

  /** In the event loop, not on a poll: a poll takes it from here. */
  private answer(index: number, result: number): void {
    this.results[index] = result;
    this.answers.push(index);
    this.reactor.wake();
  }

  private readonly poll = (): number => {
    let work = 0;
    if (this.holes.length > 0) {
      this.punch(this.holes.shift()!);
      work++;
    }
    if (this.answers.length === 0) return work;
    const answers = this.answers;
    this.answers = this.taken;
    this.taken = answers;
    work += answers.length;
    for (let i = 0; i < answers.length; i++) this.owner.answered(answers[i]!, this.results[answers[i]!]!);
    answers.length = 0;
    return work;
  };

  transfer({ io, index, at, length, done }: FileOperation): void {
    const { type, region, offset, iovs } = io!;
    const callback = this.callbacks[index]!;
    const position = at + done;
    if (iovs === null) {
      const bytes = this.regions.bytes(region);
      if (type === IoType.READ) read(this.fd, bytes, offset + done, length - done, position, callback);
      else write(this.fd, bytes, offset + done, length - done, position, callback);
      return;
    }
    const views = this.pieces(io!, done);
    if (type === IoType.READ) readv(this.fd, views, position, callback);
    else writev(this.fd, views, position, callback);
  }

  private pieces({ iovs }: BdevIo, skip: number): Uint8Array[] {
    const views: Uint8Array[] = [];
    let left = skip;
    for (let i = 0; i < iovs!.count && views.length < PIECES_MAX; i++) {
      const length = iovs!.length[i]!;
      if (left >= length) {
        left -= length;
        continue;
      }
      const offset = iovs!.offset[i]!;
      views.push(this.regions.bytes(iovs!.region[i]!).subarray(offset + left, offset + length));
      left = 0;
    }
    return views;
  }

  writeZeroes({ index, at, length, done }: FileOperation): void {
    const count = Math.min(this.zeroes.length, length - done);
    write(this.fd, this.zeroes, 0, count, at + done, this.callbacks[index]!);
  }

  allocate(operation: FileOperation): void {
    this.holes.push(operation);
  }

  private punch({ index, at, done, count }: FileOperation): void {
    this.owner.answered(index, native!.allocateFile(this.fd, PUNCH_HOLE, at + done, count));
  }

  sync({ index }: FileOperation): void {
    fdatasync(this.fd, this.callbacks[index]!);
  }

  cancel(): boolean {
    return false;
  }

  destroy(): void {
    this.poller.unregister();
  }
}
