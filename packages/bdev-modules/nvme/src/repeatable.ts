import { type BdevIo, IoType } from '@spdk-ts/bdev';

/**
 * True if an I/O may be sent once more although the controller may have carried it out: its effect is the same then. Another append
 * would write its data twice; another reset of a zone could take data away that were written after the first one.
 */
export function isRepeatable(io: BdevIo, zoned: boolean): boolean {
  switch (io.type) {
    case IoType.READ:
    case IoType.COMPARE:
    case IoType.FLUSH:
    case IoType.UNMAP:
    case IoType.WRITE_UNCORRECTABLE:
    case IoType.GET_ZONE_INFO:
    case IoType.KV_RETRIEVE:
    case IoType.KV_LIST:
    case IoType.KV_EXIST:
      return true;
    case IoType.WRITE:
    case IoType.WRITE_ZEROES:
      return !zoned;
    case IoType.COPY:
      // Of ranges that overlap it would find its own data.
      return Math.abs(io.offset_blocks - io.src_offset_blocks) >= io.num_blocks;
    case IoType.KV_STORE:
      return io.kv_options === 0;
    default:
      return false;
  }
}
