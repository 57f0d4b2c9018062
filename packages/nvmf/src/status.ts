import { type BdevIo, Errno, IoStatus } from '@spdk-ts/bdev';
import {
  commandStatus,
  fabricsStatus,
  genericStatus,
  mediaStatus,
  status as pack,
  pathStatus,
  STATUS_DNR,
  statusCode,
  statusSct,
  statusType,
} from '@spdk-ts/nvme-spec';

const generic = (code: number): number => pack(statusType.generic, code);
const command = (code: number): number => pack(statusType.commandSpecific, code);

/** The statuses that the target answers with, ready for use: DNR where a retry would fail again. */
export const Status = {
  SUCCESS: 0,
  INVALID_OPCODE: generic(genericStatus.invalidOpcode) | STATUS_DNR,
  INVALID_FIELD: generic(genericStatus.invalidField) | STATUS_DNR,
  INTERNAL_ERROR: generic(genericStatus.internalError),
  ABORTED: generic(genericStatus.abortRequested),
  ABORTED_SQ_DELETION: generic(genericStatus.abortedSqDeletion),
  INVALID_NAMESPACE: generic(genericStatus.invalidNamespaceOrFormat) | STATUS_DNR,
  SEQUENCE_ERROR: generic(genericStatus.commandSequenceError),
  FUSED_FAILED: generic(genericStatus.abortedFailedFused),
  FUSED_MISSING: generic(genericStatus.abortedMissingFused),
  ATOMIC_UNIT_EXCEEDED: generic(genericStatus.atomicWriteUnitExceeded) | STATUS_DNR,
  SGL_LENGTH_INVALID: generic(genericStatus.dataSglLengthInvalid) | STATUS_DNR,
  RESERVATION_CONFLICT: generic(genericStatus.reservationConflict) | STATUS_DNR,
  HOSTID_FORMAT: generic(genericStatus.hostIdInconsistentFormat) | STATUS_DNR,
  ABORTED_PREEMPT: generic(genericStatus.abortedPreemptAndAbort),
  WRITE_PROTECTED: generic(genericStatus.namespaceWriteProtected) | STATUS_DNR,
  LBA_OUT_OF_RANGE: generic(genericStatus.lbaOutOfRange) | STATUS_DNR,

  ABORT_LIMIT: command(commandStatus.abortCommandLimitExceeded),
  AER_LIMIT: command(commandStatus.asyncEventRequestLimitExceeded),
  INVALID_LOG_PAGE: command(commandStatus.invalidLogPage) | STATUS_DNR,
  NOT_SAVEABLE: command(commandStatus.featureNotSaveable) | STATUS_DNR,
  NOT_CHANGEABLE: command(commandStatus.featureNotChangeable) | STATUS_DNR,
  NOT_NAMESPACE_SPECIFIC: command(commandStatus.featureNotNamespaceSpecific) | STATUS_DNR,
  NOT_ENOUGH_RESOURCES: command(commandStatus.notEnoughResources) | STATUS_DNR,
  SIZE_LIMIT_EXCEEDED: command(commandStatus.commandSizeLimitExceeded) | STATUS_DNR,
  INVALID_PROTECTION_INFORMATION: command(commandStatus.invalidProtectionInformation) | STATUS_DNR,
  COMMAND_SETS_REJECTED: command(commandStatus.ioCommandSetCombinationRejected) | STATUS_DNR,
  INVALID_COMMAND_SET: command(commandStatus.invalidIoCommandSet) | STATUS_DNR,
  ZONE_BOUNDARY: command(commandStatus.zoneBoundaryError) | STATUS_DNR,

  FORMAT: command(fabricsStatus.incompatibleFormat) | STATUS_DNR,
  CONTROLLER_BUSY: command(fabricsStatus.controllerBusy),
  CONNECT_INVALID: command(fabricsStatus.connectInvalidParameters) | STATUS_DNR,
  CONNECT_INVALID_HOST: command(fabricsStatus.connectInvalidHost) | STATUS_DNR,
  AUTHENTICATION_REQUIRED: command(fabricsStatus.authenticationRequired) | STATUS_DNR,
  INVALID_QUEUE_TYPE: command(fabricsStatus.invalidQueueType) | STATUS_DNR,

  /** Another path may do: no DNR. */
  ANA_INACCESSIBLE: pack(statusType.path, pathStatus.anaInaccessible),

  COMPARE_FAILURE: pack(statusType.media, mediaStatus.compareFailure),
} as const;

/** Generic statuses of bdevs with which the same command would end again: those of the Key Value Command Set, and two more. */
const permanent: ReadonlySet<number> = new Set([
  genericStatus.invalidOpcode,
  genericStatus.invalidField,
  genericStatus.capacityExceeded,
  genericStatus.invalidValueSize,
  genericStatus.invalidKeySize,
  genericStatus.keyDoesNotExist,
  genericStatus.keyExists,
]);

/** A status that a bdev has given. Command specific ones (of zones, say) are as permanent as those of the set above. */
function statusOfNvme(sct: number, sc: number): number {
  const lasts = sct === statusType.commandSpecific || (sct === statusType.generic && permanent.has(sc));
  return pack(sct, sc, lasts);
}

/** True of statuses that SMART counts as media and data integrity errors. */
export function isMediaError(status: number): boolean {
  const code = statusCode(status);
  return (
    code === Status.INTERNAL_ERROR ||
    (statusSct(code) === statusType.media && code !== Status.COMPARE_FAILURE)
  );
}

/** The NVMe status of a bdev I/O that has ended. */
export function statusOfIo(io: BdevIo): number {
  switch (io.status) {
    case IoStatus.SUCCESS:
      return Status.SUCCESS;
    case IoStatus.ABORTED:
      return Status.ABORTED;
    case IoStatus.MISCOMPARE:
      return Status.COMPARE_FAILURE;
    case IoStatus.NVME_ERROR:
      return statusOfNvme(io.sct, io.sc);
    default:
      return Status.INTERNAL_ERROR;
  }
}

/** The NVMe status of a bdev I/O that could not be submitted; `errno` as submit returned it. */
export function statusOfErrno(errno: number): number {
  switch (errno) {
    case Errno.EPERM:
      return Status.WRITE_PROTECTED;
    case Errno.ENOTSUP:
      return Status.INVALID_OPCODE;
    case Errno.ENODEV:
      return Status.INVALID_NAMESPACE;
    default:
      return Status.INTERNAL_ERROR;
  }
}
