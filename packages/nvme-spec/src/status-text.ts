/**
 * Status codes in the words of the specification, for logs and errors. Typed by the tables of codes, so that a
 * code cannot be added without its name.
 */
import {
  commandStatus,
  fabricsStatus,
  genericStatus,
  mediaStatus,
  pathStatus,
  statusType,
} from './status-codes.ts';

type Text<T> = Readonly<Record<keyof T, string>>;

const generic: Text<typeof genericStatus> = {
  success: 'Successful Completion',
  invalidOpcode: 'Invalid Command Opcode',
  invalidField: 'Invalid Field in Command',
  commandIdConflict: 'Command ID Conflict',
  dataTransferError: 'Data Transfer Error',
  abortedPowerLoss: 'Commands Aborted due to Power Loss Notification',
  internalError: 'Internal Error',
  abortRequested: 'Command Abort Requested',
  abortedSqDeletion: 'Command Aborted due to SQ Deletion',
  abortedFailedFused: 'Command Aborted due to Failed Fused Command',
  abortedMissingFused: 'Command Aborted due to Missing Fused Command',
  invalidNamespaceOrFormat: 'Invalid Namespace or Format',
  commandSequenceError: 'Command Sequence Error',
  invalidSglSegmentDescriptor: 'Invalid SGL Segment Descriptor',
  invalidNumberOfSglDescriptors: 'Invalid Number of SGL Descriptors',
  dataSglLengthInvalid: 'Data SGL Length Invalid',
  metadataSglLengthInvalid: 'Metadata SGL Length Invalid',
  sglDescriptorTypeInvalid: 'SGL Descriptor Type Invalid',
  invalidUseOfCmb: 'Invalid Use of Controller Memory Buffer',
  prpOffsetInvalid: 'PRP Offset Invalid',
  atomicWriteUnitExceeded: 'Atomic Write Unit Exceeded',
  operationDenied: 'Operation Denied',
  sglOffsetInvalid: 'SGL Offset Invalid',
  hostIdInconsistentFormat: 'Host Identifier Inconsistent Format',
  keepAliveTimerExpired: 'Keep Alive Timer Expired',
  keepAliveTimeoutInvalid: 'Keep Alive Timeout Invalid',
  abortedPreemptAndAbort: 'Command Aborted due to Preempt and Abort',
  sanitizeFailed: 'Sanitize Failed',
  sanitizeInProgress: 'Sanitize In Progress',
  sglDataBlockGranularityInvalid: 'SGL Data Block Granularity Invalid',
  commandNotSupportedForQueueInCmb: 'Command Not Supported for Queue in CMB',
  namespaceWriteProtected: 'Namespace is Write Protected',
  commandInterrupted: 'Command Interrupted',
  transientTransportError: 'Transient Transport Error',
  prohibitedByLockdown: 'Command Prohibited by Command and Feature Lockdown',
  adminCommandMediaNotReady: 'Admin Command Media Not Ready',
  invalidKeyTag: 'Invalid Key Tag',
  hostDispersedNamespaceNotEnabled: 'Host Dispersed Namespace Support Not Enabled',
  hostIdNotInitialized: 'Host Identifier Not Initialized',
  incorrectKey: 'Incorrect Key',
  fdpDisabled: 'FDP Disabled',
  invalidPlacementHandleList: 'Invalid Placement Handle List',
  lbaOutOfRange: 'LBA Out of Range',
  capacityExceeded: 'Capacity Exceeded',
  namespaceNotReady: 'Namespace Not Ready',
  reservationConflict: 'Reservation Conflict',
  formatInProgress: 'Format In Progress',
  invalidValueSize: 'Invalid Value Size',
  invalidKeySize: 'Invalid Key Size',
  keyDoesNotExist: 'KV Key Does Not Exist',
  unrecoveredError: 'Unrecovered Error',
  keyExists: 'Key Exists',
};

