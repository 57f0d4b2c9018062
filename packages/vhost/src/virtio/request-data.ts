import type { BlkRequest } from './blk-request.ts';
import type { RegionViews } from './guest-views.ts';

/** Copies the first bytes of a request's data, which lie in any pieces. Returns how many there were. */
export function readData({ iovs }: BlkRequest, views: RegionViews, into: Uint8Array): number {
  let at = 0;
  for (let i = 0; i < iovs.count; i++) {
    const view = views.view(iovs.region[i]!);
    for (let j = 0; j < iovs.length[i]! && at < into.length; j++)
      into[at++] = view.getUint8(iovs.offset[i]! + j);
  }
  return at;
}

/** Puts bytes into a request's data. Returns how many there was room for. */
export function writeData({ iovs }: BlkRequest, views: RegionViews, from: Uint8Array): number {
  let at = 0;
  for (let i = 0; i < iovs.count; i++) {
    const view = views.view(iovs.region[i]!);
    for (let j = 0; j < iovs.length[i]! && at < from.length; j++)
      view.setUint8(iovs.offset[i]! + j, from[at++]!);
  }
  return at;
}
