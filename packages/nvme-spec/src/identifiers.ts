/**
 * What a command selects by number: Identify structures (CNS), log pages (LID), features (FID) and I/O command
 * sets (CSI).
 */
import { namesOf } from './names.ts';

/** NSID that means "all namespaces", or none in particular. */
export const NSID_ALL = 0xffff_ffff;

/** Controller or Namespace Structure (Base 2.0, 5.17). `Csi` ones depend on the command set in CDW11 31:24. */
export const cns = {
  namespace: 0x00,
  controller: 0x01,
  activeNamespaceList: 0x02,
  namespaceDescriptors: 0x03,
  nvmSetList: 0x04,
  csiNamespace: 0x05,
  csiController: 0x06,
  csiActiveNamespaceList: 0x07,
  independentNamespace: 0x08,
  namespaceByFormat: 0x09,
  csiNamespaceByFormat: 0x0a,
  allocatedNamespaceList: 0x10,
  allocatedNamespace: 0x11,
  attachedControllerList: 0x12,
  controllerList: 0x13,
  primaryControllerCapabilities: 0x14,
  secondaryControllerList: 0x15,
  namespaceGranularityList: 0x16,
  uuidList: 0x17,
  domainList: 0x18,
  enduranceGroupList: 0x19,
  csiAllocatedNamespaceList: 0x1a,
  csiAllocatedNamespace: 0x1b,
  ioCommandSets: 0x1c,
} as const;

/** Log Page Identifier (Base 2.0, 5.16). */
export const lid = {
  supportedLogPages: 0x00,
  errorInformation: 0x01,
  smart: 0x02,
  firmwareSlot: 0x03,
  changedNamespaceList: 0x04,
  commandEffects: 0x05,
  deviceSelfTest: 0x06,
  telemetryHost: 0x07,
  telemetryController: 0x08,
  enduranceGroup: 0x09,
  predictableLatencyPerNvmSet: 0x0a,
  predictableLatencyEvents: 0x0b,
  ana: 0x0c,
  persistentEvent: 0x0d,
  lbaStatus: 0x0e,
  enduranceGroupEvents: 0x0f,
  mediaUnitStatus: 0x10,
  capacityConfigurations: 0x11,
  featureEffects: 0x12,
  nvmeMiEffects: 0x13,
  lockdown: 0x14,
  bootPartition: 0x15,
  rotationalMedia: 0x16,
  fdpConfigurations: 0x20,
  reclaimUnitHandleUsage: 0x21,
  fdpStatistics: 0x22,
  fdpEvents: 0x23,
  discovery: 0x70,
  reservationNotification: 0x80,
  sanitizeStatus: 0x81,
  changedZoneList: 0xbf,
} as const;

/** Feature Identifier (Base 2.0, 5.27.1; NVM Command Set 1.0, 4.1.3). */
export const fid = {
  arbitration: 0x01,
  powerManagement: 0x02,
  lbaRangeType: 0x03,
  temperatureThreshold: 0x04,
  errorRecovery: 0x05,
  volatileWriteCache: 0x06,
  numberOfQueues: 0x07,
  interruptCoalescing: 0x08,
  interruptVectorConfiguration: 0x09,
  writeAtomicity: 0x0a,
  asyncEventConfiguration: 0x0b,
  autonomousPowerStateTransition: 0x0c,
  hostMemoryBuffer: 0x0d,
  timestamp: 0x0e,
  keepAliveTimer: 0x0f,
  hostControlledThermalManagement: 0x10,
  nonOperationalPowerState: 0x11,
  readRecoveryLevel: 0x12,
  predictableLatencyMode: 0x13,
  predictableLatencyWindow: 0x14,
  lbaStatusInformation: 0x15,
  hostBehaviorSupport: 0x16,
  sanitizeConfig: 0x17,
  enduranceGroupEvents: 0x18,
  ioCommandSetProfile: 0x19,
  spinupControl: 0x1a,
  flexibleDataPlacement: 0x1d,
  fdpEvents: 0x1e,
  enhancedControllerMetadata: 0x7d,
  controllerMetadata: 0x7e,
  namespaceMetadata: 0x7f,
  softwareProgressMarker: 0x80,
  hostIdentifier: 0x81,
  reservationNotificationMask: 0x82,
  reservationPersistence: 0x83,
  namespaceWriteProtection: 0x84,
} as const;

/** Command Set Identifier. */
export const csi = { nvm: 0x0, keyValue: 0x1, zoned: 0x2 } as const;

export const cnsName = namesOf(cns);
export const lidName = namesOf(lid);
export const fidName = namesOf(fid);
export const csiName = namesOf(csi);