const command: Text<typeof commandStatus> = {
  completionQueueInvalid: 'Completion Queue Invalid',
  invalidQueueIdentifier: 'Invalid Queue Identifier',
  invalidQueueSize: 'Invalid Queue Size',
  abortCommandLimitExceeded: 'Abort Command Limit Exceeded',
  asyncEventRequestLimitExceeded: 'Asynchronous Event Request Limit Exceeded',
  invalidFirmwareSlot: 'Invalid Firmware Slot',
  invalidFirmwareImage: 'Invalid Firmware Image',
  invalidInterruptVector: 'Invalid Interrupt Vector',
  invalidLogPage: 'Invalid Log Page',
  invalidFormat: 'Invalid Format',
  firmwareNeedsConventionalReset: 'Firmware Activation Requires Conventional Reset',
  invalidQueueDeletion: 'Invalid Queue Deletion',
  featureNotSaveable: 'Feature Identifier Not Saveable',
  featureNotChangeable: 'Feature Not Changeable',
  featureNotNamespaceSpecific: 'Feature Not Namespace Specific',
  firmwareNeedsSubsystemReset: 'Firmware Activation Requires NVM Subsystem Reset',
  firmwareNeedsControllerReset: 'Firmware Activation Requires Controller Level Reset',
  firmwareNeedsMaximumTimeViolation: 'Firmware Activation Requires Maximum Time Violation',
  firmwareActivationProhibited: 'Firmware Activation Prohibited',
  overlappingRange: 'Overlapping Range',
  namespaceInsufficientCapacity: 'Namespace Insufficient Capacity',
  namespaceIdentifierUnavailable: 'Namespace Identifier Unavailable',
  namespaceAlreadyAttached: 'Namespace Already Attached',
  namespaceIsPrivate: 'Namespace Is Private',
  namespaceNotAttached: 'Namespace Not Attached',
  thinProvisioningNotSupported: 'Thin Provisioning Not Supported',
  controllerListInvalid: 'Controller List Invalid',
  deviceSelfTestInProgress: 'Device Self-test In Progress',
  bootPartitionWriteProhibited: 'Boot Partition Write Prohibited',
  invalidControllerIdentifier: 'Invalid Controller Identifier',
  invalidSecondaryControllerState: 'Invalid Secondary Controller State',
  invalidNumberOfControllerResources: 'Invalid Number of Controller Resources',
  invalidResourceIdentifier: 'Invalid Resource Identifier',
  sanitizeProhibitedWhilePmrEnabled: 'Sanitize Prohibited While Persistent Memory Region is Enabled',
  anaGroupIdentifierInvalid: 'ANA Group Identifier Invalid',
  anaAttachFailed: 'ANA Attach Failed',
  insufficientCapacity: 'Insufficient Capacity',
  namespaceAttachmentLimitExceeded: 'Namespace Attachment Limit Exceeded',
  prohibitionOfCommandNotSupported: 'Prohibition of Command Execution Not Supported',
  ioCommandSetNotSupported: 'I/O Command Set Not Supported',
  ioCommandSetNotEnabled: 'I/O Command Set Not Enabled',
  ioCommandSetCombinationRejected: 'I/O Command Set Combination Rejected',
  invalidIoCommandSet: 'Invalid I/O Command Set',
  identifierUnavailable: 'Identifier Unavailable',
  invalidControllerDataQueue: 'Invalid Controller Data Queue',
  notEnoughResources: 'Not Enough Resources',
  controllerSuspended: 'Controller Suspended',
  controllerNotSuspended: 'Controller Not Suspended',
  controllerDataQueueFull: 'Controller Data Queue Full',
  streamResourceAllocationFailed: 'Stream Resource Allocation Failed',
  conflictingAttributes: 'Conflicting Attributes',
  invalidProtectionInformation: 'Invalid Protection Information',
  writeToReadOnlyRange: 'Attempted Write to Read Only Range',
  commandSizeLimitExceeded: 'Command Size Limit Exceeded',
  incompatibleNamespaceOrFormat: 'Incompatible Namespace or Format',
  fastCopyNotPossible: 'Fast Copy Not Possible',
  overlappingIoRange: 'Overlapping I/O Range',
  insufficientResources: 'Insufficient Resources',
  invalidZoneOperationRequest: 'Invalid Zone Operation Request',
  zrwaResourcesUnavailable: 'ZRWA Resources Unavailable',
  zoneBoundaryError: 'Zone Boundary Error',
  zoneIsFull: 'Zone Is Full',
  zoneIsReadOnly: 'Zone Is Read Only',
  zoneIsOffline: 'Zone Is Offline',
  zoneInvalidWrite: 'Zone Invalid Write',
  tooManyActiveZones: 'Too Many Active Zones',
  tooManyOpenZones: 'Too Many Open Zones',
  invalidZoneStateTransition: 'Invalid Zone State Transition',
};

const fabrics: Text<typeof fabricsStatus> = {
  incompatibleFormat: 'Connect Incompatible Format',
  controllerBusy: 'Connect Controller Busy',
  connectInvalidParameters: 'Connect Invalid Parameters',
  connectRestartDiscovery: 'Connect Restart Discovery',
  connectInvalidHost: 'Connect Invalid Host',
  invalidQueueType: 'Invalid Queue Type',
  discoverRestart: 'Discover Restart',
  authenticationRequired: 'Authentication Required',
};

const media: Text<typeof mediaStatus> = {
  writeFault: 'Write Fault',
  unrecoveredReadError: 'Unrecovered Read Error',
  guardCheckError: 'End-to-end Guard Check Error',
  applicationTagCheckError: 'End-to-end Application Tag Check Error',
  referenceTagCheckError: 'End-to-end Reference Tag Check Error',
  compareFailure: 'Compare Failure',
  accessDenied: 'Access Denied',
  deallocatedOrUnwrittenBlock: 'Deallocated or Unwritten Logical Block',
  storageTagCheckError: 'End-to-End Storage Tag Check Error',
};

const path: Text<typeof pathStatus> = {
  internalPathError: 'Internal Path Error',
  anaPersistentLoss: 'Asymmetric Access Persistent Loss',
  anaInaccessible: 'Asymmetric Access Inaccessible',
  anaTransition: 'Asymmetric Access Transition',
  controllerPathingError: 'Controller Pathing Error',
  hostPathingError: 'Host Pathing Error',
  abortedByHost: 'Command Aborted By Host',
};

function byCode<T extends Readonly<Record<string, number>>>(codes: T, text: Text<T>): Map<number, string> {
  return new Map(Object.entries(codes).map(([key, code]) => [code, text[key as keyof T]]));
}

const fabricsText = byCode(fabricsStatus, fabrics);
const textByType = new Map([
  [statusType.generic as number, byCode(genericStatus, generic)],
  [statusType.commandSpecific, byCode(commandStatus, command)],
  [statusType.media, byCode(mediaStatus, media)],
  [statusType.path, byCode(pathStatus, path)],
]);

/**
 * The specification's name of a status. `ofFabricsCommand` selects the meaning of command specific codes for
 * opcode 7Fh. Codes nobody defined read `Unknown Status (sct 1h, sc f0h)`.
 */
export function statusText(sct: number, sc: number, ofFabricsCommand = false): string {
  if (sct === statusType.vendorSpecific) return `Vendor Specific Status ${sc.toString(16)}h`;
  const special = ofFabricsCommand && sct === statusType.commandSpecific ? fabricsText.get(sc) : undefined;
  const known = special ?? textByType.get(sct)?.get(sc);
  return known ?? `Unknown Status (sct ${sct.toString(16)}h, sc ${sc.toString(16)}h)`;
}
