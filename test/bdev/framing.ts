import { type BdevDescription, dataBlockSize, difOf } from '@spdk-ts/bdev';
import { type Dif, DifFailure, type DifTags, DifType, Pieces } from '@spdk-ts/dif';
import { fillContent, holdsContent } from './content.ts';

/** What goes to a bdev, or comes from it: data, and metadata where those have a place of their own. */
export interface Framed {
  readonly data: Uint8Array;
  readonly metadata: Uint8Array | null;
}

/**
 * Blocks with metadata: tests say what is in the data, and this is what their bytes are with metadata. Of protection
 * information every part is made, and checked with what was read; of other metadata each block's are a content with
 * the number of the one in its data.
 */
export class Framing {
  /** Bytes of a block's data. */
  readonly data_block_size: number;
  /** Bytes of a block's metadata that lie apart from the data; 0: none do. */
  readonly separate_md: number;
  readonly protects: boolean;
  /** Protection information lies between the data. */
  readonly within: boolean;
  private readonly description: BdevDescription;
  private readonly dif: Dif;
  private readonly failure = new DifFailure();

  /** For a bdev whose blocks have metadata that are protection information, or lie apart; null for others. */
  static of(description: BdevDescription): Framing | null {
    const { md_size, md_interleave, dif_type } = description;
    return md_size > 0 && (dif_type !== DifType.DISABLE || !md_interleave) ? new Framing(description) : null;
  }

  private constructor(description: BdevDescription) {
    this.description = description;
    this.dif = difOf(description);
    this.data_block_size = dataBlockSize(description);
    this.separate_md = description.md_interleave ? 0 : description.md_size;
    this.protects = description.dif_type !== DifType.DISABLE;
    this.within = this.protects && description.md_interleave;
  }

  private tags(at: number): DifTags {
    return { ref_tag: this.description.dif_type === DifType.TYPE_3 ? 0 : at, app_tag: 0, app_tag_mask: 0 };
  }

  private empty(blocks: number): Framed {
    return {
      data: new Uint8Array(blocks * this.description.block_size),
      metadata: this.separate_md > 0 ? new Uint8Array(blocks * this.separate_md) : null,
    };
  }

  /** The blocks from `at` on with these data. */
  wrap(plain: Uint8Array, at: number): Framed {
    const blocks = plain.length / this.data_block_size;
    const framed = this.empty(blocks);
    const { data, metadata } = framed;
    const md = metadata === null ? null : Pieces.of(metadata);
    this.dif.insert(Pieces.of(plain), Pieces.of(data), md, blocks, this.tags(at));
    if (!this.protects) {
      const words = new Int32Array(metadata!.buffer);
      this.eachContent(plain, (block, each, content) => fillContent(words, block * each, each, content));
    }
    return framed;
  }

  /** The data of blocks from `at` on, and what is wrong with their metadata, or an empty text. */
  unwrap({ data, metadata }: Framed, at: number): { plain: Uint8Array; problem: string } {
    const { block_size, dif_check_types } = this.description;
    const blocks = data.length / block_size;
    const plain = new Uint8Array(blocks * this.data_block_size);
    // Data and metadata that were read apart from each other: the data alone.
    if (metadata === null && this.separate_md > 0) return { plain: data, problem: '' };
    const md = metadata === null ? null : Pieces.of(metadata);
    const to = Pieces.of(plain);
    if (!this.dif.strip(Pieces.of(data), md, to, blocks, this.tags(at), dif_check_types, this.failure))
      return { plain, problem: this.failure.describe(at) };
    if (this.protects) return { plain, problem: '' };
    let problem = '';
    const words = new Int32Array(metadata!.buffer, metadata!.byteOffset, metadata!.length / 4);
    this.eachContent(plain, (block, each, content) => {
      if (holdsContent(words, block * each, each, content)) return;
      problem ||= `the metadata of block ${at + block} are not those of content ${content}`;
    });
    return { plain, problem };
  }

  private eachContent(plain: Uint8Array, fn: (block: number, words: number, content: number) => void): void {
    const first = new DataView(plain.buffer, plain.byteOffset);
    for (let block = 0; block * this.data_block_size < plain.length; block++)
      fn(block, this.separate_md / 4, first.getInt32(block * this.data_block_size, true));
  }
}
