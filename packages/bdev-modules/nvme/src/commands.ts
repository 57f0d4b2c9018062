import { type BdevDescription, type BdevIo, IoType } from '@spdk-ts/bdev';
import type { NvmeRequest } from '@spdk-ts/nvme';
import {
  copyFormat,
  copyRangeSize,
  DSM_RANGE_SIZE,
  dataTransfer,
  dsmAttribute,
  encodeCopyRange,
  encodeDsmRange,
  nvmOpcode,
  rwFlag,
  znsOpcode,
} from '@spdk-ts/nvme-spec';
import type { Reactor } from '@spdk-ts/reactor';
import type { CommandContext, NvmeContext } from './context.ts';
import { beginKeyCommand } from './key-commands.ts';
import { beginPassthru } from './passthru.ts';
import { generateProtection } from './protection.ts';
import { askForZones, isConcerned, manageZone, takeReport } from './zone-commands.ts';

const TWO_32 = 0x1_0000_0000;
/** Blocks that the 16 bits of a command's length name. */
const COMMAND_BLOCKS = 65_536;

/**
 * Makes the commands of I/O other than reads, writes, compares and flushes of plain blocks; several in turn, where one does not
 * do it. What they say in their data is in a buffer of the pool, which each I/O keeps until it ends.
 */
export class NamespaceCommands {
  private readonly description: BdevDescription;
  private readonly context: CommandContext;
  private readonly nsid: number;
  private readonly reactor: Reactor;
  private readonly view: DataView;
  /** By request: blocks done, those of the command under way, that this one is not the I/O's own, and the buffer, or -1. */
  private readonly done: number[] = [];
  private readonly count: number[] = [];
  private readonly aside: boolean[] = [];
  private readonly buffers: number[] = [];

