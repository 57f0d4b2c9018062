import type { DifFailure } from './failure.ts';
import { DifCheck, DifLayout, type DifOptions, DifType } from './format.ts';
import { type DifTags, PiCodec } from './pi-codec.ts';
import type { Pieces } from './pieces.ts';

/**
 * Protection information of one kind of block: generated, checked, put between data and taken out again. `data` are
 * the blocks as the device has them, metadata inside where they are interleaved; `md` are the metadata where they are
 * separate, and ignored otherwise. Both hold as many blocks as are named, from their beginning. Not for two threads.
 */
export class Dif {
  readonly layout: DifLayout;
  private readonly pi: PiCodec;

  /** Throws RangeError as {@link DifLayout} does. */
  constructor(options: DifOptions) {
    this.layout = new DifLayout(options);
    this.pi = new PiCodec(this.layout);
  }

  /** Where a block's metadata begin, in {@link metadata}. */
  private mdStart(block: number): number {
    const { interleaved, block_size, data_block_size, md_size } = this.layout;
    return interleaved ? block * block_size + data_block_size : block * md_size;
  }

  private metadata(data: Pieces, md: Pieces | null): Pieces {
    if (this.layout.interleaved) return data;
    if (md === null) throw new TypeError('separate metadata are missing');
    return md;
  }

  /**
   * Writes protection information. `alike`: the data and the rest of the metadata are the same in every block, so that
   * one guard serves them all.
   */
  generate(data: Pieces, md: Pieces | null, blocks: number, tags: Readonly<DifTags>, alike = false): void {
    const { type, block_size, pi_offset, pi_bytes } = this.layout;
    if (type === DifType.DISABLE) return;
    const { pi } = this;
    const meta = this.metadata(data, md);
    pi.putAppTag(tags.app_tag);
    for (let block = 0; block < blocks; block++) {
      const md_at = this.mdStart(block);
      if (!alike || block === 0) {
        pi.computeGuard(data, block * block_size, meta, md_at);
        pi.putGuard();
      }
      pi.computeRefTag(tags.ref_tag, block);
      pi.putRefTag();
      meta.write(md_at + pi_offset, pi.bytes, pi_bytes);
    }
  }

  /**
   * Writes the protection information of deallocated blocks, which are all alike: a guard for what they read as, and
   * all ones in every tag, so that no check fails.
   */
  deallocate(data: Pieces, md: Pieces | null, blocks: number): void {
    const { type, pi_offset, pi_bytes } = this.layout;
    if (type === DifType.DISABLE || blocks === 0) return;
    const { pi } = this;
    const meta = this.metadata(data, md);
    pi.computeGuard(data, 0, meta, this.mdStart(0));
    pi.putGuard();
    pi.putEscape();
    for (let block = 0; block < blocks; block++)
      meta.write(this.mdStart(block) + pi_offset, pi.bytes, pi_bytes);
  }

  /**
   * Checks protection information: `checks` are {@link DifCheck}s. Of a block whose tags turn that off nothing is
   * checked. False: `failure` says which block was wrong, and how.
   */
  verify(
    data: Pieces,
    md: Pieces | null,
    blocks: number,
    tags: Readonly<DifTags>,
    checks: number,
    failure: DifFailure,
  ): boolean {
    failure.check = 0;
    if (this.layout.type === DifType.DISABLE) return true;
    const wanted = this.pi.effective(checks);
    if (wanted === 0) return true;
    const meta = this.metadata(data, md);
    for (let block = 0; block < blocks; block++)
      if (!this.verifyBlock(data, meta, block, tags, wanted, failure)) {
        failure.block = block;
        return false;
      }
    return true;
  }

