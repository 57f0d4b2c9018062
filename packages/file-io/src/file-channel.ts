import { getSystemErrorMap } from 'node:util';
import { type BdevDescription, type BdevIo, IoStatus, IoType, type ModuleChannel } from '@spdk-ts/bdev';
import type { Logger } from '@spdk-ts/log';
import { native } from '@spdk-ts/native';
import type { FileContext } from './context.ts';
import type { EngineFactory, EngineOwner, FileEngine } from './engine.ts';
import { seekBlock } from './file-seek.ts';
import { FileOperation, Phase } from './operation.ts';

/** Most that is made a hole, or zeroed by the file system, in one request, bytes. */
const RANGE_BYTES = 256 * 1024 * 1024;
/** Failed I/Os of a channel that are logged. */
const LOGGED_MAX = 20;

const EINTR = -4;
const EIO = -5;
const EAGAIN = -11;
const ENOMEM = -12;
const ENODEV = -19;
const EINVAL = -22;
const ENOSPC = -28;
const ENOSYS = -38;
const EOPNOTSUPP = -95;
const EDQUOT = -122;
const ECANCELED = -125;

/** NVMe status codes (media errors are type 2) that tell a host more than "it failed". */
const GENERIC = 0;
const COMMAND_SPECIFIC = 1;
const CAPACITY_EXCEEDED = 0x81;
const MEDIA = 2;
const WRITE_FAULT = 0x80;
const UNRECOVERED_READ_ERROR = 0x81;

function explain(errno: number): string {
  const [name, text] = getSystemErrorMap().get(errno) ?? ['', 'unknown error'];
  return `${name || errno}: ${text}`;
}

/**
 * A thread's way to a file, whatever engine takes the requests there: goes on after short transfers, syncs, falls
 * back to writing zeroes where files cannot have holes, and says what the system's errors mean.
 */
export class FileChannel implements ModuleChannel, EngineOwner {
  protected readonly description: BdevDescription;
  protected readonly context: FileContext;
  private readonly block_size: number;
  private readonly engine: FileEngine;
  private readonly flushFailed: Int32Array;
  private readonly noHoles: Int32Array;
  private readonly noZeroRange: Int32Array;
  protected readonly log: Logger;
  private logged = 0;
  private readonly operations: FileOperation[] = [];
  private readonly unused: FileOperation[] = [];

  private readonly onDestroy: () => void;

  /** `onDestroy`: what else goes with the channel. */
  constructor(
    description: BdevDescription,
    log: Logger,
    makeEngine: EngineFactory,
    onDestroy: () => void = () => {},
  ) {
    this.onDestroy = onDestroy;
    this.description = description;
    this.block_size = description.block_size;
    this.context = description.context as FileContext;
    this.flushFailed = new Int32Array(this.context.flushFailed);
    this.noHoles = new Int32Array(this.context.noHoles);
    this.noZeroRange = new Int32Array(this.context.noZeroRange);
    this.log = log;
    this.engine = makeEngine(this);
  }

  submit(io: BdevIo): void {
    switch (io.type) {
      case IoType.READ:
      case IoType.WRITE:
        this.begin(io, Phase.TRANSFER);
        break;
      case IoType.WRITE_ZEROES: {
        const by_system = this.engine.zeroesRanges && Atomics.load(this.noZeroRange, 0) === 0;
        this.begin(io, by_system ? Phase.ZERO_RANGE : Phase.ZEROES);
        break;
      }
      case IoType.UNMAP: {
        const holes = this.engine.punches && Atomics.load(this.noHoles, 0) === 0;
        this.begin(io, holes ? Phase.PUNCH : Phase.ZEROES);
        break;
      }
      case IoType.FLUSH:
        this.begin(io, Phase.SYNC);
        break;
      case IoType.RESET:
        for (const operation of this.operations) if (operation.io !== null) this.engine.cancel(operation);
        io.complete(IoStatus.SUCCESS);
        break;
      case IoType.SEEK_DATA:
      case IoType.SEEK_HOLE:
        this.seek(io);
        break;
      default:
        io.complete(IoStatus.FAILED);
    }
  }

  /** Asks the file system, which answers at once. One that cannot tell has data everywhere. */
  private seek(io: BdevIo): void {
    const hole = io.type === IoType.SEEK_HOLE;
    const found = seekBlock(native!, this.context.fd, this.description, io.offset_blocks, hole);
    io.seek_offset_blocks = found >= -1 ? found : hole ? -1 : io.offset_blocks;
    io.complete(IoStatus.SUCCESS);
  }

  private newOperation(): FileOperation {
    const operation = new FileOperation(this.operations.length);
    this.operations.push(operation);
    return operation;
  }

  private begin(io: BdevIo, phase: number): void {
    const operation = this.unused.length > 0 ? this.unused.pop()! : this.newOperation();
    if (!this.engine.begin(operation)) {
      this.unused.push(operation);
      io.complete(IoStatus.NOMEM);
      return;
    }
    io.moduleTag = operation.index;
    operation.io = io;
    operation.phase = phase;
    operation.at = io.offset_blocks * this.block_size;
    operation.length = phase === Phase.SYNC ? 0 : io.num_blocks * this.block_size;
    operation.done = 0;
    operation.aborted = false;
    this.request(operation);
  }

