/** I/O types of the block device layer, in the order in which `supported_io_types` lists them. */
export const ioTypeNames = [
  'read',
  'write',
  'unmap',
  'flush',
  'reset',
  'nvme_admin',
  'nvme_io',
  'nvme_io_md',
  'write_zeroes',
  'zcopy',
  'get_zone_info',
  'zone_management',
  'zone_append',
  'compare',
  'compare_and_write',
  'abort',
  'seek_hole',
  'seek_data',
  'copy',
  'nvme_iov_md',
  'nvme_nssr',
  'write_uncorrectable',
] as const;
export type IoTypeName = (typeof ioTypeNames)[number];

/** Number of an I/O type: its place in {@link ioTypeNames}. */
export const IoType = {
  READ: 0,
  WRITE: 1,
  UNMAP: 2,
  FLUSH: 3,
  RESET: 4,
  NVME_ADMIN: 5,
  NVME_IO: 6,
  NVME_IO_MD: 7,
  WRITE_ZEROES: 8,
  ZCOPY: 9,
  GET_ZONE_INFO: 10,
  ZONE_MANAGEMENT: 11,
  ZONE_APPEND: 12,
  COMPARE: 13,
  COMPARE_AND_WRITE: 14,
  ABORT: 15,
  SEEK_HOLE: 16,
  SEEK_DATA: 17,
  COPY: 18,
  NVME_IOV_MD: 19,
  NVME_NSSR: 20,
  WRITE_UNCORRECTABLE: 21,
  // Of key-value bdevs: SPDK has no names for them, and `supported_io_types` does not list them.
  KV_STORE: 22,
  KV_RETRIEVE: 23,
  KV_LIST: 24,
  KV_EXIST: 25,
  KV_DELETE: 26,
} as const;
export const IO_TYPE_COUNT = ioTypeNames.length;

/** A set of I/O types as a bit mask, from their numbers. */
export function ioTypeMask(...types: number[]): number {
  return types.reduce((mask, type) => mask | (1 << type), 0);
}

/** What a key-value bdev does. */
export const KV_TYPES = ioTypeMask(
  IoType.KV_STORE,
  IoType.KV_RETRIEVE,
  IoType.KV_LIST,
  IoType.KV_EXIST,
  IoType.KV_DELETE,
);

/** Types whose range changes the medium. */
export const MODIFYING_TYPES = ioTypeMask(
  IoType.WRITE,
  IoType.UNMAP,
  IoType.WRITE_ZEROES,
  IoType.COMPARE_AND_WRITE,
  IoType.ZONE_APPEND,
  IoType.ZONE_MANAGEMENT,
  IoType.COPY,
  IoType.WRITE_UNCORRECTABLE,
);
