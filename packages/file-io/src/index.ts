export { type AioFileContext, aioUnavailable } from './aio-context.ts';
export type { FileContext } from './context.ts';
export {
  type EngineFactory,
  type EngineOwner,
  type FileEngine,
  PUNCH_HOLE,
  RWF_DSYNC,
  TRANSFER_BYTES_MAX,
  ZERO_RANGE,
} from './engine.ts';
export {
  closeFileBdev,
  createFileBdev,
  type FileBdevOptions,
  findFileBdev,
  rescanFileBdev,
} from './file-bdev-control.ts';
export { FileChannel } from './file-channel.ts';
export { aioInstance, fileInstance } from './instance.ts';
export { KernelIoVec } from './kernel-iovec.ts';
export { type FileZones, unknownPointers } from './kernel-zones.ts';
export { NodeEngine } from './node-engine.ts';
export { fileError, notPolled, setFileBytes } from './node-open-file.ts';
export * as nvmePassthrough from './nvme-passthrough.ts';
export { FileOperation, Phase } from './operation.ts';
export { ringUnavailable } from './ring-control.ts';
export { RingEngine } from './ring-engine.ts';
export { type SideRingKind, sideRing } from './side-ring.ts';
export { ZoneOrder } from './zone-order.ts';
export { ZonedFileChannel } from './zoned-file-channel.ts';
