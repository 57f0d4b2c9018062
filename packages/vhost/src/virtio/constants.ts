/** Numbers of virtio (Virtual I/O Device 1.2): rings (2), feature bits (6), block device (5.2). */

/** Bits of descriptors, and of a packed ring's. */
export const Desc = { NEXT: 1, WRITE: 2, INDIRECT: 4, AVAIL: 0x80, USED: 0x8000 } as const;
export const DESC_BYTES = 16;

/** Split ring: the device wants no kicks; the driver wants no calls. */
export const USED_NO_NOTIFY = 1;
export const AVAIL_NO_INTERRUPT = 1;

/** Packed ring: what an event suppression structure says. */
export const RingEvent = { ENABLE: 0, DISABLE: 1, DESC: 2 } as const;

/** Feature bits. */
export const Feature = {
  BLK_SIZE_MAX: 1,
  BLK_SEG_MAX: 2,
  BLK_RO: 5,
  BLK_BLK_SIZE: 6,
  BLK_FLUSH: 9,
  BLK_TOPOLOGY: 10,
  BLK_MQ: 12,
  BLK_DISCARD: 13,
  BLK_WRITE_ZEROES: 14,
  ANY_LAYOUT: 27,
  RING_INDIRECT_DESC: 28,
  RING_EVENT_IDX: 29,
  /** Of vhost-user: a bit that virtio leaves unused. */
  PROTOCOL_FEATURES: 30,
  VERSION_1: 32,
  RING_PACKED: 34,
} as const;

/** Types of requests, and how they end. */
export const BlkType = { IN: 0, OUT: 1, FLUSH: 4, GET_ID: 8, DISCARD: 11, WRITE_ZEROES: 13 } as const;
export const BlkStatus = { OK: 0, IOERR: 1, UNSUPP: 2 } as const;
/** Of a discard or write-zeroes segment. */
export const SEGMENT_UNMAP = 1;

export const SECTOR_BYTES = 512;
export const HEADER_BYTES = 16;
export const SEGMENT_BYTES = 16;
export const ID_BYTES = 20;
