/** Why a channel's submit takes the long way: bits of its `gate`. Where a name is in both sets, so is its number. */
export const Gate = {
  /** The bdev is being reset. */
  FROZEN: 1,
  REMOVED: 2,
  /** The module has no resources now. */
  NOMEM: 4,
  /** A range of blocks is locked. */
  LOCKED: 16,
  /** The bdev has rate limits. */
  QOS: 32,
  /** Metadata are separate: always. */
  METADATA: 64,
  /** It is a key-value bdev: there is no plain I/O. */
  KV: 256,
} as const;

/** Why a channel's completion takes the long way: bits of its `after`. */
export const After = {
  FROZEN: 1,
  NOMEM: 4,
  HISTOGRAM: 8,
  /** Something ends that the module never saw. */
  UNSTARTED: 16,
  BOUNCED: 32,
  /** A range is to be locked once I/O has ended. */
  LOCKING: 64,
  /** A zero-copy I/O starts or ends. */
  ZCOPYING: 128,
  /** It is a key-value bdev, whose I/O is counted otherwise. */
  KV: 256,
} as const;
