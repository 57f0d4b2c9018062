import { fdatasync, read, readv, write, writev } from 'node:fs';
import { type BdevIo, IoType } from '@spdk-ts/bdev';
import type { RegionTable } from '@spdk-ts/env';

/** Most pieces that the kernel takes in one call (IOV_MAX). */
const PIECES_MAX = 1024;

type Callback = (error: NodeJS.ErrnoException | null, bytes?: number) => void;

/** What is told when the file system has answered. Not on a poll: in the event loop. */
export interface OperationOwner {
  answered(operation: FileOperation): void;
}

/** One I/O at work in the file system: reused, with callbacks of its own, made once. */
export class FileOperation {
  io: BdevIo | null = null;
  /** Bytes transferred so far. */
  done = 0;
  /** Bytes of the last answer, or -1 with {@link error}. */
  bytes = 0;
  error: NodeJS.ErrnoException | null = null;
  syncing = false;
  private readonly fd: number;
  private readonly regions: RegionTable;
  private readonly callback: Callback;

  constructor(fd: number, regions: RegionTable, owner: OperationOwner) {
    this.fd = fd;
    this.regions = regions;
    this.callback = (error, bytes) => {
      this.error = error;
      this.bytes = error === null ? (bytes ?? 0) : -1;
      owner.answered(this);
    };
  }

  begin(io: BdevIo): void {
    this.io = io;
    this.done = 0;
    this.syncing = false;
  }

  /** Reads or writes what is left, `length` bytes in all, from byte `at` of the file. */
  transfer(at: number, length: number): void {
    const io = this.io!;
    const position = at + this.done;
    if (io.iovs === null) {
      const view = this.regions.bytes(io.region);
      const start = io.offset + this.done;
      if (io.type === IoType.READ) read(this.fd, view, start, length - this.done, position, this.callback);
      else write(this.fd, view, start, length - this.done, position, this.callback);
      return;
    }
    const views = this.pieces();
    if (io.type === IoType.READ) readv(this.fd, views, position, this.callback);
    else writev(this.fd, views, position, this.callback);
  }

  private pieces(): Uint8Array[] {
    const iovs = this.io!.iovs!;
    const views: Uint8Array[] = [];
    let skip = this.done;
    for (let i = 0; i < iovs.count && views.length < PIECES_MAX; i++) {
      const length = iovs.length[i]!;
      if (skip >= length) {
        skip -= length;
        continue;
      }
      const offset = iovs.offset[i]!;
      views.push(this.regions.bytes(iovs.region[i]!).subarray(offset + skip, offset + length));
      skip = 0;
    }
    return views;
  }

  /** Writes zeroes from byte `at` on: as many as `zeroes` has, at most `length`. */
  writeZeroes(zeroes: Uint8Array, at: number, length: number): void {
    const count = Math.min(zeroes.length, length - this.done);
    write(this.fd, zeroes, 0, count, at + this.done, this.callback);
  }

  sync(): void {
    this.syncing = true;
    fdatasync(this.fd, this.callback);
  }
}
