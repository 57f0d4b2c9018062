import { type BdevChannel, type BdevIo, difStatus, IoType, piecesOfIo } from '@spdk-ts/bdev';
import { DifCheck, type DifTags, DifType } from '@spdk-ts/dif';
import type { RegionTable } from '@spdk-ts/env';
import { CommandSeries } from './command-series.ts';
import { Counter } from './counters.ts';
import type { IoCommands } from './io-commands.ts';
import { blocksOf, slbaOf } from './io-fields.ts';
import type { Protection } from './protection.ts';
import type { NvmfRequest } from './request.ts';
import { Status, statusOfIo } from './status.ts';
import type { NamespaceView } from './subsystem-view.ts';

/** For the bdev: what it need not check, as it is checked, or was made, here. */
export const CHECK_NOTHING = DifCheck.GUARD | DifCheck.APPTAG | DifCheck.REFTAG;

/**
 * A Read, Write or Compare with PRACT: the controller puts protection information into what is written, and checks and takes
 * it out of what is read (NVM Command Set 1.0, 5.2.2). Whole blocks are in a buffer of their own meanwhile, as many as fit at
 * a time; a bdev that shows reads in its own memory does without.
 */
export class ProtectedTransfer extends CommandSeries {
  private readonly channel: BdevChannel;
  private readonly protection: Protection;
  private readonly regions: RegionTable;
  private readonly type: number;
  private readonly fua: boolean;
  private readonly in_place: boolean;
  private readonly slba: number;
  private readonly blocks: number;
  private readonly checks: number;
  private readonly ref_tag: number;
  private readonly tags: DifTags;
  private buffer = -1;
  private done = 0;

  /** The command has been parsed: the protection's fields are its. */
  constructor(commands: IoCommands, request: NvmfRequest, ns: NamespaceView, type: number, fua: boolean) {
    super(commands, request, 1);
    const protection = ns.protection!;
    this.channel = ns.channel;
    this.protection = protection;
    this.regions = commands.group.reactor.regions;
    this.type = type;
    this.fua = fua;
    this.in_place = type === IoType.READ && protection.description.reads_in_place;
    this.slba = slbaOf(request);
    this.blocks = blocksOf(request);
    this.checks = protection.fields.checks;
    this.ref_tag = protection.fields.tags.ref_tag;
    this.tags = { ...protection.fields.tags };
  }

  private get pieceBlocks(): number {
    return Math.min(this.protection.piece_blocks, this.blocks - this.done);
  }

  protected override next(): BdevChannel | null {
    return this.done < this.blocks ? this.channel : null;
  }

  protected override prepare(): boolean {
    if (this.in_place || this.buffer >= 0) return true;
    this.buffer = this.protection.take(this.pieceBlocks * this.channel.block_size, this);
    return this.buffer >= 0;
  }

  protected override stopWaiting(): void {
    this.protection.leave(this);
    super.stopWaiting();
  }

  protected override setUp(io: BdevIo): void {
    const blocks = this.pieceBlocks;
    io.type = this.type === IoType.WRITE ? IoType.WRITE : IoType.READ;
    io.offset_blocks = this.slba + this.done;
    io.num_blocks = blocks;
    io.fua = this.fua;
    io.dif_exclude = CHECK_NOTHING;
    if (!this.in_place) {
      io.region = this.protection.region;
      io.offset = this.buffer;
      io.length = blocks * this.channel.block_size;
    }
    if (this.type === IoType.WRITE) this.assemble(io);
    this.done += blocks;
  }

  /** Blocks that are written: with new protection information in place of what the host may have sent. */
  private assemble(io: BdevIo): void {
    const { dif, is_all_metadata, stored, plain } = this.protection;
    const { data_block_size, block_size } = dif.layout;
    const size = is_all_metadata ? data_block_size : block_size;
    const blocks = io.num_blocks;
    piecesOfIo(stored, this.regions, io, 0, io.length);
    piecesOfIo(plain, this.regions, this.request, this.done * size, blocks * size);
    this.countTags(this.done);
    if (is_all_metadata) dif.insert(plain, stored, null, blocks, this.tags);
    else dif.copyGenerate(plain, null, stored, null, blocks, this.tags);
  }

  private countTags(skip: number): void {
    const counts = this.protection.description.dif_type !== DifType.TYPE_3;
    this.tags.ref_tag = this.ref_tag + (counts ? skip : 0);
  }

  protected override succeeded(io: BdevIo): number {
    if (this.type === IoType.WRITE) return Status.SUCCESS;
    const { dif, stored, plain, failure } = this.protection;
    const { data_block_size, block_size } = dif.layout;
    const blocks = io.num_blocks;
    const skip = this.done - blocks;
    piecesOfIo(stored, this.regions, io, 0, blocks * block_size);
    piecesOfIo(plain, this.regions, this.request, skip * data_block_size, blocks * data_block_size);
    this.countTags(skip);
    const right =
      this.type === IoType.READ
        ? dif.strip(stored, null, plain, blocks, this.tags, this.checks, failure)
        : dif.verify(stored, null, blocks, this.tags, this.checks, failure);
    if (!right) {
      io.status = difStatus(io, failure);
      return statusOfIo(io);
    }
    return this.type === IoType.READ || this.dataEqual(blocks) ? Status.SUCCESS : Status.COMPARE_FAILURE;
  }

  /** Compares the data of blocks in the buffer with the host's. */
  private dataEqual(blocks: number): boolean {
    const { dif, stored, plain, region } = this.protection;
    const { data_block_size, block_size } = dif.layout;
    const bytes = this.regions.bytes(region);
    stored.clear();
    for (let block = 0; block < blocks; block++)
      stored.push(bytes, this.buffer + block * block_size, data_block_size);
    return stored.equals(plain);
  }

  protected override ended(status: number): void {
    if (this.buffer >= 0) this.protection.give(this.buffer);
    this.buffer = -1;
    if (status !== Status.SUCCESS || this.type === IoType.COMPARE) return;
    const { counters } = this.request.qpair.controller!.subsystem;
    const reads = this.type === IoType.READ;
    counters.add(reads ? Counter.READ_COMMANDS : Counter.WRITE_COMMANDS, 1);
    counters.add(reads ? Counter.BYTES_READ : Counter.BYTES_WRITTEN, this.request.length);
  }
}
