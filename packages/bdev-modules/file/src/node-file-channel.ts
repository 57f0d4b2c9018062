import {
  type BdevDescription,
  type BdevIo,
  getBdevService,
  IoStatus,
  IoType,
  type ModuleChannel,
} from '@spdk-ts/bdev';
import { Logger } from '@spdk-ts/log';
import { native } from '@spdk-ts/native';
import type { Poller, Reactor, Thread } from '@spdk-ts/reactor';
import type { FileContext } from './context.ts';
import { FileOperation, type OperationOwner } from './node-file-operation.ts';

/** Bytes of hole that are punched in one poll: the call blocks. */
const HOLE_BYTES = 256 * 1024 * 1024;
/** Failed I/Os of a channel that are logged. */
const LOGGED_MAX = 20;

/** NVMe status codes (media errors are type 2) that tell a host more than "it failed". */
const GENERIC = 0;
const CAPACITY_EXCEEDED = 0x81;
const MEDIA = 2;
const WRITE_FAULT = 0x80;
const UNRECOVERED_READ_ERROR = 0x81;

/** A thread's way to a file: node:fs, whose thread pool does the work, and a poller that takes the answers. */
export class FileChannel implements ModuleChannel, OperationOwner {
  private readonly reactor: Reactor;
  private readonly regions: Reactor['regions'];
  private readonly description: BdevDescription;
  private readonly context: FileContext;
  private readonly flushFailed: Int32Array;
  private readonly noHoles: Int32Array;
  private readonly zeroes: Uint8Array;
  private readonly poller: Poller;
  private readonly log = new Logger('bdev_file');
  private logged = 0;
  private readonly unused: FileOperation[] = [];
  private answers: FileOperation[] = [];
  private taken: FileOperation[] = [];
  /** Unmaps that are done a hole a poll. `moduleTag`: bytes done. */
  private holes: BdevIo[] = [];

  constructor(description: BdevDescription, thread: Thread) {
    const service = getBdevService(thread.reactor);
    this.reactor = thread.reactor;
    this.regions = thread.reactor.regions;
    this.description = description;
    this.context = description.context as FileContext;
    this.flushFailed = new Int32Array(this.context.flushFailed);
    this.noHoles = new Int32Array(this.context.noHoles);
    this.zeroes = this.regions.bytes(service.zeroRegion);
    this.poller = thread.registerPoller('bdev_file', this.poll);
  }

  submit(io: BdevIo): void {
    switch (io.type) {
      case IoType.READ:
      case IoType.WRITE:
      case IoType.WRITE_ZEROES:
      case IoType.FLUSH:
        this.step(this.begin(io));
        break;
      case IoType.UNMAP:
        io.moduleTag = 0;
        this.holes.push(io);
        break;
      case IoType.RESET:
        io.complete(IoStatus.SUCCESS);
        break;
      default:
        io.complete(IoStatus.FAILED);
    }
  }

  private begin(io: BdevIo): FileOperation {
    const operation = this.unused.pop() ?? new FileOperation(this.context.fd, this.regions, this);
    operation.begin(io);
    return operation;
  }

  /** Starts what an operation has to do next, or ends it. */
  private step(operation: FileOperation): void {
    const io = operation.io!;
    const at = io.offset_blocks * this.description.block_size;
    const length = io.type === IoType.FLUSH ? 0 : io.num_blocks * this.description.block_size;
    const wants_sync = io.type === IoType.FLUSH || (io.fua && io.type !== IoType.READ);
    if (operation.done < length) {
      if (io.type === IoType.READ || io.type === IoType.WRITE) operation.transfer(at, length);
      else operation.writeZeroes(this.zeroes, at, length);
    } else if (wants_sync && !operation.syncing) operation.sync();
    else this.end(operation, IoStatus.SUCCESS);
  }

  /** For operations: the file system has answered. In the event loop: a poll takes it from here. */
  answered(operation: FileOperation): void {
    this.answers.push(operation);
    this.reactor.wake();
  }

