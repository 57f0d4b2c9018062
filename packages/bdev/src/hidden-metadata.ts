import { type Dif, DifCheck, DifFailure, type DifTags, Pieces } from '@spdk-ts/dif';
import type { Thread } from '@spdk-ts/reactor';
import type { BdevIo, BdevIoOwner } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import type { BdevDescription } from './description.ts';
import { Errno, IoStatus } from './io-status.ts';
import { IoType } from './io-type.ts';
import { difOf, difStatus, difTagsOf, piecesOfIo, piecesOfMetadata } from './metadata.ts';
import type { BdevInstance, ModuleChannel } from './module.ts';

const ALL_CHECKS = DifCheck.GUARD | DifCheck.APPTAG | DifCheck.REFTAG;

/** A piece of an I/O that is under way at the bdev itself: its data and metadata are in a buffer of the pool. */
class HiddenPiece implements BdevIoOwner {
  /** The whole I/O has been checked: it is not to wait for locked ranges a second time. */
  readonly inLayer = true;
  private readonly channel: HiddenMetadataChannel;
  parent: BdevIo | null = null;
  /** -1: it is a read whose data the module shows in its own memory, or there are no data. */
  buffer = -1;

  constructor(channel: HiddenMetadataChannel) {
    this.channel = channel;
  }

  bdevIoDone(io: BdevIo): void {
    this.channel.pieceDone(this, io);
  }
}

/**
 * Where I/O goes on a bdev that is open with hidden metadata: to the bdev's own channel, a buffer at a time. Writes get
 * metadata there, zeroes and protection information; reads lose them, after a check. `moduleTag` of an I/O: blocks
 * done; `next`: unused.
 */
class HiddenMetadataChannel implements ModuleChannel {
  private readonly base: BdevChannel;
  private readonly description: BdevDescription;
  private readonly dif: Dif;
  private readonly data_block_size: number;
  private readonly separate_md: number;
  private readonly pieceBlocks: number;
  private readonly free: HiddenPiece[] = [];
  /**
   * A buffer that is kept for when the pool has none: it may be empty because others hold data there until this
   * channel has written them. -1: not had yet. `reserved`: it is in use.
   */
  private reserve = -1;
  private reserved = false;
  /** I/Os of which a piece is under way, and those that are to end after it. */
  private readonly aborted = new Set<BdevIo>();

  private readonly plain = new Pieces();
  private readonly data = new Pieces();
  private readonly metadata = new Pieces();
  private readonly tags: DifTags = { ref_tag: 0, app_tag: 0, app_tag_mask: 0 };
  private readonly failure = new DifFailure();

  constructor(base: BdevChannel) {
    const { description } = base.device;
    this.base = base;
    this.description = description;
    this.dif = difOf(description);
    this.data_block_size = this.dif.layout.data_block_size;
    this.separate_md = description.md_interleave ? 0 : description.md_size;
    const bytes = description.block_size + this.separate_md;
    this.pieceBlocks = Math.max(1, Math.floor(base.reactor.buffers.max_bytes / bytes));
    this.reserve = base.reactor.buffers.get(base.reactor.buffers.max_bytes);
  }

  submit(io: BdevIo): void {
    io.moduleTag = 0;
    if (!this.start(io)) io.complete(IoStatus.NOMEM);
  }

  /** Starts the next piece of an I/O. False, and nothing has happened, if there is no buffer now. */
  private start(parent: BdevIo): boolean {
    const io = this.base.takeSpare();
    const has_data = parent.type === IoType.READ || parent.type === IoType.WRITE;
    const done = parent.moduleTag;
    const blocks = has_data ? Math.min(this.pieceBlocks, parent.num_blocks - done) : parent.num_blocks;
    const piece = this.free.pop() ?? new HiddenPiece(this);
    piece.parent = parent;
    piece.buffer = -1;
    io.owner = piece;
    io.type = parent.type;
    io.offset_blocks = parent.offset_blocks + done;
    io.num_blocks = blocks;
    io.fua = parent.fua;
    if (has_data && !this.givePlace(piece, io)) {
      this.base.giveSpare(io);
      this.free.push(piece);
      return false;
    }
    if (parent.type === IoType.WRITE) this.insert(parent, io);
    const result = this.base.submit(io);
    if (result === 0) return true;
    this.release(piece, io);
    // Where the bdev is being removed, what has not been done yet is aborted.
    parent.complete(result === Errno.ENODEV ? IoStatus.ABORTED : IoStatus.FAILED);
    return true;
  }

