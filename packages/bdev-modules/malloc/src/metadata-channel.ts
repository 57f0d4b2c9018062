import {
  type BdevDescription,
  type BdevIo,
  difChecks,
  difOf,
  difStatus,
  difTagsOf,
  IoStatus,
  IoType,
  type Memory,
  piecesOfIo,
  piecesOfMetadata,
} from '@spdk-ts/bdev';
import { type Dif, DifFailure, type DifTags, DifType, Pieces } from '@spdk-ts/dif';
import type { RegionTable } from '@spdk-ts/env';
import type { Thread } from '@spdk-ts/reactor';
import { BlockLocks } from './block-locks.ts';
import { MallocChannel } from './channel.ts';
import type { MallocContext } from './context.ts';
import type { Segments } from './segments.ts';

/**
 * A thread's way to a malloc bdev with metadata. Protection information is checked in what is written before it is
 * taken, and in memory before it is read or copied; copies get the reference tags of where they go. Cleared blocks get
 * valid protection information, unmapped ones that of deallocated blocks, which no check refuses. Whatever touches
 * both blocks and their protection information, or separate metadata, does so under the blocks' locks.
 */
export class MallocMetadataChannel extends MallocChannel {
  private readonly regions: RegionTable;
  private readonly description: BdevDescription;
  private readonly md_segments: Segments;
  private readonly dif: Dif;
  /** Bytes of a block's separate metadata, else 0. */
  private readonly separate_md: number;
  /** Null: metadata are no more than a part of larger blocks. */
  private readonly locks: BlockLocks | null;
  private readonly data = new Pieces();
  private readonly metadata = new Pieces();
  private readonly other = new Pieces();
  /** A block of zeroes, where the guard of cleared blocks is computed: reading those would commit their memory again. */
  private readonly zeroes: Pieces;
  private readonly tags: DifTags = { ref_tag: 0, app_tag: 0, app_tag_mask: 0 };
  private readonly to: DifTags = { ref_tag: 0, app_tag: 0, app_tag_mask: 0 };
  private readonly failure = new DifFailure();

  constructor(
    thread: Thread,
    memory: Memory,
    segments: Segments,
    description: BdevDescription,
    md_segments: Segments,
  ) {
    // Protection information between the data leaves no page that could go.
    const discards = !description.md_interleave || description.dif_type === DifType.DISABLE;
    super(thread, memory, segments, description.block_size, discards);
    this.regions = thread.reactor.regions;
    this.description = description;
    this.md_segments = md_segments;
    this.dif = difOf(description);
    this.separate_md = description.md_interleave ? 0 : description.md_size;
    const { locks } = description.context as MallocContext;
    this.locks = locks === null ? null : new BlockLocks(locks, description.block_size);
    this.zeroes = Pieces.of(new Uint8Array(description.block_size));
  }

  override submit(io: BdevIo): void {
    const { locks } = this;
    const transfers = io.type === IoType.READ || io.type === IoType.WRITE || io.type === IoType.COMPARE;
    if (locks === null || !transfers) {
      this.begin(io);
      return;
    }
    locks.acquire(io.offset_blocks, io.num_blocks);
    this.begin(io);
    // Copies that were put off belong to what the locks keep together.
    this.memory.settle();
    locks.release();
  }

  private begin(io: BdevIo): void {
    if (io.type === IoType.READ) {
      if (!this.verifyStored(io, io.offset_blocks, 0, io.num_blocks)) return;
      if (this.hasMetadata(io)) this.copyMetadata(io, true);
    } else if (io.type === IoType.WRITE) {
      if (!this.takeMetadata(io)) return;
    } else if (io.type === IoType.COMPARE && this.hasMetadata(io) && !this.metadataEqual(io)) {
      io.complete(IoStatus.MISCOMPARE);
      return;
    }
    super.submit(io);
  }

  private hasMetadata(io: BdevIo): boolean {
    return this.separate_md > 0 && io.md_region >= 0;
  }

  /** Makes `data` and `metadata` what is stored of blocks. What was put off is carried out first. */
  private setStored(first: number, blocks: number): void {
    this.memory.settle();
    const { regions, separate_md } = this;
    this.segments.pieces(this.data, regions, first * this.block_size, blocks * this.block_size);
    this.md_segments.pieces(this.metadata, regions, first * separate_md, blocks * separate_md);
  }

