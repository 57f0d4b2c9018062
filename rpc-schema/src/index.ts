export * from './cli.ts';
export * from './markdown.ts';
export * from './method.ts';
export * from './methods/bdev.ts';
export { addressInfo, discoveryNqn, listenAddress } from './methods/nvmf-common.ts';
export * from './registry.ts';
export * from './types.ts';
export * from './validate.ts';
