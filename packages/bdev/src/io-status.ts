/** How an I/O ended: the numbers that SPDK gives these statuses. */
export const IoStatus = {
  SUCCESS: 1,
  PENDING: 0,
  FAILED: -1,
  NVME_ERROR: -2,
  SCSI_ERROR: -3,
  NOMEM: -4,
  MISCOMPARE: -5,
  FIRST_FUSED_FAILED: -6,
  ABORTED: -7,
  AIO_ERROR: -8,
} as const;

/** Lower-case names by `-status`, as the keys of `io_error` in statistics. */
export const ioErrorNames: readonly string[] = [
  'pending',
  'failed',
  'nvme_error',
  'scsi_error',
  'nomem',
  'miscompare',
  'first_fused_failed',
  'aborted',
  'aio_error',
];

/** Negative errno values that a submit call returns. */
export const Errno = {
  EPERM: -1,
  ENOENT: -2,
  EIO: -5,
  ENXIO: -6,
  EAGAIN: -11,
  ENOMEM: -12,
  EACCES: -13,
  EFAULT: -14,
  EBUSY: -16,
  EEXIST: -17,
  ENODEV: -19,
  EISDIR: -21,
  EINVAL: -22,
  EFBIG: -27,
  ENOSPC: -28,
  EROFS: -30,
  ENOTSUP: -95,
  EALREADY: -114,
} as const;
