import { type BdevIo, type BdevIoOwner, IoStatus } from '@spdk-ts/bdev';
import type { IoCommands } from './io-commands.ts';
import { IoSlots } from './io-slots.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';

/** Commands of a command set that are one bdev I/O each, and whose completions tell more than a status. */
export abstract class SingleIoCommands implements BdevIoOwner {
  protected readonly commands: IoCommands;
  /** Commands that are with the bdev. */
  private readonly slots = new IoSlots();

  constructor(commands: IoCommands) {
    this.commands = commands;
  }

  /** The I/O is set up: its end is the command's. */
  protected submit(request: NvmfRequest, io: BdevIo): void {
    io.owner = this;
    io.ownerIndex = this.slots.take(request);
    request.io = io;
    const result = io.channel!.submit(io);
    if (result === 0) return;
    this.slots.give(io.ownerIndex);
    this.commands.refused(request, io, result);
  }

  bdevIoDone(io: BdevIo): void {
    const request = this.slots.give(io.ownerIndex);
    if (io.status !== IoStatus.SUCCESS) {
      this.commands.failed(request, io);
      return;
    }
    this.succeeded(request, io);
    request.io = null;
    io.free();
    this.commands.end(request, Status.SUCCESS);
  }

  /** Counts the command, and takes from its I/O what the completion is to tell. */
  protected abstract succeeded(request: NvmfRequest, io: BdevIo): void;
}
