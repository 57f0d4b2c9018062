// The face of this package for browsers: nothing that needs Node.
export * from './client.ts';
export * from './config.ts';
export * from './errors.ts';
export * from './websocket-client.ts';
