import {
  type BdevDescription,
  type BdevIo,
  countIo,
  IoStatus,
  IoType,
  type ModuleChannel,
} from '@spdk-ts/bdev';
import { ZoneOrder } from '@spdk-ts/file-io';
import { hostStatus, NvmeRequest, type NvmeRequestOwner } from '@spdk-ts/nvme';
import {
  dataTransfer,
  mediaStatus,
  nvmOpcode,
  rwFlag,
  status,
  statusCode,
  statusSc,
  statusSct,
  statusType,
} from '@spdk-ts/nvme-spec';
import type { Reactor, Thread } from '@spdk-ts/reactor';
import { NamespaceCommands } from './commands.ts';
import type { NvmeContext } from './context.ts';
import { FusedWrites } from './fused.ts';
import { adminPassthru } from './passthru.ts';
import { checkProtection } from './protection.ts';
import { isRepeatable } from './repeatable.ts';
import { RequestSender } from './sender.ts';

const COMPARE_FAILURE = status(statusType.media, mediaStatus.compareFailure);
/** Of the first word of a submission queue entry. */
const OPCODE = 0xff;

/** A thread's way to a namespace: each I/O is one command, or several in turn, whose request is used again. */
export class NvmeChannel implements ModuleChannel, NvmeRequestOwner {
  /** Which path requests take. */
  readonly sender: RequestSender;
  private readonly reactor: Reactor;
  private readonly nsid: number;
  private readonly bdev: number;
  private readonly counts: boolean;
  private readonly block_size: number;
  private readonly onDestroy: (sender: RequestSender) => void;
  private readonly requests: NvmeRequest[] = [];
  /** Of each request: the I/O that it serves, and that this is to end aborted. */
  private readonly ios: (BdevIo | null)[] = [];
  private readonly aborted: boolean[] = [];
  private readonly free: number[] = [];

  /** Makes what is no read or write of plain blocks. */
  private readonly commands: NamespaceCommands;
  private readonly fused: FusedWrites;
  private readonly description: BdevDescription;
  private readonly protects: boolean;
  /** Of a namespace with zones: one write at a time to each. */
  private readonly order: ZoneOrder | null;

  constructor(description: BdevDescription, thread: Thread, onDestroy: (sender: RequestSender) => void) {
    const context = description.context as NvmeContext;
    const { reactor } = thread;
    const { protects, zone_gates } = context.commands;
    this.sender = new RequestSender(reactor, context);
    this.reactor = reactor;
    this.nsid = context.nsid;
    this.bdev = context.bdev;
    this.counts = context.io_path_stat;
    this.block_size = description.block_size;
    this.onDestroy = onDestroy;
    this.commands = new NamespaceCommands(description, reactor);
    this.fused = new FusedWrites(this.sender, context.nsid);
    this.description = description;
    this.protects = protects;
    this.order =
      zone_gates === null
        ? null
        : new ZoneOrder(thread, zone_gates, description.zone_size, (io) => this.begin(io));
  }

  submit(io: BdevIo): void {
    if (io.type <= IoType.WRITE && this.order === null) this.begin(io);
    else this.submitOther(io);
  }

  private submitOther(io: BdevIo): void {
    if (io.type === IoType.RESET) this.reset(io);
    else if (io.type === IoType.NVME_ADMIN)
      void adminPassthru(this.reactor, this.description.context as NvmeContext, io);
    else if (io.type === IoType.COMPARE_AND_WRITE) this.fused.begin(io);
    else if (this.order !== null && io.type === IoType.WRITE) this.order.begin(io);
    else this.begin(io);
  }

  private begin(io: BdevIo): void {
    const index = this.free.length > 0 ? this.free.pop()! : this.grow();
    const request = this.requests[index]!;
    this.ios[index] = io;
    io.moduleTag = index;
    if (this.fill(request, io)) this.sender.begin(request);
    else {
      this.release(index);
      io.complete(IoStatus.NOMEM);
    }
  }

  private grow(): number {
    const index = this.requests.length;
    const request = new NvmeRequest(this);
    request.ownerIndex = index;
    this.requests.push(request);
    this.ios.push(null);
    this.aborted.push(false);
    this.commands.grow();
    this.sender.grow();
    return index;
  }