  private readonly poll = (): number => {
    let work = 0;
    if (this.holes.length > 0) {
      this.punch(this.holes[0]!);
      work++;
    }
    if (this.answers.length === 0) return work;
    const answers = this.answers;
    this.answers = this.taken;
    this.taken = answers;
    work += answers.length;
    for (let i = 0; i < answers.length; i++) this.takeAnswer(answers[i]!);
    answers.length = 0;
    return work;
  };

  private takeAnswer(operation: FileOperation): void {
    const error = operation.error;
    if (error !== null) {
      this.fail(operation, error);
      return;
    }
    if (operation.syncing) {
      // Another reactor may have been told that data were lost.
      const failed = Atomics.load(this.flushFailed, 0) !== 0;
      this.end(operation, failed ? IoStatus.FAILED : IoStatus.SUCCESS);
      return;
    }
    operation.done += operation.bytes;
    if (operation.bytes > 0) this.step(operation);
    else if (operation.io!.type === IoType.READ) {
      this.report('read', 'the file ends there: something else has cut it off');
      this.end(operation, IoStatus.FAILED);
    } else {
      this.report('write', 'nothing was written');
      this.end(operation, IoStatus.FAILED);
    }
  }

  private fail(operation: FileOperation, error: NodeJS.ErrnoException): void {
    const io = operation.io!;
    if (error.code === 'EAGAIN' || error.code === 'EINTR') {
      operation.syncing = false;
      this.step(operation);
      return;
    }
    if (operation.syncing && Atomics.exchange(this.flushFailed, 0, 1) === 0)
      this.log.error(
        `bdev ${this.description.name}: data written to ${this.context.filename} did not reach stable storage ` +
          `(${error.message}); every flush fails from now on: check the file, then delete and create the bdev`,
      );
    this.report(operation.syncing ? 'flush' : io.type === IoType.READ ? 'read' : 'write', error.message);
    if (error.code === 'ENOSPC' || error.code === 'EDQUOT')
      this.end(operation, IoStatus.NVME_ERROR, GENERIC, CAPACITY_EXCEEDED);
    else if (error.code === 'EIO')
      this.end(
        operation,
        IoStatus.NVME_ERROR,
        MEDIA,
        io.type === IoType.READ ? UNRECOVERED_READ_ERROR : WRITE_FAULT,
      );
    else this.end(operation, IoStatus.FAILED);
  }

  private report(what: string, why: string): void {
    if (this.logged++ >= LOGGED_MAX) return;
    const last = this.logged === LOGGED_MAX ? '; further failures are not logged' : '';
    this.log.error(
      `bdev ${this.description.name}: ${what} of ${this.context.filename} failed: ${why}${last}`,
    );
  }

  private end(operation: FileOperation, status: number, sct = 0, sc = 0): void {
    const io = operation.io!;
    operation.io = null;
    operation.error = null;
    this.unused.push(operation);
    io.sct = sct;
    io.sc = sc;
    io.complete(status);
  }

  /** Makes the next part of an unmap's range a hole; where files have none, zeroes do. */
  private punch(io: BdevIo): void {
    const length = io.num_blocks * this.description.block_size;
    const at = io.offset_blocks * this.description.block_size;
    const count = Math.min(HOLE_BYTES, length - io.moduleTag);
    if (Atomics.load(this.noHoles, 0) === 0) {
      try {
        native!.punchHole(this.context.fd, at + io.moduleTag, count);
        io.moduleTag += count;
        if (io.moduleTag < length) return;
        this.holes.shift();
        io.complete(IoStatus.SUCCESS);
        return;
      } catch (error) {
        Atomics.store(this.noHoles, 0, 1);
        this.log.notice(
          `bdev ${this.description.name}: ${this.context.filename} cannot have holes ` +
            `(${(error as Error).message}): unmap writes zeroes`,
        );
      }
    }
    this.holes.shift();
    this.step(this.begin(io));
  }

  destroy(): void {
    this.poller.unregister();
  }
}