  /** Asks the engine for what is to be done next. */
  private request(operation: FileOperation): void {
    switch (operation.phase) {
      case Phase.TRANSFER:
        this.engine.transfer(operation);
        break;
      case Phase.ZEROES:
        this.engine.writeZeroes(operation);
        break;
      case Phase.SYNC:
        this.engine.sync(operation);
        break;
      default:
        operation.count = Math.min(RANGE_BYTES, operation.length - operation.done);
        this.engine.allocate(operation);
    }
  }

  answered(index: number, result: number): void {
    const operation = this.operations[index]!;
    if (operation.aborted) this.end(operation, IoStatus.ABORTED);
    else if (result < 0) this.fail(operation, result);
    else this.advance(operation, result);
  }

  private advance(operation: FileOperation, result: number): void {
    const phase = operation.phase;
    if (phase === Phase.SYNC) {
      this.endSynced(operation);
      return;
    }
    if (phase === Phase.PUNCH || phase === Phase.ZERO_RANGE) operation.done += operation.count;
    else {
      // Direct I/O cannot go on in the middle of a block.
      const whole = this.context.direct ? result - (result % this.block_size) : result;
      if (whole === 0) {
        this.endShort(operation);
        return;
      }
      operation.done += whole;
    }
    if (operation.done < operation.length) this.request(operation);
    else if (operation.io!.fua && operation.io!.type !== IoType.READ) this.makeStable(operation);
    else this.end(operation, IoStatus.SUCCESS);
  }

  /** Of an I/O with force unit access, everything is written. */
  private makeStable(operation: FileOperation): void {
    if (this.engine.writesThrough && operation.phase === Phase.TRANSFER) {
      this.endSynced(operation);
      return;
    }
    operation.phase = Phase.SYNC;
    this.request(operation);
  }

  /** What this thread wrote is stable. Another reactor may have been told that data were lost. */
  private endSynced(operation: FileOperation): void {
    const failed = Atomics.load(this.flushFailed, 0) !== 0;
    this.end(operation, failed ? IoStatus.FAILED : IoStatus.SUCCESS);
  }

  private endShort(operation: FileOperation): void {
    if (operation.io!.type === IoType.READ)
      this.report('read', 'the file ends there: something else has cut it off');
    else this.report('write', 'nothing was written');
    this.end(operation, IoStatus.FAILED);
  }

  private fail(operation: FileOperation, errno: number): void {
    const io = operation.io!;
    const phase = operation.phase;
    if (errno === EINTR) {
      this.request(operation);
      return;
    }
    if (errno === EAGAIN || errno === ENOMEM) {
      // The layer tries it again, from its beginning, when there is less at work.
      this.end(operation, IoStatus.NOMEM);
      return;
    }
    if (errno === ECANCELED) {
      this.end(operation, IoStatus.ABORTED);
      return;
    }
    if ((phase === Phase.PUNCH || phase === Phase.ZERO_RANGE) && this.isRefusal(errno)) {
      this.noteRefusal(phase, errno);
      operation.phase = Phase.ZEROES;
      this.request(operation);
      return;
    }
    const zone_status = this.zoneStatus(errno);
    if (zone_status !== 0) {
      this.end(operation, IoStatus.NVME_ERROR, COMMAND_SPECIFIC, zone_status);
      return;
    }
    const wrote_through = this.engine.writesThrough && io.fua && io.type === IoType.WRITE && errno === EIO;
    const synced = phase === Phase.SYNC || wrote_through;
    if (synced && Atomics.exchange(this.flushFailed, 0, 1) === 0)
      this.log.error(
        `bdev ${this.description.name}: data written to ${this.context.filename} did not reach stable storage ` +
          `(${explain(errno)}); every flush fails from now on: check the file, then delete and create the bdev`,
      );
    this.report(phase === Phase.SYNC ? 'flush' : io.type === IoType.READ ? 'read' : 'write', explain(errno));
    if (errno === ENOSPC || errno === EDQUOT)
      this.end(operation, IoStatus.NVME_ERROR, GENERIC, CAPACITY_EXCEEDED);
    else if (errno === EIO) {
      const code = io.type === IoType.READ ? UNRECOVERED_READ_ERROR : WRITE_FAULT;
      this.end(operation, IoStatus.NVME_ERROR, MEDIA, code);
    } else this.end(operation, IoStatus.FAILED);
  }

  private isRefusal(errno: number): boolean {
    return errno === EOPNOTSUPP || errno === ENOSYS || errno === EINVAL || errno === ENODEV;
  }

  private noteRefusal(phase: number, errno: number): void {
    const punches = phase === Phase.PUNCH;
    if (Atomics.exchange(punches ? this.noHoles : this.noZeroRange, 0, 1) !== 0 || !punches) return;
    this.log.notice(
      `bdev ${this.description.name}: ${this.context.filename} cannot have holes (${explain(errno)}): ` +
        'unmap writes zeroes',
    );
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
    this.engine.end(operation);
    this.unused.push(operation);
    io.sct = sct;
    io.sc = sc;
    this.complete(io, status);
  }

  /** For channels of zoned devices: an I/O has ended. */
  protected complete(io: BdevIo, status: number): void {
    io.complete(status);
  }

  /** For channels of zoned devices: the command specific status that an errno means there, or 0. */
  protected zoneStatus(_errno: number): number {
    return 0;
  }

  /** What is aborted ends when the kernel lets go of it, and then ABORTED, even if it was done. */
  abort(io: BdevIo): boolean {
    const operation = this.operations[io.moduleTag];
    if (operation === undefined || operation.io !== io || !this.engine.cancel(operation)) return false;
    operation.aborted = true;
    return true;
  }

  destroy(): void {
    this.engine.destroy();
    this.onDestroy();
  }
}
