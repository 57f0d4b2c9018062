export { BdevIo, type BdevIoOwner, IoState, ZcopyPhase } from './bdev-io.ts';
export { BdevService, getBdevService, registerReactorModule } from './bdev-service.ts';
export { BdevChannel } from './channel.ts';
export type { ClaimOptions, ClaimType } from './claim-control.ts';
export { type DataPlace, dataDigest, placeDigest } from './data-digest.ts';
export type { BdevDescription, BdevSpec } from './description.ts';
export type { BdevDescriptor, BdevEvent, BdevOpenOptions, MediaEvent } from './entry-control.ts';
export { BdevError } from './errors.ts';
export { copyFromIo, copyToIo, ioEquals } from './gather.ts';
export { defaultHistogram, Histogram, type HistogramOptions } from './histogram.ts';
export { type BdevInfo, supportedIoTypes } from './info.ts';
export { addIoStat, countIo, type IoStatJson, ioStatJson, newIoStat, type StatResetMode } from './io-stat.ts';
export { Errno, IoStatus, ioErrorNames } from './io-status.ts';
export {
  IO_TYPE_COUNT,
  IoType,
  type IoTypeName,
  ioTypeMask,
  ioTypeNames,
  KV_TYPES,
  MODIFYING_TYPES,
} from './io-type.ts';
export type { LateIo } from './io-watch-control.ts';
export { IoVec } from './iovec.ts';
export { KV_KEY_BYTES_MAX, type KvLimits, KvStatus, KvStoreOption } from './kv.ts';
export { Memory } from './memory.ts';
export {
  dataBlockSize,
  difChecks,
  difOf,
  difStatus,
  difTagsOf,
  hideMetadata,
  piecesOfIo,
  piecesOfMetadata,
} from './metadata.ts';
export { checkMetadata, type MetadataParams } from './metadata-control.ts';
export type {
  BdevInstance,
  BdevModule,
  BdevModuleContext,
  BdevReactorModule,
  ModuleCall,
  ModuleChannel,
} from './module.ts';
export { checkBlockSize, checkNumber, uuidOf } from './naming-control.ts';
export { sendsData } from './nvme-passthru.ts';
export { type BdevOptions, defaultBdevOptions, ZERO_BYTES } from './options.ts';
export { ParkedIo } from './parked-io.ts';
export {
  BDEV_PLUGIN_API,
  type BdevControlPlugin,
  type BdevPluginContext,
  type ModuleCapability,
  type ModuleKey,
  type ModuleKeyring,
} from './plugin-control.ts';
export type { QueueDepthStat } from './queue-depth.ts';
export type { LbaRangeLock } from './range-lock.ts';
export { type RateLimits, rateLimitNames } from './rate-limits.ts';
export { type BdevNotification, BdevRegistry, type ConfigCall } from './registry-control.ts';
export { type RpcRegistrar, registerBdevRpcs } from './rpc-control.ts';
export type { BdevIoWaiter } from './thread-context.ts';
export { getZoneInfo, zoneAppend, zoneAppendv, zoneManagement, zoneManagementAll } from './zone-calls.ts';
export { type SharedZones, type ZoneParams, zonedSpec, zoneParams, zonesFor } from './zone-geometry.ts';
export { completeZoneIo, reportZones, touchesOffline } from './zone-io.ts';
export { type ZoneInfo, ZoneReport } from './zone-report.ts';
export { noZonesToWear, type WornZoneState, wearZone } from './zone-wear-control.ts';
export type { BdevZones } from './zoned.ts';
export { ZonedChannel } from './zoned-channel.ts';

/** The layer's plugin for reactors: before those of the modules. */
export const bdevReactorEntry: string = new URL('./reactor.js', import.meta.url).href;
