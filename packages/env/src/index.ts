export * from './batch.ts';
export * from './buffer-pool.ts';
export * from './clock.ts';
export * from './cpuset.ts';
export * from './message-ring.ts';
export * from './random.ts';
export * from './regions.ts';
export * from './shared-memory.ts';
