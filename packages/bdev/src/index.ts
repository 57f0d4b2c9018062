export { BdevIo, type BdevIoOwner, IoState } from './bdev-io.ts';
export { BdevChannel } from './channel.ts';
export type { BdevDescription, BdevSpec } from './description.ts';
export { Errno, IoStatus, ioErrorNames } from './io-status.ts';
export {
  IO_TYPE_COUNT,
  IoType,
  type IoTypeName,
  ioTypeMask,
  ioTypeNames,
  MODIFYING_TYPES,
} from './io-type.ts';
export { IoVec } from './iovec.ts';
export type {
  BdevInstance,
  BdevModule,
  BdevModuleContext,
  BdevReactorModule,
  ModuleChannel,
} from './module.ts';
