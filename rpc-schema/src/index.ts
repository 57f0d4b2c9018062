export * from './method.ts';
export * from './methods/bdev.ts';
export * from './methods/nvmf.ts';
export * from './registry.ts';
export * from './types.ts';
export * from './validate.ts';
