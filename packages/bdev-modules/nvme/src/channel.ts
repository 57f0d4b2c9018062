import {
  type BdevDescription,
  type BdevIo,
  countIo,
  IoStatus,
  IoType,
  type ModuleChannel,
} from '@spdk-ts/bdev';
import { NvmeRequest, type NvmeRequestOwner } from '@spdk-ts/nvme';
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
import type { Reactor } from '@spdk-ts/reactor';
import type { NvmeContext } from './context.ts';
import { RequestSender } from './sender.ts';

const COMPARE_FAILURE = status(statusType.media, mediaStatus.compareFailure);
/** Bytes of a Dataset Management range, and the attribute that deallocates. */
const RANGE_BYTES = 16;
const DEALLOCATE = 0x4;

/** A thread's way to a namespace: each I/O is one command, whose request is used again. */
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
  /** Of each request: the I/O that it serves, and the buffer of its range. */
  private readonly ios: (BdevIo | null)[] = [];
  private readonly buffers: number[] = [];
  private readonly free: number[] = [];

  constructor(description: BdevDescription, reactor: Reactor, onDestroy: (sender: RequestSender) => void) {
    const context = description.context as NvmeContext;
    this.sender = new RequestSender(reactor, context);
    this.reactor = reactor;
    this.nsid = context.nsid;
    this.bdev = context.bdev;
    this.counts = context.io_path_stat;
    this.block_size = description.block_size;
    this.onDestroy = onDestroy;
  }

  submit(io: BdevIo): void {
    if (io.type === IoType.RESET) {
      this.reset(io);
      return;
    }
    const index = this.free.length > 0 ? this.free.pop()! : this.grow();
    const request = this.requests[index]!;
    this.ios[index] = io;
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
    this.buffers.push(-1);
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
      case IoType.WRITE_ZEROES:
        request.begin(nvmOpcode.writeZeroes, this.nsid);
        request.range(io.offset_blocks, io.num_blocks, io.fua ? rwFlag.fua : 0);
        return true;
      case IoType.FLUSH:
        request.begin(nvmOpcode.flush, this.nsid);
        return true;
      default:
        return this.deallocate(request, io);
    }
  }

  private transfer(request: NvmeRequest, io: BdevIo, opcode: number, direction: number): void {
    request.begin(opcode, this.nsid);
    request.range(io.offset_blocks, io.num_blocks, io.fua ? rwFlag.fua : 0);
    request.place(direction, io.region, io.offset, io.bytes);
    request.iovs = io.iovs;
  }

  private deallocate(request: NvmeRequest, io: BdevIo): boolean {
    const { buffers } = this.reactor;
    const offset = buffers.get(RANGE_BYTES);
    if (offset < 0) return false;
    this.buffers[request.ownerIndex] = offset;
    const view = new DataView(buffers.bytes.buffer, buffers.bytes.byteOffset + offset, RANGE_BYTES);
    view.setUint32(0, 0, true);
    view.setUint32(4, io.num_blocks, true);
    view.setUint32(8, io.offset_blocks >>> 0, true);
    view.setUint32(12, io.offset_blocks / 0x1_0000_0000, true);
    request.begin(nvmOpcode.datasetManagement, this.nsid);
    request.sqe[11] = DEALLOCATE;
    request.place(dataTransfer.hostToController, buffers.region, offset, RANGE_BYTES);
    return true;
  }

  private release(index: number): BdevIo {
    const io = this.ios[index]!;
    const buffer = this.buffers[index]!;
    if (buffer >= 0) {
      this.buffers[index] = -1;
      this.reactor.buffers.put(buffer);
    }
    this.ios[index] = null;
    this.free.push(index);
    return io;
  }

  nvmeDone(request: NvmeRequest): void {
    const index = request.ownerIndex;
    if (request.status === 0) {
      if (this.counts) this.count(index);
      this.release(index).complete(IoStatus.SUCCESS);
      return;
    }
    if (this.sender.triesAgain(request)) return;
    const io = this.release(index);
    if (statusCode(request.status) === COMPARE_FAILURE) io.complete(IoStatus.MISCOMPARE);
    else io.completeNvme(statusSct(request.status), statusSc(request.status));
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
