import { difOf } from '@spdk-ts/bdev';
import { type DifOptions, DifType, Pieces } from '@spdk-ts/dif';
import { attachSharedMemory } from '@spdk-ts/env';
import type { Segment } from './context.ts';

/** Blocks between two turns of the event loop. */
const TURN_BLOCKS = 65_536;

interface Protected extends DifOptions {
  readonly segments: readonly Segment[];
  readonly md_segments: readonly Segment[];
}

/** All bytes of segments, from `start` to `end`, as pieces. */
function range(pieces: Pieces, views: readonly Uint8Array[], start: number, end: number): Pieces {
  pieces.clear();
  let at = 0;
  for (const view of views) {
    const from = Math.max(start - at, 0);
    const to = Math.min(end - at, view.length);
    if (from < to) pieces.push(view, from, to - from);
    at += view.length;
  }
  return pieces;
}

/**
 * Gives new blocks, `first` up to `end`, which are zeroes, valid protection information, if the bdev has any: reference
 * tags are the blocks' addresses, application tags 0.
 */
export async function protectBlocks(bdev: Protected, first: number, end: number): Promise<void> {
  if (bdev.dif_type === DifType.DISABLE) return;
  const dif = difOf(bdev);
  const view = ({ memory, bytes }: Segment): Uint8Array => attachSharedMemory(memory).subarray(0, bytes);
  const views = bdev.segments.map(view);
  const md_views = bdev.md_segments.map(view);
  // With separate metadata a block of zeroes stands for all: the memory itself is not touched.
  const zeroes = Pieces.of(new Uint8Array(bdev.block_size));
  const data = new Pieces();
  const md = new Pieces();
  for (let at = first; at < end; at += TURN_BLOCKS) {
    const blocks = Math.min(TURN_BLOCKS, end - at);
    if (bdev.md_interleave) range(data, views, at * bdev.block_size, (at + blocks) * bdev.block_size);
    range(md, md_views, at * bdev.md_size, (at + blocks) * bdev.md_size);
    const ref_tag = bdev.dif_type === DifType.TYPE_3 ? 0 : at;
    dif.generate(
      bdev.md_interleave ? data : zeroes,
      md,
      blocks,
      { ref_tag, app_tag: 0, app_tag_mask: 0 },
      true,
    );
    if (at + blocks < end) await new Promise((resolve) => setImmediate(resolve));
  }
}