  /** Checks stored blocks, the first of which is the I/O's block number `skip`. False: the I/O has ended. */
  private verifyStored(io: BdevIo, first: number, skip: number, blocks: number): boolean {
    const checks = difChecks(this.description, io);
    if (this.description.dif_type === DifType.DISABLE || checks === 0) return true;
    this.setStored(first, blocks);
    const tags = difTagsOf(this.description, io, skip, this.tags);
    if (io.type === IoType.COPY && this.description.dif_type !== DifType.TYPE_3) tags.ref_tag = first;
    if (this.dif.verify(this.data, this.metadata, blocks, tags, checks, this.failure)) return true;
    io.complete(difStatus(io, this.failure));
    return false;
  }

  /** Checks what a write brings, and takes its separate metadata. False: the I/O has ended. */
  private takeMetadata(io: BdevIo): boolean {
    const { separate_md, description } = this;
    const blocks = io.num_blocks;
    if (separate_md > 0 && io.md_region < 0) {
      this.makeMetadata(io);
      return true;
    }
    const checks = difChecks(description, io);
    if (description.dif_type !== DifType.DISABLE && checks !== 0) {
      piecesOfIo(this.data, this.regions, io, 0, blocks * this.block_size);
      if (separate_md > 0) piecesOfMetadata(this.metadata, this.regions, io, 0, blocks * separate_md);
      const tags = difTagsOf(description, io, 0, this.tags);
      if (!this.dif.verify(this.data, this.metadata, blocks, tags, checks, this.failure)) {
        io.complete(difStatus(io, this.failure));
        return false;
      }
    }
    if (separate_md > 0) this.copyMetadata(io, false);
    return true;
  }

  /** A write without metadata: zeroes, and protection information for the data that it brings. */
  private makeMetadata(io: BdevIo): void {
    const blocks = io.num_blocks;
    this.setStored(io.offset_blocks, blocks);
    this.metadata.fill(0, blocks * this.separate_md, 0);
    piecesOfIo(this.data, this.regions, io, 0, blocks * this.block_size);
    this.dif.generate(this.data, this.metadata, blocks, difTagsOf(this.description, io, 0, this.tags));
  }

  private copyMetadata(io: BdevIo, reads: boolean): void {
    const bytes = io.num_blocks * this.separate_md;
    this.setStored(io.offset_blocks, io.num_blocks);
    piecesOfMetadata(this.other, this.regions, io, 0, bytes);
    if (reads) this.other.copy(0, this.metadata, 0, bytes);
    else this.metadata.copy(0, this.other, 0, bytes);
  }

  private metadataEqual(io: BdevIo): boolean {
    const bytes = io.num_blocks * this.separate_md;
    this.setStored(io.offset_blocks, io.num_blocks);
    return this.metadata.equals(piecesOfMetadata(this.other, this.regions, io, 0, bytes));
  }

  protected override clearBlocks(io: BdevIo, skip: number, blocks: number): void {
    this.locks?.acquire(io.offset_blocks + skip, blocks);
    this.clearWithMetadata(io, skip, blocks);
    this.locks?.release();
  }

  private clearWithMetadata(io: BdevIo, skip: number, blocks: number): void {
    // What was put off must not come over the zeroes that protection information is made for.
    this.memory.settle();
    super.clearBlocks(io, skip, blocks);
    const first = io.offset_blocks + skip;
    this.setStored(first, blocks);
    if (this.separate_md > 0) this.metadata.fill(0, blocks * this.separate_md, 0);
    const data = this.separate_md > 0 ? this.zeroes : this.data;
    if (io.type === IoType.UNMAP) this.dif.deallocate(data, this.metadata, blocks);
    else {
      const tags = difTagsOf(this.description, io, skip, this.tags);
      this.dif.generate(data, this.metadata, blocks, tags, true);
    }
  }

  protected override copyBlocks(io: BdevIo, skip: number, blocks: number): boolean {
    this.locks?.acquireBoth(io.src_offset_blocks + skip, io.offset_blocks + skip, blocks);
    const done = this.copyWithMetadata(io, skip, blocks);
    this.locks?.release();
    return done;
  }

  private copyWithMetadata(io: BdevIo, skip: number, blocks: number): boolean {
    const from = io.src_offset_blocks + skip;
    const to = io.offset_blocks + skip;
    if (!this.verifyStored(io, from, skip, blocks)) return false;
    super.copyBlocks(io, skip, blocks);
    const md = this.separate_md;
    if (md > 0) this.md_segments.copy(to * md, from * md, blocks * md, to > from);
    this.setStored(to, blocks);
    this.tags.ref_tag = from;
    this.to.ref_tag = to;
    if (this.dif.remap(this.data, this.metadata, blocks, this.tags, this.to, this.failure)) return true;
    io.complete(difStatus(io, this.failure));
    return false;
  }
}
