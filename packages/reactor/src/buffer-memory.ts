import {
  allocateSharedMemory,
  attachSharedMemory,
  BufferPool,
  type BufferPoolOptions,
  releaseSharedMemory,
} from '@spdk-ts/env';

/** Memory for a reactor's buffers. It lives as long as somebody refers to it. `shareable`: other processes can map it. */
export function allocateBuffers(options: BufferPoolOptions, shareable: boolean): Uint8Array {
  const memory = allocateSharedMemory(BufferPool.size(options), shareable);
  const bytes = attachSharedMemory(memory);
  releaseSharedMemory(memory);
  return bytes;
}
