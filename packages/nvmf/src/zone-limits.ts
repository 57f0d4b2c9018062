import type { BdevDescription } from '@spdk-ts/bdev';
import type { NamespaceView } from './subsystem-view.ts';

const PAGE = 4096;
/** ZASL cannot say less. */
const APPEND_BYTES_MIN = 2 * PAGE;

/** Bytes of the longest Zone Append that hosts are told of: a power of two, at least 8 KiB. */
export function appendBytes({ max_zone_append_size, zone_size, block_size }: BdevDescription): number {
  const bytes = (max_zone_append_size === 0 ? zone_size : max_zone_append_size) * block_size;
  return Math.max(APPEND_BYTES_MIN, 2 ** Math.floor(Math.log2(bytes)));
}

/** Zone Append Size Limit, for namespaces of which the narrowest counts: a power of two of pages, 0 for MDTS. */
export function zoneAppendSizeLimit(namespaces: readonly NamespaceView[], max_io_size: number): number {
  const limits = namespaces.flatMap(({ append_bytes }) => (append_bytes > 0 ? [append_bytes] : []));
  const least = Math.min(max_io_size, ...limits);
  return least === max_io_size ? 0 : Math.log2(least / PAGE);
}
