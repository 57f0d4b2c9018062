import { type BdevDescription, type BdevIo, IoStatus, IoType, type ModuleChannel } from '@spdk-ts/bdev';
import { hostStatus, NvmeRequest, type NvmeRequestOwner } from '@spdk-ts/nvme';
import {
  dataTransfer,
  mediaStatus,
  nvmOpcode,
  rwFlag,
  status,
  statusCode,
  statusIsDnr,
  statusSc,
  statusSct,
  statusType,
} from '@spdk-ts/nvme-spec';
import type { Reactor } from '@spdk-ts/reactor';
import type { NvmeContext } from './context.ts';
import type { ReactorPath } from './path.ts';

const COMPARE_FAILURE = status(statusType.media, mediaStatus.compareFailure);
/** Bytes of a Dataset Management range, and the attribute that deallocates. */
const RANGE_BYTES = 16;
const DEALLOCATE = 0x4;

/** A thread's way to a namespace: each I/O is one command, whose request is used again. */
export class NvmeChannel implements ModuleChannel, NvmeRequestOwner {
  private readonly path: ReactorPath;
  private readonly reactor: Reactor;
  private readonly nsid: number;
  private readonly controller: number;
  private readonly retries_max: number;
  private readonly onDestroy: () => void;
  private readonly requests: NvmeRequest[] = [];
  /** Of each request: the I/O that it serves, how often it was tried again, and the buffer of its range. */
  private readonly ios: (BdevIo | null)[] = [];
  private readonly tries: number[] = [];
  private readonly buffers: number[] = [];
  private readonly free: number[] = [];

  constructor(description: BdevDescription, reactor: Reactor, path: ReactorPath, onDestroy: () => void) {
    const { nsid, controller, bdev_retry_count } = description.context as NvmeContext;
    this.path = path;
    this.reactor = reactor;
    this.nsid = nsid;
    this.controller = controller;
    this.retries_max = bdev_retry_count < 0 ? Number.POSITIVE_INFINITY : bdev_retry_count;
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
    this.tries[index] = 0;
    if (this.fill(request, io)) this.path.submit(request);
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
    this.tries.push(0);
    this.buffers.push(-1);
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
      this.release(index).complete(IoStatus.SUCCESS);
      return;
    }
    if (this.triesAgain(request)) {
      this.tries[index]!++;
      this.path.submit(request);
      return;
    }
    const io = this.release(index);
    if (statusCode(request.status) === COMPARE_FAILURE) io.complete(IoStatus.MISCOMPARE);
    else io.completeNvme(statusSct(request.status), statusSc(request.status));
  }

  /** An error that may pass: the connection was lost, or the controller does not forbid to try again. */
  private triesAgain({ status: ended, ownerIndex }: NvmeRequest): boolean {
    if (this.tries[ownerIndex]! >= this.retries_max || !this.path.mayComeBack) return false;
    if (ended === hostStatus.ABORTED || ended === hostStatus.NO_PATH) return true;
    return !statusIsDnr(ended) && statusSct(ended) !== statusType.media;
  }

  private reset(io: BdevIo): void {
    const { controller } = this;
    this.reactor.control.call('bdev_nvme', 'reset', { controller }).then(
      () => io.complete(IoStatus.SUCCESS),
      () => io.complete(IoStatus.FAILED),
    );
  }

  destroy(): void {
    this.onDestroy();
  }
}
