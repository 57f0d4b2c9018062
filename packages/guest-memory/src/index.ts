/** Memory of another process (a guest's RAM) as regions of this one, found by its address there. */
export { GuestMemoryError, type GuestMemoryErrorCode } from './error.ts';
export { type GatherList, GuestMemory } from './guest-memory.ts';
export type { MemoryRange } from './range.ts';