  /** A buffer for data and metadata, save for a read that is answered in place. */
  private givePlace(piece: HiddenPiece, io: BdevIo): boolean {
    // Checked here, at the end of their way, or just made.
    io.dif_exclude = ALL_CHECKS;
    const { region } = this.base.reactor.buffers;
    const bytes = io.num_blocks * this.description.block_size;
    if (io.type === IoType.READ && this.description.reads_in_place && this.separate_md === 0) return true;
    piece.buffer = this.takeBuffer(bytes + io.num_blocks * this.separate_md);
    if (piece.buffer < 0) return false;
    io.region = region;
    io.offset = piece.buffer;
    io.length = bytes;
    if (this.separate_md > 0) {
      io.md_region = region;
      io.md_offset = piece.buffer + bytes;
    }
    return true;
  }

  private takeBuffer(bytes: number): number {
    const { buffers } = this.base.reactor;
    const buffer = buffers.get(bytes);
    if (buffer >= 0 || this.reserved) return buffer;
    if (this.reserve < 0) this.reserve = buffers.get(buffers.max_bytes);
    this.reserved = this.reserve >= 0;
    return this.reserve;
  }

  private giveBuffer(buffer: number): void {
    if (buffer < 0) return;
    if (buffer === this.reserve) this.reserved = false;
    else this.base.reactor.buffers.put(buffer);
  }

  /** Makes `plain`, `data` and `metadata` those of a piece. */
  private setPieces(parent: BdevIo, io: BdevIo): void {
    const { regions } = this.base.reactor;
    const { num_blocks } = io;
    const size = this.data_block_size;
    piecesOfIo(this.plain, regions, parent, parent.moduleTag * size, num_blocks * size);
    piecesOfIo(this.data, regions, io, 0, num_blocks * this.description.block_size);
    if (this.separate_md > 0) piecesOfMetadata(this.metadata, regions, io, 0, num_blocks * this.separate_md);
    difTagsOf(this.description, io, 0, this.tags);
  }

  private insert(parent: BdevIo, io: BdevIo): void {
    this.setPieces(parent, io);
    this.dif.insert(this.plain, this.data, this.metadata, io.num_blocks, this.tags);
  }

  pieceDone(piece: HiddenPiece, io: BdevIo): void {
    const parent = piece.parent!;
    const blocks = io.num_blocks;
    let status = io.status;
    if (status === IoStatus.NVME_ERROR) {
      parent.sct = io.sct;
      parent.sc = io.sc;
    } else if (status === IoStatus.SUCCESS && io.type === IoType.READ) {
      this.setPieces(parent, io);
      const checks = this.description.dif_check_types;
      const { plain, data, metadata, tags, failure } = this;
      if (!this.dif.strip(data, metadata, plain, blocks, tags, checks, failure))
        status = difStatus(parent, failure);
    }
    this.release(piece, io);
    parent.moduleTag += blocks;
    // Whoever aborted it was told that it ends so, whatever this piece came to.
    if (this.aborted.delete(parent)) parent.complete(IoStatus.ABORTED);
    else if (status !== IoStatus.SUCCESS || parent.moduleTag === parent.num_blocks) parent.complete(status);
    else if (!this.start(parent)) parent.complete(IoStatus.NOMEM);
  }

  private release(piece: HiddenPiece, io: BdevIo): void {
    this.base.giveSpare(io);
    this.giveBuffer(piece.buffer);
    piece.parent = null;
    this.free.push(piece);
  }

  /** An I/O of which more is to come ends after the piece that is under way. */
  abort(io: BdevIo): boolean {
    const has_data = io.type === IoType.READ || io.type === IoType.WRITE;
    if (!has_data || io.moduleTag + this.pieceBlocks >= io.num_blocks) return false;
    this.aborted.add(io);
    return true;
  }

  destroy(): void {
    if (this.reserve >= 0) this.base.reactor.buffers.put(this.reserve);
    this.base.put();
  }
}

/** A bdev with metadata as one without, on one reactor. */
export class HiddenMetadataInstance implements BdevInstance {
  private readonly open: (thread: Thread) => BdevChannel;

  /** `open`: takes the bdev's own channel on a thread. */
  constructor(open: (thread: Thread) => BdevChannel) {
    this.open = open;
  }

  createChannel(thread: Thread): ModuleChannel {
    return new HiddenMetadataChannel(this.open(thread));
  }
}
