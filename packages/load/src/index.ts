/** What load generators share: places, sizes, latencies. */
export { Bitmap } from './bitmap.ts';
export {
  type LatencyBucket,
  LatencyHistogram,
  type LatencyTotals,
  latencyCutoffs,
} from './latency-histogram.ts';
export { RandomMap, Xorshift, Zipf } from './offsets.ts';
export { formatSize, parseSize } from './size.ts';