  /** Makes the command of an I/O. False: there is no memory for it now. */
  private fill(request: NvmeRequest, io: BdevIo): boolean {
    switch (io.type) {
      case IoType.READ:
        this.transfer(request, io, nvmOpcode.read, dataTransfer.controllerToHost);
        return true;
      case IoType.WRITE:
        this.transfer(request, io, nvmOpcode.write, dataTransfer.hostToController);
        return true;
      case IoType.COMPARE:
        this.transfer(request, io, nvmOpcode.compare, dataTransfer.hostToController);
        return true;
      case IoType.FLUSH:
        request.begin(nvmOpcode.flush, this.nsid);
        return true;
      default:
        return this.commands.begin(request, io);
    }
  }

  private transfer(request: NvmeRequest, io: BdevIo, opcode: number, direction: number): void {
    // A request whose last I/O was of the same type has the rest of its command already.
    if ((request.sqe[0]! & OPCODE) !== opcode) request.begin(opcode, this.nsid);
    request.range(io.offset_blocks, io.num_blocks, io.fua ? rwFlag.fua : 0);
    request.place(direction, io.region, io.offset, io.bytes);
    request.iovs = io.iovs;
    if (this.protects) checkProtection(this.description, request, io);
  }

  private release(index: number): BdevIo {
    const io = this.ios[index]!;
    this.ios[index] = null;
    this.free.push(index);
    // Only what went beyond reads and writes has a buffer.
    if (io.type > IoType.WRITE) {
      this.commands.release(index);
      // Of a command whose every field may have been set nothing is left for the next.
      if (io.type === IoType.NVME_IO) this.requests[index]!.sqe[0] = 0;
    }
    return io;
  }

  nvmeDone(request: NvmeRequest): void {
    const index = request.ownerIndex;
    const io = this.ios[index]!;
    if (request.status === 0 && !this.aborted[index]!) {
      if (io.type > IoType.WRITE && this.commands.goesOn(request, io)) this.sender.begin(request);
      else {
        if (this.counts) this.count(index);
        // The queue pair tells of ends from its poll, never from a submit: what is submitted next leaves with the same iteration.
        this.finished(index).completeNow(IoStatus.SUCCESS);
      }
      return;
    }
    this.doneOtherwise(request, index, io);
  }

  private doneOtherwise(request: NvmeRequest, index: number, io: BdevIo): void {
    if (this.aborted[index]!) {
      this.aborted[index] = false;
      this.end(index, IoStatus.ABORTED);
    } else if (request.status === hostStatus.ABORTED && !isRepeatable(io, this.order !== null)) {
      this.end(index, IoStatus.ABORTED);
    } else if (!this.sender.triesAgain(request)) this.endWith(index, io, request.status);
  }

  private endWith(index: number, io: BdevIo, ended: number): void {
    io.sct = statusSct(ended);
    io.sc = statusSc(ended);
    this.end(index, statusCode(ended) === COMPARE_FAILURE ? IoStatus.MISCOMPARE : IoStatus.NVME_ERROR);
  }

  private end(index: number, status: number): void {
    this.finished(index).complete(status);
  }

  private finished(index: number): BdevIo {
    const io = this.release(index);
    if (this.order !== null && io.type === IoType.WRITE) this.order.ended(io);
    return io;
  }

  /**
   * What waits for its turn at a zone is taken back. What the controller has will end as aborted, done or not: it is asked to stop, and
   * its answer is waited for, as it may read and write the I/O's memory until then.
   */
  abort(io: BdevIo): boolean {
    if (this.order?.abort(io) === true) return true;
    const index = io.moduleTag;
    const request = this.requests[index];
    if (request === undefined || this.ios[index] !== io || io.type === IoType.RESET) return false;
    this.aborted[index] = true;
    this.sender.abort(request);
    return true;
  }

  /** Counts an I/O that has succeeded on the path that it took. */
  private count(index: number): void {
    const stat = this.sender.taken[index]!.stat;
    const io = this.ios[index]!;
    if (stat !== null)
      countIo(stat, io.type, io.num_blocks * this.block_size, this.reactor.now - io.submitted_at);
  }

  /** Resets the controllers of all paths. */
  private reset(io: BdevIo): void {
    const { bdev } = this;
    this.order?.abortAll();
    this.reactor.control.call('bdev_nvme', 'resetBdev', { bdev }).then(
      () => io.complete(IoStatus.SUCCESS),
      () => {
        this.sender.abortWaiting();
        io.complete(IoStatus.FAILED);
      },
    );
  }

  destroy(): void {
    this.onDestroy(this.sender);
  }
}
