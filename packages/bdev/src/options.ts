/** Options of the layer, as bdev_set_options has them. */
export interface BdevOptions {
  /** I/O objects of the whole process. */
  bdev_io_pool_size: number;
  /** I/O objects that every thread has for sure. */
  bdev_io_cache_size: number;
  bdev_auto_examine: boolean;
  iobuf_small_cache_size: number;
  iobuf_large_cache_size: number;
}

export const defaultBdevOptions: Readonly<BdevOptions> = {
  bdev_io_pool_size: 65_535,
  bdev_io_cache_size: 256,
  bdev_auto_examine: true,
  iobuf_small_cache_size: 128,
  iobuf_large_cache_size: 16,
};

/** Bytes of zeroes that every reactor has at hand, for writing them. */
export const ZERO_BYTES = 1024 * 1024;

/** What the control thread tells the layer on every reactor. */
export interface BdevConfiguration {
  readonly options: BdevOptions;
  /** I/O objects that no thread has taken yet: one shared Int32. */
  readonly pool: SharedArrayBuffer;
  /** Id of the region of {@link ZERO_BYTES} zeroes. */
  readonly zeroRegion: number;
}
