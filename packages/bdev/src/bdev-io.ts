import { DifType } from '@spdk-ts/dif';
import type { BdevChannel } from './channel.ts';
import type { BdevDescription } from './description.ts';
import { IoStatus } from './io-status.ts';
import { IoType } from './io-type.ts';
import type { IoVec } from './iovec.ts';
import type { ZoneReport } from './zone-report.ts';

/** Who submitted an I/O and is told of its end. The callback never runs inside submit. */
export interface BdevIoOwner {
  /** The I/O is complete: read {@link BdevIo.status}, then give it back with {@link BdevIo.free}. */
  bdevIoDone(io: BdevIo): void;
  /** For the layer: its I/Os are parts of another, which was checked for them. */
  readonly inLayer?: boolean;
  /** {@link BdevDescriptor.number} of whom the I/O is for: no other descriptor's timeout concerns it. Without it, all do. */
  readonly descriptor?: number;
}

/** What carries an I/O out in its module's stead. */
export interface IoWork {
  /** Range locks wait for the I/O's end. */
  readonly blocksLocks: boolean;
  /** True if the I/O will end ABORTED. */
  abort(): boolean;
}

/** Where an I/O is on its way. */
export const IoState = {
  FREE: 0,
  SETUP: 1,
  QUEUED: 2,
  /** Waits for a locked range. */
  LOCKED: 3,
  SUBMITTED: 4,
  COMPLETING: 5,
  DONE: 6,
} as const;

export const ZcopyPhase = { START: 0, END: 1 } as const;

/** {@link BdevIo.ownBuffer} of an I/O that holds its base's I/O instead of a buffer: no buffer begins there. */
export const HOLDS_BASE = 1;

function keyWord(bytes: Uint8Array, at: number, length: number, first: number): number {
  let word = 0;
  const end = Math.min(length, first + 4);
  for (let i = first; i < end; i++) word |= bytes[at + i]! << ((i - first) * 8);
  return word;
}

const nobody: BdevIoOwner = { bdevIoDone: () => {} };

/**
 * One I/O. Objects are pooled and reused; every field is a number or set in the constructor, so that all of them
 * keep one shape. Offsets are in blocks, memory is (region, byte offset, bytes).
 */
export class BdevIo {
  /** Place in the pool: the smallest name an I/O has. */
  readonly index: number;
  state: number = IoState.FREE;
  type: number = IoType.READ;
  status: number = IoStatus.PENDING;
  channel: BdevChannel | null = null;

  offset_blocks = 0;
  num_blocks = 0;
  /** COPY: where to read from. */
  src_offset_blocks = 0;

  /** The data's only piece, unless {@link iovs} is set. Region -1: a read that leaves the place to the module. */
  region = -1;
  offset = 0;
  length = 0;
  iovs: IoVec | null = null;
  /** A buffer that the layer took from the pool for this I/O, or HOLDS_BASE, or -1. Given back by {@link free}. */
  ownBuffer = -1;

  owner: BdevIoOwner = nobody;
  /** The owner's own number for this I/O. */
  ownerIndex = 0;
  /** Force unit access: the data is on stable storage when a write completes. */
  fua = false;

  /** Tick of submission, for latency. */
  submitted_at = 0;
  /** NVME_ERROR: status code type, status code; cdw0 of the completion (ABORT, COMPARE). */
  sct = 0;
  sc = 0;
  cdw0 = 0;
  /** ABORT: the I/O to abort. */
  target: BdevIo | null = null;

  /** For the module that serves it: a number and a link of its own. */
  moduleTag = 0;
  next: BdevIo | null = null;

  /** For the layer: what carries it out, if the module does not, or not in one. */
  work: IoWork | null = null;
  /** For the layer: it ends without the module having seen it. */
  unstarted = false;
  /** For the layer: a buffer of the pool stands in for data that are not aligned for the module; where those are. */
  bounced = false;
  bounceBuffer = -1;
  bouncedRegion = -1;
  bouncedOffset = 0;
  bouncedIovs: IoVec | null = null;

