import type { BdevChannel, BdevIoWaiter } from '@spdk-ts/bdev';
import type { IoCommands } from './io-commands.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';

/** Commands that cannot go on for now, as something has run out. When there is some again they go on, or start anew, in order. */
export class WaitingCommands implements BdevIoWaiter {
  private readonly commands: IoCommands;
  /** Those that found no I/O object, in order. */
  private readonly forIo: NvmfRequest[] = [];
  private asked = false;
  /** Those that wait for memory to put data in. */
  private readonly forMemory = new Set<NvmfRequest>();

  constructor(commands: IoCommands) {
    this.commands = commands;
  }

  /** Commands that wait for an I/O object. */
  get count(): number {
    return this.forIo.length;
  }

  /** The command waits until there is an I/O object. */
  add(request: NvmfRequest, channel: BdevChannel): void {
    this.forIo.push(request);
    if (this.asked) return;
    this.asked = true;
    channel.queueWait(this);
  }

  /** ... and waits no longer. */
  remove(request: NvmfRequest): void {
    const at = this.forIo.indexOf(request);
    if (at >= 0) this.forIo.splice(at, 1);
  }

  bdevIoAvailable(): void {
    this.asked = false;
    const count = this.forIo.length;
    for (let i = 0; i < count && !this.asked; i++) this.goOn(this.forIo.shift()!);
  }

  private goOn(request: NvmfRequest): void {
    if (request.work !== null) request.work.resume();
    else this.commands.start(request, request.qpair.controller!);
  }

  /** True if there is memory for the command's data. If not, it starts anew when there is. */
  hasPlace(request: NvmfRequest): boolean {
    if (request.length === 0 || request.region >= 0 || request.iovs !== null) return true;
    if (this.commands.group.allocate(request, request.length, this.placed)) return true;
    this.forMemory.add(request);
    return false;
  }

  private readonly placed = (request: NvmfRequest): void => {
    this.forMemory.delete(request);
    this.commands.start(request, request.qpair.controller!);
  };

  /** For Abort: ends a command that waits here. False if it is none, or cannot be stopped. */
  abort(request: NvmfRequest): boolean {
    const { commands } = this;
    if (this.forMemory.delete(request)) {
      commands.group.memory.release(request);
      request.region = -1;
      commands.end(request, Status.ABORTED);
      return true;
    }
    if (!this.forIo.includes(request)) return false;
    if (request.work !== null) return request.work.stop();
    this.remove(request);
    commands.end(request, Status.ABORTED);
    return true;
  }
}