  constructor(description: BdevDescription, reactor: Reactor) {
    const { commands, nsid } = description.context as NvmeContext;
    const { bytes } = reactor.buffers;
    this.description = description;
    this.context = commands;
    this.nsid = nsid;
    this.reactor = reactor;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** There is one more request. */
  grow(): void {
    this.done.push(0);
    this.count.push(0);
    this.aside.push(false);
    this.buffers.push(-1);
  }

  /** The request's I/O has ended. */
  release(index: number): void {
    const buffer = this.buffers[index]!;
    if (buffer < 0) return;
    this.buffers[index] = -1;
    this.reactor.buffers.put(buffer);
  }

  /** Makes the first command of an I/O. False: there is no memory for it now. */
  begin(request: NvmeRequest, io: BdevIo): boolean {
    const index = request.ownerIndex;
    this.done[index] = 0;
    this.aside[index] = false;
    const bytes = this.bufferBytes(io);
    if (bytes > 0) {
      const buffer = this.reactor.buffers.get(bytes);
      if (buffer < 0) return false;
      this.buffers[index] = buffer;
    }
    this.fill(request, io);
    return true;
  }

  /** Bytes of the buffer that an I/O's commands need. */
  private bufferBytes(io: BdevIo): number {
    switch (io.type) {
      case IoType.UNMAP:
        return Math.ceil(io.num_blocks / this.context.range_blocks) * DSM_RANGE_SIZE;
      case IoType.COPY:
        return overlaps(io)
          ? Math.min(io.num_blocks, this.bufferBlocks) * this.description.block_size
          : copyRangeSize(copyFormat.format0);
      case IoType.GET_ZONE_INFO:
        return this.reactor.buffers.options.small_bytes;
      case IoType.ZONE_MANAGEMENT:
        return this.isSelective(io) ? this.reactor.buffers.options.small_bytes : 0;
      default:
        return 0;
    }
  }

  private fill(request: NvmeRequest, io: BdevIo): void {
    switch (io.type) {
      case IoType.WRITE_ZEROES:
        this.onBlocks(request, io, nvmOpcode.writeZeroes);
        if (this.context.protects)
          generateProtection(this.description, request, io, this.done[request.ownerIndex]!);
        break;
      case IoType.WRITE_UNCORRECTABLE:
        this.onBlocks(request, io, nvmOpcode.writeUncorrectable);
        break;
      case IoType.UNMAP:
        this.deallocate(request, io);
        break;
      case IoType.COPY:
        this.copy(request, io);
        break;
      case IoType.ZONE_APPEND:
        request.begin(znsOpcode.zoneAppend, this.nsid);
        request.range(io.offset_blocks, io.num_blocks, io.fua ? rwFlag.fua : 0);
        this.place(request, io, dataTransfer.hostToController);
        break;
      case IoType.GET_ZONE_INFO:
        this.askForZones(request, io, io.num_blocks - this.done[request.ownerIndex]!);
        break;
      case IoType.ZONE_MANAGEMENT:
        this.manage(request, io);
        break;
      case IoType.NVME_IO:
        beginPassthru(request, io, this.nsid);
        break;
      default:
        this.onKey(request, io);
    }
  }

  /** The I/O's next blocks, at most as many as a command has. */
  private onBlocks(request: NvmeRequest, io: BdevIo, opcode: number): void {
    const index = request.ownerIndex;
    const done = this.done[index]!;
    const blocks = Math.min(io.num_blocks - done, COMMAND_BLOCKS);
    this.count[index] = blocks;
    request.begin(opcode, this.nsid);
    request.range(io.offset_blocks + done, blocks, io.fua ? rwFlag.fua : 0);
  }

  private place(request: NvmeRequest, io: BdevIo, direction: number): void {
    const bytes = io.bytes;
    if (bytes === 0) return;
    request.place(direction, io.region, io.offset, bytes);
    request.iovs = io.iovs;
  }

  // --- ranges ---

  private deallocate(request: NvmeRequest, io: BdevIo): void {
    const buffer = this.buffers[request.ownerIndex]!;
    const most = this.context.range_blocks;
    let ranges = 0;
    for (let done = 0; done < io.num_blocks; done += most)
      encodeDsmRange(
        this.view,
        buffer + ranges++ * DSM_RANGE_SIZE,
        io.offset_blocks + done,
        Math.min(most, io.num_blocks - done),
        0,
      );
    request.begin(nvmOpcode.datasetManagement, this.nsid);
    request.sqe[10] = ranges - 1;
    request.sqe[11] = dsmAttribute.deallocate;
    this.placeBuffer(request, dataTransfer.hostToController, ranges * DSM_RANGE_SIZE);
  }

  private copy(request: NvmeRequest, io: BdevIo): void {
    if (overlaps(io)) {
      this.copyThroughBuffer(request, io);
      return;
    }
    const index = request.ownerIndex;
    const done = this.done[index]!;
    const blocks = Math.min(io.num_blocks - done, this.context.copy_blocks);
    this.count[index] = blocks;
    encodeCopyRange(this.view, this.buffers[index]!, copyFormat.format0, io.src_offset_blocks + done, blocks);
    request.begin(nvmOpcode.copy, this.nsid);
    // Number of ranges, 0's based, and their format.
    request.range(io.offset_blocks + done, 1, 0);
    this.placeBuffer(request, dataTransfer.hostToController, copyRangeSize(copyFormat.format0));
  }

  /**
   * Controllers need not take ranges that overlap: such a copy is read and written, a buffer at a time, from the side where nothing
   * is lost.
   */
  private copyThroughBuffer(request: NvmeRequest, io: BdevIo): void {
    const index = request.ownerIndex;
    const done = this.done[index]!;
    const blocks = Math.min(io.num_blocks - done, this.bufferBlocks);
    const at = io.offset_blocks > io.src_offset_blocks ? io.num_blocks - done - blocks : done;
    const writes = this.aside[index]!;
    this.aside[index] = !writes;
    this.count[index] = writes ? blocks : 0;
    request.begin(writes ? nvmOpcode.write : nvmOpcode.read, this.nsid);
    request.range((writes ? io.offset_blocks : io.src_offset_blocks) + at, blocks, 0);
    const direction = writes ? dataTransfer.hostToController : dataTransfer.controllerToHost;
    this.placeBuffer(request, direction, blocks * this.description.block_size);
  }

  /** Blocks that fit in a buffer, and in a command. */
  private get bufferBlocks(): number {
    const { block_size, max_rw_size } = this.description;
    return Math.max(1, Math.min(Math.floor(this.reactor.buffers.max_bytes / block_size), max_rw_size));
  }

  private placeBuffer(request: NvmeRequest, direction: number, bytes: number): void {
    request.place(direction, this.reactor.buffers.region, this.buffers[request.ownerIndex]!, bytes);
  }

  // --- zones ---

  /** True for an action on some of the zones: one after the other, each asked first whether it is concerned. */
  private isSelective(io: BdevIo): boolean {
    return io.zone_all && io.num_blocks < this.description.num_blocks;
  }

  /** Asks for the zones of the I/O's next `blocks` blocks. */
  private askForZones(request: NvmeRequest, io: BdevIo, blocks: number): void {
    const first = io.offset_blocks + this.done[request.ownerIndex]!;
    request.begin(znsOpcode.zoneManagementReceive, this.nsid);
    const room = this.reactor.buffers.options.small_bytes;
    const bytes = askForZones(request.sqe, first, blocks / this.description.zone_size, room);
    this.placeBuffer(request, dataTransfer.controllerToHost, bytes);
  }

  private manage(request: NvmeRequest, io: BdevIo): void {
    const index = request.ownerIndex;
    const selective = this.isSelective(io);
    if (selective && !this.aside[index]!) {
      this.aside[index] = true;
      this.askForZones(request, io, this.description.zone_size);
      return;
    }
    this.aside[index] = false;
    const first = io.offset_blocks + this.done[index]!;
    request.begin(znsOpcode.zoneManagementSend, this.nsid);
    manageZone(request.sqe, first, io.zone_action, io.zone_all && !selective);
  }

  // --- keys ---

  private onKey(request: NvmeRequest, io: BdevIo): void {
    // A store has no bit for force unit access: a flush follows it.
    if (this.aside[request.ownerIndex]!) request.begin(nvmOpcode.flush, this.nsid);
    else beginKeyCommand(request, io, this.nsid);
  }

  // --- ends ---

  /** A command has succeeded. True: the I/O goes on with the next one, which is made. */
  goesOn(request: NvmeRequest, io: BdevIo): boolean {
    if (!this.isUnfinished(request, io)) return false;
    this.fill(request, io);
    return true;
  }

  private isUnfinished(request: NvmeRequest, io: BdevIo): boolean {
    const index = request.ownerIndex;
    switch (io.type) {
      case IoType.WRITE_ZEROES:
      case IoType.WRITE_UNCORRECTABLE:
      case IoType.COPY:
        this.done[index]! += this.count[index]!;
        return this.done[index]! < io.num_blocks;
      case IoType.ZONE_APPEND:
        io.append_location = request.dw0 + request.dw1 * TWO_32;
        return false;
      case IoType.GET_ZONE_INFO:
        return this.tookReport(request, io);
      case IoType.ZONE_MANAGEMENT:
        return this.isSelective(io) && this.managedOne(index, io);
      case IoType.KV_RETRIEVE:
      case IoType.NVME_IO:
        io.cdw0 = request.dw0;
        return false;
      case IoType.KV_STORE:
        if (!io.fua || this.aside[index]!) return false;
        this.aside[index] = true;
        return true;
      default:
        return false;
    }
  }

  /** True if there are zones that the report does not tell of, and room for them. */
  private tookReport(request: NvmeRequest, io: BdevIo): boolean {
    const index = request.ownerIndex;
    const report = io.zones!;
    const zones = takeReport(this.view, this.buffers[index]!, request.received, report);
    this.done[index]! += zones * this.description.zone_size;
    return zones > 0 && this.done[index]! < io.num_blocks && report.count < report.capacity;
  }

  /** True if there is more to do: with the zone that was asked for, or with the next. */
  private managedOne(index: number, io: BdevIo): boolean {
    if (this.aside[index]! && isConcerned(this.view, this.buffers[index]!, io.zone_action)) return true;
    this.aside[index] = false;
    this.done[index]! += this.description.zone_size;
    return this.done[index]! < io.num_blocks;
  }
}

/** True if a copy writes blocks that it also reads. */
const overlaps = ({ offset_blocks, src_offset_blocks, num_blocks }: BdevIo): boolean =>
  Math.abs(offset_blocks - src_offset_blocks) < num_blocks;
