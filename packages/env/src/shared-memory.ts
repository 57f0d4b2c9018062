import { native } from '@spdk-ts/native';

/**
 * Memory that every thread of the process can reach, as something that can be sent to another thread. The addon's
 * is aligned to 2 MiB and copied at full speed; without it a SharedArrayBuffer serves. Either is zeroed, and
 * committed by the kernel as it is touched.
 */
export type SharedMemory =
  | { readonly handle: number; readonly bytes: number }
  | { readonly buffer: SharedArrayBuffer; readonly bytes: number };

/**
 * Reserves memory. Throws an Error if there is not enough address space. `bytes`: 4 GiB at most. `descriptor`: other
 * processes can map it (vfio-user); without the addon none can.
 */
export function allocateSharedMemory(bytes: number, descriptor = false): SharedMemory {
  if (native === null) return { buffer: new SharedArrayBuffer(bytes), bytes };
  return { handle: native.allocateMemory(bytes, 1, descriptor ? 1 : 0), bytes };
}

/** The memory as this thread sees it. */
export function attachSharedMemory(memory: SharedMemory): Uint8Array {
  const buffer = 'handle' in memory ? native!.attachMemory(memory.handle) : memory.buffer;
  return new Uint8Array(buffer, 0, memory.bytes);
}

/** True if other processes can map the memory that these bytes lie in: it was reserved with a descriptor. */
export function isShareable(bytes: Uint8Array): boolean {
  const behind = native?.memoryBehind(bytes) ?? null;
  if (behind !== null) native!.closeFd(behind.descriptor);
  return behind !== null;
}

/**
 * Gives whole pages of a range back to the system: they read as zeroes. Offset and length are multiples of 4096 bytes.
 * False, and nothing has happened, without the addon.
 */
export function discardSharedMemory(memory: SharedMemory, offset: number, length: number): boolean {
  if (!('handle' in memory)) return false;
  native!.discardMemory(memory.handle, offset, length);
  return true;
}

/** Lets the memory go once no thread is attached to it any more. */
export function releaseSharedMemory(memory: SharedMemory): void {
  if ('handle' in memory) native!.releaseMemory(memory.handle);
}
