/** Where the data of the commands of one queue are: where they lie, or in room of the queue's own. */
import type { Batch, RegionTable } from '@spdk-ts/env';
import { dataTransfer } from '@spdk-ts/nvme-spec';
import type { NvmeRequest } from '../request.ts';
import { PrpBuilder, SglBuilder } from './data-pointer.ts';
import type { QueueMemory } from './queue-memory.ts';
import type { ReachedMemory } from './reactor-link.ts';

/** SGLs instead of PRPs from this many pages on, where the controller takes them: it then reads no list. */
const SGL_PAGES = 3;

/**
 * Writes data pointers into submission queue entries. Data that the controller cannot reach where they are, or not in these pieces, are
 * copied to or from the room of the command's slot, when the batch runs.
 */
export class CommandData {
  private readonly memory: QueueMemory;
  private readonly reached: ReachedMemory;
  private readonly regions: RegionTable;
  private readonly batch: Batch;
  private readonly prps: PrpBuilder;
  private readonly sgls: SglBuilder | null;
  /** Of each slot: the data of its command are in the slot's room. */
  private readonly copies: Uint8Array;

  /** `sgl_alignment`: of the controller's SGLs, 1 or 4; 0: it takes none. `depth`: slots of the queue. */
  constructor(
    memory: QueueMemory,
    reached: ReachedMemory,
    regions: RegionTable,
    batch: Batch,
    depth: number,
    sgl_alignment: number,
  ) {
    this.memory = memory;
    this.reached = reached;
    this.regions = regions;
    this.batch = batch;
    this.prps = new PrpBuilder(memory.page_bytes);
    this.sgls = sgl_alignment > 0 ? new SglBuilder(memory.page_bytes, sgl_alignment === 4 ? 4 : 1) : null;
    this.copies = new Uint8Array(depth);
  }

  /** Says where the data of the command at word `at` of the submission queue are. True if they are copied. */
  point(request: NvmeRequest, slot: number, at: number): boolean {
    const { memory } = this;
    const { page_bytes } = memory;
    const list_at = memory.lists_at + slot * page_bytes;
    const many = request.iovs !== null || request.length >= SGL_PAGES * page_bytes;
    const builder = many && this.sgls !== null ? this.sgls : this.prps;
    builder.begin(memory.words, list_at >> 2, memory.address + list_at);
    if (this.describe(request, builder)) {
      builder.end(memory.sq, at);
      return false;
    }
    this.pointToCopy(request, slot, at);
    return true;
  }

  private pointToCopy(request: NvmeRequest, slot: number, at: number): void {
    const { memory, prps } = this;
    const list_at = memory.lists_at + slot * memory.page_bytes;
    const address = memory.address + memory.copies_at + slot * memory.copy_bytes;
    prps.begin(memory.words, list_at >> 2, memory.address + list_at);
    prps.add(address, request.length);
    prps.end(memory.sq, at);
    this.copies[slot] = 1;
    if (request.transfer !== dataTransfer.controllerToHost) this.copy(request, slot, true);
  }

  /** Describes data where they lie. False if the controller does not reach them there, or not in these pieces. */
  private describe(request: NvmeRequest, builder: PrpBuilder | SglBuilder): boolean {
    const { reached, regions } = this;
    const { iovs, region } = request;
    if (iovs === null)
      return reached.reaches(region) && builder.add(regions.address(region, request.offset), request.length);
    for (let i = 0; i < iovs.count; i++) {
      const piece = iovs.region[i]!;
      if (!reached.reaches(piece)) return false;
      if (!builder.add(regions.address(piece, iovs.offset[i]!), iovs.length[i]!)) return false;
    }
    return true;
  }

  /** The controller is done with a command, whose status is known: what it read from elsewhere is brought to its place. */
  end(request: NvmeRequest, slot: number): void {
    if (request.transfer === dataTransfer.controllerToHost && request.status === 0) {
      request.received = request.length;
      if (this.copies[slot] === 1) this.copy(request, slot, false);
    }
    this.copies[slot] = 0;
  }

  /** Copies between a request's data and its slot's room. */
  private copy(request: NvmeRequest, slot: number, out: boolean): void {
    const { region, copies_at, copy_bytes } = this.memory;
    const { batch } = this;
    const { iovs } = request;
    let at = copies_at + slot * copy_bytes;
    if (iovs === null) {
      if (out) batch.copy(region, at, request.region, request.offset, request.length);
      else batch.copy(request.region, request.offset, region, at, request.length);
      return;
    }
    for (let i = 0; i < iovs.count; i++) {
      const length = iovs.length[i]!;
      if (out) batch.copy(region, at, iovs.region[i]!, iovs.offset[i]!, length);
      else batch.copy(iovs.region[i]!, iovs.offset[i]!, region, at, length);
      at += length;
    }
  }
}
