export type { Output } from './output.ts';
export { type RunInput, run } from './run.ts';
