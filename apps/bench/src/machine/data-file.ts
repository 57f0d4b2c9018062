import { randomFillSync } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';

const CHUNK = 4 * 2 ** 20;

/**
 * The file below file bdevs: filled with data that does not compress, since holes are read without the device.
 * One at a time: another size replaces it.
 */
export class DataFile {
  readonly #directory: () => string;
  #path: string | null = null;
  #bytes = 0;

  /** `directory` is asked for when the first file is made. */
  constructor(directory: () => string) {
    this.#directory = directory;
  }

  /** Its path, when it has `bytes` bytes. Throws an Error if they cannot be written. */
  async of(bytes: number): Promise<string> {
    this.#path ??= join(this.#directory(), 'data');
    if (this.#bytes === bytes) return this.#path;
    this.#bytes = 0;
    await rm(this.#path, { force: true });
    const chunk = randomFillSync(Buffer.alloc(CHUNK));
    const file = await open(this.#path, 'w');
    try {
      for (let at = 0; at < bytes; at += CHUNK) {
        await file.write(chunk, 0, Math.min(CHUNK, bytes - at), at);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    this.#bytes = bytes;
    return this.#path;
  }
}
