import { type Dif, DifFailure, type DifTags, Pieces } from '@spdk-ts/dif';
import type { BufferWaiter } from '@spdk-ts/env';
import { type BdevIo, type BdevIoOwner, IoState, type IoWork } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import type { BdevDescription } from './description.ts';
import { ioEquals } from './gather.ts';
import { Errno, IoStatus } from './io-status.ts';
import { IoType } from './io-type.ts';
import { difOf, difStatus, difTagsOf } from './metadata.ts';

/**
 * Write zeroes, compare and copy for modules that lack them, of bdevs with metadata. A piece at a time goes through a
 * buffer of the pool, and an I/O beside the pool: its data, then its metadata where they are separate. Zeroes are written with valid protection
 * information, and copies get the reference tags of where they go.
 */
export class MetadataEmulation implements BdevIoOwner, BufferWaiter, IoWork {
  readonly inLayer = true;
  readonly blocksLocks = true;
  private readonly channel: BdevChannel;
  private readonly description: BdevDescription;
  private readonly parent: BdevIo;
  private readonly dif: Dif;
  /** Bytes of a block's separate metadata. */
  private readonly separate_md: number;
  private readonly pieceBlocks: number;
  /** Copies whose target overlaps what is still to be read go from the end. */
  private readonly backwards: boolean;
  private readonly data = new Pieces();
  private readonly metadata = new Pieces();
  private readonly failure = new DifFailure();
  private readonly from: DifTags = { ref_tag: 0, app_tag: 0, app_tag_mask: 0 };
  private readonly to: DifTags = { ref_tag: 0, app_tag: 0, app_tag_mask: 0 };
  private doneBlocks = 0;
  private buffer = -1;
  /** The buffer holds what is to be written. */
  private filled = false;
  private aborted = false;

  constructor(channel: BdevChannel, parent: BdevIo) {
    const description = channel.device.description;
    this.channel = channel;
    this.description = description;
    this.parent = parent;
    this.dif = difOf(description);
    this.separate_md = description.md_interleave ? 0 : description.md_size;
    const bytes = description.block_size + this.separate_md;
    this.pieceBlocks = Math.max(1, Math.floor(channel.reactor.buffers.max_bytes / bytes));
    this.backwards = parent.type === IoType.COPY && parent.offset_blocks > parent.src_offset_blocks;
  }

  private get blocks(): number {
    return Math.min(this.pieceBlocks, this.parent.num_blocks - this.doneBlocks);
  }
  /** First block of the current piece, from the parent's first. */
  private get at(): number {
    return this.backwards ? this.parent.num_blocks - this.doneBlocks - this.blocks : this.doneBlocks;
  }
  private get dataBytes(): number {
    return this.blocks * this.description.block_size;
  }

  start(): void {
    this.step();
  }

  /** Starts the next read or write, or ends. */
  private step(): void {
    if (this.aborted || this.doneBlocks === this.parent.num_blocks) {
      this.end(IoStatus.SUCCESS);
      return;
    }
    const { buffers } = this.channel.reactor;
    if (this.buffer < 0) this.buffer = buffers.get(this.dataBytes + this.blocks * this.separate_md);
    if (this.buffer < 0) {
      buffers.wait(this);
      return;
    }
    if (this.parent.type === IoType.WRITE_ZEROES && !this.filled) this.fillWithZeroes();
    this.launch(this.channel.takeSpare());
  }

  private launch(io: BdevIo): void {
    const { parent, at } = this;
    const { buffers } = this.channel.reactor;
    const reads_from = parent.type === IoType.COPY ? parent.src_offset_blocks : parent.offset_blocks;
    io.owner = this;
    io.num_blocks = this.blocks;
    io.type = this.filled ? IoType.WRITE : IoType.READ;
    io.offset_blocks = (this.filled ? parent.offset_blocks : reads_from) + at;
    io.region = buffers.region;
    io.offset = this.buffer;
    io.length = this.dataBytes;
    io.fua = parent.fua;
    io.dif_exclude = parent.dif_exclude;
    if (this.separate_md > 0) {
      io.md_region = buffers.region;
      io.md_offset = this.buffer + this.dataBytes;
    }
    const result = this.channel.submit(io);
    if (result === 0) return;
    this.channel.giveSpare(io);
    this.end(result === Errno.ENODEV ? IoStatus.ABORTED : IoStatus.FAILED);
  }

  private setPieces(): void {
    const { bytes } = this.channel.reactor.buffers;
    this.data.clear().push(bytes, this.buffer, this.dataBytes);
    this.metadata.clear().push(bytes, this.buffer + this.dataBytes, this.blocks * this.separate_md);
  }

  private fillWithZeroes(): void {
    const { bytes } = this.channel.reactor.buffers;
    bytes.fill(0, this.buffer, this.buffer + this.dataBytes + this.blocks * this.separate_md);
    this.setPieces();
    difTagsOf(this.description, this.parent, this.at, this.to);
    this.dif.generate(this.data, this.metadata, this.blocks, this.to, true);
    this.filled = true;
  }

  bufferAvailable(): void {
    this.step();
  }

  bdevIoDone(io: BdevIo): void {
    const { status, type } = io;
    if (status === IoStatus.NVME_ERROR) {
      this.parent.sct = io.sct;
      this.parent.sc = io.sc;
    }
    this.channel.giveSpare(io);
    if (status !== IoStatus.SUCCESS) this.end(status);
    else if (type === IoType.WRITE) this.nextPiece();
    else if (this.parent.type === IoType.COMPARE) this.compare();
    else this.prepareCopy();
  }

  private nextPiece(): void {
    this.doneBlocks += this.blocks;
    this.releaseBuffer();
    this.step();
  }

  private compare(): void {
    const { parent, at, buffer } = this;
    const { memory } = this.channel.device;
    const { region } = this.channel.reactor.buffers;
    const { block_size } = this.description;
    const md = this.separate_md;
    const equal =
      ioEquals(memory, parent, at * block_size, region, buffer, this.dataBytes) &&
      (md === 0 ||
        parent.md_region < 0 ||
        memory.equal(
          parent.md_region,
          parent.md_offset + at * md,
          region,
          buffer + this.dataBytes,
          this.blocks * md,
        ));
    if (equal) this.nextPiece();
    else this.end(IoStatus.MISCOMPARE);
  }

  private prepareCopy(): void {
    const { parent, at } = this;
    this.setPieces();
    this.from.ref_tag = parent.src_offset_blocks + at;
    this.to.ref_tag = parent.offset_blocks + at;
    if (!this.dif.remap(this.data, this.metadata, this.blocks, this.from, this.to, this.failure)) {
      this.end(difStatus(parent, this.failure));
      return;
    }
    this.filled = true;
    this.step();
  }

  /** The parent is to end ABORTED: after the piece that is under way. */
  abort(): boolean {
    this.aborted = true;
    return true;
  }

  private releaseBuffer(): void {
    this.filled = false;
    if (this.buffer < 0) return;
    this.channel.reactor.buffers.put(this.buffer);
    this.buffer = -1;
  }

  private end(status: number): void {
    this.releaseBuffer();
    // Whoever aborted it was told that it ends so, whatever its last piece came to.
    const said = this.aborted ? IoStatus.ABORTED : status;
    if (this.parent.state === IoState.SUBMITTED) this.channel.workDone(this.parent, said);
  }
}
