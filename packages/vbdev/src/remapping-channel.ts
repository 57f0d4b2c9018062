import {
  type BdevChannel,
  type BdevDescription,
  type BdevIo,
  difChecks,
  difOf,
  difStatus,
  IoStatus,
  IoType,
  IoVec,
  piecesOfIo,
  piecesOfMetadata,
} from '@spdk-ts/bdev';
import { type Dif, DifCheck, DifFailure, type DifTags, Pieces } from '@spdk-ts/dif';
import { REMAPPED_BYTES } from './derived.ts';
import { StackedChannel } from './stacked-channel.ts';

/**
 * The channel of a part of a bdev whose reference tags are block addresses (types 1 and 2): users see addresses of the
 * part, the base has its own. What is read is changed where it lies. What is written stays as the user has it: its
 * metadata are copied to a buffer of the pool and changed there. An I/O that brings a reference tag of its own is
 * handed down as it is; one that excludes the check keeps tags that are wrong.
 *
 * `moduleTag` of an I/O: the buffer that holds its metadata, or -1.
 */
export class RemappingChannel extends StackedChannel {
  private readonly description: BdevDescription;
  private readonly dif: Dif;
  private readonly data = new Pieces();
  private readonly md = new Pieces();
  private readonly copies = new Pieces();
  private readonly of_part: DifTags = { ref_tag: 0, app_tag: 0, app_tag_mask: 0 };
  private readonly of_base: DifTags = { ref_tag: 0, app_tag: 0, app_tag_mask: 0 };
  private readonly failure = new DifFailure();
  /** Gather lists that are free. */
  private readonly lists: IoVec[] = [];

  constructor(base: BdevChannel, offset_blocks: number) {
    super(base, offset_blocks);
    this.description = base.device.description;
    this.dif = difOf(this.description);
  }

  /** True if an I/O brings, or is to get, tags that are addresses. */
  private remaps(io: BdevIo): boolean {
    return io.dif_ref_tag < 0 && (this.description.md_interleave || io.md_region >= 0);
  }

  /** Changes the tags in `data`, or `md` where metadata are separate. False: `failure` says what is wrong. */
  private remap(io: BdevIo, data: Pieces, md: Pieces, down: boolean): boolean {
    const { of_part, of_base } = this;
    of_part.ref_tag = io.offset_blocks;
    of_base.ref_tag = io.offset_blocks + this.offset_blocks;
    const strict = (difChecks(this.description, io) & DifCheck.REFTAG) !== 0;
    return this.dif.remap(
      data,
      md,
      io.num_blocks,
      down ? of_part : of_base,
      down ? of_base : of_part,
      this.failure,
      strict,
    );
  }

  protected override passMetadata(io: BdevIo, below: BdevIo): boolean {
    super.passMetadata(io, below);
    io.moduleTag = -1;
    if (io.type !== IoType.WRITE || !this.remaps(io)) return true;
    const { buffers } = this.base.reactor;
    const buffer = buffers.get(io.num_blocks * this.description.md_size);
    if (buffer < 0) {
      this.giveUp(io, below, IoStatus.NOMEM);
      return false;
    }
    io.moduleTag = buffer;
    if (this.description.md_interleave) this.splice(io, below, buffer);
    else this.copyMetadata(io, below, buffer);
    // What `data` and `copies` are now is what the base is to write.
    if (this.remap(io, this.data, this.copies, true)) return true;
    this.giveBack(io, below);
    this.giveUp(io, below, difStatus(io, this.failure));
    return false;
  }

  private giveUp(io: BdevIo, below: BdevIo, status: number): void {
    io.base = null;
    below.free();
    io.complete(status);
  }

  private copyMetadata(io: BdevIo, below: BdevIo, buffer: number): void {
    const { buffers, regions } = this.base.reactor;
    const bytes = io.num_blocks * this.description.md_size;
    piecesOfMetadata(this.md, regions, io, 0, bytes);
    this.copies.clear().push(buffers.bytes, buffer, bytes).copy(0, this.md, 0, bytes);
    below.md_region = buffers.region;
    below.md_offset = buffer;
  }

  /** The user's data, between which the metadata come from the buffer. */
  private splice(io: BdevIo, below: BdevIo, buffer: number): void {
    const { buffers, regions } = this.base.reactor;
    const { block_size, md_size } = this.description;
    const blocks = io.num_blocks;
    const data_bytes = block_size - md_size;
    piecesOfIo(this.md, regions, io, 0, blocks * block_size);
    this.copies.clear().push(buffers.bytes, buffer, blocks * md_size);
    const list = this.takeList(2 * blocks + (io.iovs?.count ?? 1));
    this.data.clear();
    const add = (region: number, offset: number, length: number): void => {
      list.push(region, offset, length);
      this.data.push(regions.bytes(region), offset, length);
    };
    const { iovs } = io;
    let piece = 0;
    let inside = 0;
    /** Goes on by `bytes` in the user's pieces; `take`: adds them. */
    const advance = (bytes: number, take: boolean): void => {
      for (let left = bytes; left > 0; ) {
        const length = iovs === null ? io.length : iovs.length[piece]!;
        const count = Math.min(length - inside, left);
        const offset = (iovs === null ? io.offset : iovs.offset[piece]!) + inside;
        if (take && count > 0) add(iovs === null ? io.region : iovs.region[piece]!, offset, count);
        left -= count;
        inside += count;
        if (inside < length) continue;
        piece++;
        inside = 0;
      }
    };
    for (let block = 0; block < blocks; block++) {
      this.copies.copy(block * md_size, this.md, block * block_size + data_bytes, md_size);
      advance(data_bytes, true);
      advance(md_size, false);
      add(buffers.region, buffer + block * md_size, md_size);
    }
    below.iovs = list;
  }

  private takeList(capacity: number): IoVec {
    const list = this.lists.pop();
    if (list !== undefined && list.capacity >= capacity) return list;
    return new IoVec(
      Math.max(2 ** Math.ceil(Math.log2(capacity)), REMAPPED_BYTES / this.description.md_size),
    );
  }

  /** The base needs an I/O's copied metadata no longer. */
  private giveBack(io: BdevIo, below: BdevIo): void {
    if (io.moduleTag < 0) return;
    const buffer = io.moduleTag;
    io.moduleTag = -1;
    if (below.iovs !== io.iovs) {
      below.iovs!.clear();
      this.lists.push(below.iovs!);
    }
    this.base.reactor.buffers.put(buffer);
  }

  protected override refused(io: BdevIo, below: BdevIo): void {
    this.giveBack(io, below);
    super.refused(io, below);
  }

  override bdevIoDone(below: BdevIo): void {
    this.giveBack(below.upper!, below);
    super.bdevIoDone(below);
  }

  protected override ended(io: BdevIo, status: number): void {
    const read = io.type === IoType.READ && status === IoStatus.SUCCESS;
    super.ended(io, read && this.remaps(io) && !this.remapRead(io) ? difStatus(io, this.failure) : status);
  }

  private remapRead(io: BdevIo): boolean {
    const { regions } = this.base.reactor;
    const { block_size, md_size, md_interleave } = this.description;
    const blocks = io.num_blocks;
    if (md_interleave) piecesOfIo(this.data, regions, io, 0, blocks * block_size);
    else piecesOfMetadata(this.md, regions, io, 0, blocks * md_size);
    return this.remap(io, this.data, this.md, false);
  }
}
