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
export { fileInstance } from './instance.ts';
export { KernelIoVec } from './kernel-iovec.ts';
export { setFileBytes } from './node-open-file.ts';
export { FileOperation, Phase } from './operation.ts';
export { RingEngine } from './ring-engine.ts';
