import { type BdevChannel, type BdevIo, type BdevIoOwner, IoStatus } from '@spdk-ts/bdev';
import type { IoCommands } from './io-commands.ts';
import type { NvmfRequest } from './request.ts';
import { Status, statusOfErrno, statusOfIo } from './status.ts';

/** What carries out a command that takes more than one bdev I/O: {@link NvmfRequest.work}. */
export interface CommandWork {
  /** What it waited for may be there now. */
  resume(): void;
  /** For Abort: no further I/O is begun. True: the command will end aborted, or has. */
  stop(): boolean;
}

/**
 * A command that is carried out by several bdev I/Os, a few at a time, in order. The first failure is the command's, and
 * no further I/O is begun then. One object a command: for commands that are not on the path of reads and writes.
 */
export abstract class CommandSeries implements BdevIoOwner, CommandWork {
  protected readonly commands: IoCommands;
  protected readonly request: NvmfRequest;
  private readonly width: number;
  /** I/Os that are out, and one more while others are being begun. */
  private out = 0;
  private status: number = Status.SUCCESS;
  private exhausted = false;
  private waiting = false;
  private stopped = false;

  /** `width`: I/Os that may be out at once. */
  constructor(commands: IoCommands, request: NvmfRequest, width: number) {
    this.commands = commands;
    this.request = request;
    this.width = width;
  }

  /** Where the next I/O goes, or null if there are no more. May be asked again before {@link setUp} is. */
  protected abstract next(): BdevChannel | null;

  /** Sets up that I/O. */
  protected abstract setUp(io: BdevIo): void;

  /** Sees that what the next I/O needs is there. False: {@link resume} is called when it may be. */
  protected prepare(): boolean {
    return true;
  }

  /** It waits no longer: the command ends. */
  protected stopWaiting(): void {
    this.commands.waiting.remove(this.request);
  }

  /** An I/O has ended well: what that means for the command, as a status. */
  protected succeeded(_io: BdevIo): number {
    return Status.SUCCESS;
  }

  /** The command is about to end. */
  protected ended(_status: number): void {}

  begin(): void {
    this.request.work = this;
    this.pump();
  }

  resume(): void {
    this.waiting = false;
    this.pump();
  }

  stop(): boolean {
    this.stopped = true;
    if (this.out === 0) this.finish();
    return true;
  }

  private get goesOn(): boolean {
    return !this.exhausted && !this.waiting && !this.stopped && this.status === Status.SUCCESS;
  }

  private pump(): void {
    this.out++;
    while (this.goesOn && this.out <= this.width) this.beginNext();
    this.out--;
    if (this.out > 0) return;
    if (this.waiting && !this.stopped && this.status === Status.SUCCESS) return;
    this.finish();
  }

  private beginNext(): void {
    const channel = this.next();
    if (channel === null) {
      this.exhausted = true;
      return;
    }
    if (!this.prepare()) {
      this.waiting = true;
      return;
    }
    const io = channel.getIo();
    if (io === null) {
      this.waiting = true;
      this.commands.wait(this.request, channel);
      return;
    }
    io.owner = this;
    this.setUp(io);
    const result = channel.submit(io);
    if (result === 0) {
      this.out++;
      // Abort finds it there.
      if (this.width === 1) this.request.io = io;
      return;
    }
    io.free();
    this.status = statusOfErrno(result);
  }

  bdevIoDone(io: BdevIo): void {
    if (this.request.io === io) this.request.io = null;
    const status = io.status === IoStatus.SUCCESS ? this.succeeded(io) : statusOfIo(io);
    io.free();
    if (status !== Status.SUCCESS) this.commands.countFailure(this.request, status);
    if (this.status === Status.SUCCESS) this.status = status;
    this.out--;
    this.pump();
  }

  private finish(): void {
    const { request } = this;
    if (this.waiting) this.stopWaiting();
    request.work = null;
    const aborted = this.stopped && this.status === Status.SUCCESS;
    const status = aborted ? Status.ABORTED : this.status;
    this.ended(status);
    this.commands.end(request, status);
  }
}
