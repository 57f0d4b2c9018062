import { BufferPool, type BufferPoolOptions } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';

/** A pool's memory, and its address where that is known. */
export interface BufferMemory {
  readonly bytes: Uint8Array;
  readonly address: number;
}

/**
 * Memory for a reactor's buffers. The addon's is aligned, has an address, and is copied at full speed; without it a
 * SharedArrayBuffer serves, which the kernel commits as it is touched, too.
 */
export function allocateBuffers(options: BufferPoolOptions): BufferMemory {
  const size = BufferPool.size(options);
  if (native === null) return { bytes: new Uint8Array(new SharedArrayBuffer(size)), address: 0 };
  const handle = native.allocateMemory(size);
  const memory = {
    bytes: new Uint8Array(native.attachMemory(handle)),
    address: native.memoryAddress(handle),
  };
  native.releaseMemory(handle); // it lives as long as its ArrayBuffer
  return memory;
}