  private verifyBlock(
    data: Pieces,
    meta: Pieces,
    block: number,
    tags: Readonly<DifTags>,
    checks: number,
    failure: DifFailure,
  ): boolean {
    const { block_size, pi_offset, pi_bytes } = this.layout;
    const { pi } = this;
    const md_at = this.mdStart(block);
    meta.read(md_at + pi_offset, pi.bytes, pi_bytes);
    if (pi.escaped) return true;
    if ((checks & DifCheck.GUARD) !== 0) {
      pi.computeGuard(data, block * block_size, meta, md_at);
      failure.expected_high = pi.high;
      failure.expected_low = pi.low;
      pi.takeGuard();
      if (!this.matches(DifCheck.GUARD, failure)) return false;
    }
    if ((checks & DifCheck.APPTAG) !== 0) {
      failure.expected_high = 0;
      failure.expected_low = tags.app_tag & tags.app_tag_mask;
      pi.high = 0;
      pi.low = pi.app_tag & tags.app_tag_mask;
      if (!this.matches(DifCheck.APPTAG, failure)) return false;
    }
    if ((checks & DifCheck.REFTAG) === 0) return true;
    pi.computeRefTag(tags.ref_tag, block);
    failure.expected_high = pi.high;
    failure.expected_low = pi.low;
    pi.takeRefTag();
    return this.matches(DifCheck.REFTAG, failure);
  }

  /** Compares what the codec has taken out with what is expected. */
  private matches(check: number, failure: DifFailure): boolean {
    if (this.pi.high === failure.expected_high && this.pi.low === failure.expected_low) return true;
    failure.check = check;
    failure.actual_high = this.pi.high;
    failure.actual_low = this.pi.low;
    return false;
  }

  /**
   * Gives blocks that were copied the reference tags of where they are now (types 1 and 2), after a check that they
   * are those of where they were. Blocks that are not checked stay as they are, and those with other tags unless
   * `strict`.
   */
  remap(
    data: Pieces,
    md: Pieces | null,
    blocks: number,
    from: Readonly<DifTags>,
    to: Readonly<DifTags>,
    failure: DifFailure,
    strict = true,
  ): boolean {
    const { type, pi_offset, pi_bytes } = this.layout;
    failure.check = 0;
    if (type === DifType.DISABLE || type === DifType.TYPE_3) return true;
    const { pi } = this;
    const meta = this.metadata(data, md);
    for (let block = 0; block < blocks; block++) {
      const at = this.mdStart(block) + pi_offset;
      meta.read(at, pi.bytes, pi_bytes);
      if (pi.escaped) continue;
      pi.computeRefTag(from.ref_tag, block);
      failure.expected_high = pi.high;
      failure.expected_low = pi.low;
      pi.takeRefTag();
      failure.block = block;
      if (!this.matches(DifCheck.REFTAG, failure)) {
        if (strict) return false;
        failure.check = 0;
        continue;
      }
      pi.computeRefTag(to.ref_tag, block);
      pi.putRefTag();
      meta.write(at, pi.bytes, pi_bytes);
    }
    return true;
  }

  /** Copies blocks and their metadata with new protection information, which replaces what was there. */
  copyGenerate(
    from: Pieces,
    from_md: Pieces | null,
    to: Pieces,
    to_md: Pieces | null,
    blocks: number,
    tags: Readonly<DifTags>,
  ): void {
    const { interleaved, block_size, md_size } = this.layout;
    to.copy(0, from, 0, blocks * block_size);
    if (!interleaved) this.metadata(to, to_md).copy(0, this.metadata(from, from_md), 0, blocks * md_size);
    this.generate(to, to_md, blocks, tags);
  }

  /** Copies plain data to blocks with metadata: zeroes, and protection information. */
  insert(plain: Pieces, to: Pieces, md: Pieces | null, blocks: number, tags: Readonly<DifTags>): void {
    const { block_size, data_block_size, md_size, interleaved } = this.layout;
    const meta = this.metadata(to, md);
    if (!interleaved) to.copy(0, plain, 0, blocks * data_block_size);
    for (let block = 0; block < blocks; block++) {
      if (interleaved) to.copy(block * block_size, plain, block * data_block_size, data_block_size);
      meta.fill(this.mdStart(block), md_size, 0);
    }
    this.generate(to, md, blocks, tags);
  }

  /** Checks blocks as {@link verify} does, and copies their data without the metadata, if all is well. */
  strip(
    from: Pieces,
    md: Pieces | null,
    plain: Pieces,
    blocks: number,
    tags: Readonly<DifTags>,
    checks: number,
    failure: DifFailure,
  ): boolean {
    if (!this.verify(from, md, blocks, tags, checks, failure)) return false;
    const { block_size, data_block_size, interleaved } = this.layout;
    if (!interleaved) plain.copy(0, from, 0, blocks * data_block_size);
    else
      for (let block = 0; block < blocks; block++)
        plain.copy(block * data_block_size, from, block * block_size, data_block_size);
    return true;
  }
}