  // Last, so that what every I/O uses stays together in the cache.
  /** COMPARE_AND_WRITE: where the data to write are, as those to compare are above. */
  write_region = -1;
  write_offset = 0;
  write_iovs: IoVec | null = null;
  /** ZCOPY: start asks for memory, with the blocks' data in it or without; end gives it back, to be written or not. */
  zcopy_phase: number = ZcopyPhase.START;
  populate = false;
  commit = false;
  /** For the layer: between a start that succeeded and its end. */
  zcopy_open = false;
  /** For the layer: the data were not to be written any more. */
  zcopy_refused = false;
  /** SEEK_DATA, SEEK_HOLE: the block found, or -1 if there is none. */
  seek_offset_blocks = -1;
  /** ZONE_MANAGEMENT: a ZoneAction; on all zones of the range that it is for, or on the only one. */
  zone_action = 0;
  zone_all = false;
  /** GET_ZONE_INFO: where to put it. */
  zones: ZoneReport | null = null;
  /** ZONE_APPEND: the block where the data are. */
  append_location = 0;
  /**
   * KV_*: the key, 1 to 16 bytes, as the little-endian words that an NVMe command has it in, zeroes after its end; KV_LIST
   * may have none (0: from the first). The value's place is region, offset and length, or iovs: of KV_STORE the value, of
   * KV_RETRIEVE and KV_LIST room for it. `cdw0` of a KV_RETRIEVE that succeeded: bytes of the whole value.
   */
  key_length = 0;
  key0 = 0;
  key1 = 0;
  key2 = 0;
  key3 = 0;
  /** KV_STORE: a set of {@link KvStoreOption}. */
  kv_options = 0;
  /**
   * NVME_ADMIN, NVME_IO: the 16 dwords of a submission queue entry, the owner's, unchanged until the I/O ends. The module fills in
   * CID, PSDT and data pointer, and NSID (of NVME_ADMIN only what is neither 0 nor FFFFFFFFh). `cdw0` of one that succeeded: dword 0 of its completion.
   */
  command: Uint32Array | null = null;
  /**
   * Separate metadata: their place, md_size bytes for each block, or region -1 for none: a read leaves them out, a write
   * makes new ones (zeroes, and protection information). This and what follows is for bdevs with metadata only.
   */
  md_region = -1;
  md_offset = 0;
  /** Checks of protection information that the module leaves out: a set of DifCheck bits. */
  dif_exclude = 0;
  /** Reference tag of the first block; -1: its address (type 3: 0). */
  dif_ref_tag = -1;
  /** The application tag that a block must have, in the bits of the mask. */
  dif_app_tag = 0;
  dif_app_tag_mask = 0;
  /** For stacked modules: the base's I/O that serves this one, or null; the I/O of the bdev above that this one serves. */
  base: BdevIo | null = null;
  upper: BdevIo | null = null;
  /** For the layer: the base's I/O in whose place this one's data are, while {@link ownBuffer} is HOLDS_BASE. */
  held: BdevIo | null = null;

  constructor(index: number) {
    this.index = index;
  }

  /** Bytes of data that the I/O carries. */
  get bytes(): number {
    return this.iovs === null ? this.length : this.iovs.bytes;
  }

  /**
   * For modules: the I/O has ended. Inside submit the callback is put off to the reactor's next iteration. It is
   * an error to complete twice.
   */
  complete(status: number): void {
    this.channel!.completed(this, status);
  }

  /** For modules: ends the I/O with an NVMe status. */
  completeNvme(sct: number, sc: number): void {
    this.sct = sct;
    this.sc = sc;
    this.channel!.completed(this, sct === 0 && sc === 0 ? IoStatus.SUCCESS : IoStatus.NVME_ERROR);
  }

  /**
   * Takes over what concerns metadata from an I/O of which this is a part, or the whole, at the same addresses. `skip`:
   * blocks from its first. For bdevs with metadata.
   */
  takeMetadata(from: BdevIo, skip: number, { md_size, md_interleave, dif_type }: BdevDescription): void {
    const counts_up = from.dif_ref_tag >= 0 && dif_type !== DifType.TYPE_3;
    this.md_region = from.md_region;
    this.md_offset = from.md_offset + (md_interleave ? 0 : skip * md_size);
    this.dif_exclude = from.dif_exclude;
    this.dif_ref_tag = counts_up ? from.dif_ref_tag + skip : from.dif_ref_tag;
    this.dif_app_tag = from.dif_app_tag;
    this.dif_app_tag_mask = from.dif_app_tag_mask;
  }

  /** For channels of bdevs with metadata: forgets what the last use left of them. */
  clearMetadata(): void {
    this.md_region = -1;
    this.md_offset = 0;
    this.dif_exclude = 0;
    this.dif_ref_tag = -1;
    this.dif_app_tag = 0;
    this.dif_app_tag_mask = 0;
  }

  /**
   * For stacked modules, that were told of the end of their base's I/O: ends this one, and its owner is told at once.
   * Never from within a submit, and not with status NOMEM.
   */
  completeNow(status: number): void {
    this.channel!.completedNow(this, status);
  }

  /** For stacked modules: a read's data are where the base's I/O has them, which is freed together with this one. */
  takePlace(base: BdevIo): void {
    this.region = base.region;
    this.offset = base.offset;
    this.iovs = base.iovs;
    this.held = base;
    this.ownBuffer = HOLDS_BASE;
  }

  /** Sets the key from memory. */
  setKey(bytes: Uint8Array, at: number, length: number): void {
    this.key_length = length;
    this.key0 = keyWord(bytes, at, length, 0);
    this.key1 = keyWord(bytes, at, length, 4);
    this.key2 = keyWord(bytes, at, length, 8);
    this.key3 = keyWord(bytes, at, length, 12);
  }

  /** For owners: gives a completed I/O back to its pool, with the buffer that the layer lent it. */
  free(): void {
    this.channel!.freeIo(this);
  }

  /** For the pool: forgets what the last use left. */
  reset(): void {
    this.status = IoStatus.PENDING;
    this.src_offset_blocks = 0;
    this.region = -1;
    this.offset = 0;
    this.length = 0;
    this.iovs = null;
    this.owner = nobody;
    this.fua = false;
    this.sct = 0;
    this.sc = 0;
    this.cdw0 = 0;
    this.target = null;
  }
}
