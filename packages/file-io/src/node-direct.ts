import { readSync } from 'node:fs';
import { allocateSharedMemory, attachSharedMemory, releaseSharedMemory } from '@spdk-ts/env';
import { native, nativeUnavailable } from '@spdk-ts/native';

/** What came of asking for direct I/O. */
export interface Directness {
  readonly direct: boolean;
  /** Alignment that I/O's memory needs, bytes: a power of two; 1 for none. */
  readonly alignment: number;
  /** Why not, if not. */
  readonly why: string;
}

/** Where the kernel (before 6.1) or the file system does not tell: a page is enough for all of them. */
const CAUTIOUS_BYTES = 4096;

const buffered = (why: string): Directness => ({ direct: false, alignment: 1, why });

/** Sets O_DIRECT for an open file if blocks of `block_size` bytes can be read and written so. */
export function tryDirect(fd: number, block_size: number): Directness {
  if (native === null) return buffered(`O_DIRECT needs the native addon, which is ${nativeUnavailable}`);
  const needs = native.directAlignment(fd);
  if (needs !== null && needs.offset === 0) return buffered('its file system has no direct I/O');
  if (needs !== null && block_size % needs.offset !== 0)
    return buffered(
      `direct I/O goes by ${needs.offset} bytes there, which block_size ${block_size} does not`,
    );
  if (!native.setDirect(fd, 1)) return buffered('its file system refuses O_DIRECT');
  const why = probe(fd, block_size);
  if (why !== '') {
    native.setDirect(fd, 0);
    return buffered(why);
  }
  // Pieces of a gather list have to be as long as what offsets are aligned to: one rule for both.
  return {
    direct: true,
    alignment: needs === null ? CAUTIOUS_BYTES : Math.max(needs.memory, needs.offset),
    why,
  };
}

/** Reads the first block: some file systems take the flag and refuse the I/O. Empty, or why it does not work. */
function probe(fd: number, block_size: number): string {
  const memory = allocateSharedMemory(block_size);
  try {
    readSync(fd, attachSharedMemory(memory), 0, block_size, 0);
    return '';
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // Any other failure is the medium's, and will be told of when the block is read.
    return code === 'EINVAL' ? `its file system takes O_DIRECT, but no I/O with it (${message})` : '';
  } finally {
    releaseSharedMemory(memory);
  }
}
