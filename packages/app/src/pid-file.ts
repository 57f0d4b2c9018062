import { rmSync, writeFileSync } from 'node:fs';

/** Writes the process id to a file. Returns a function that removes it. Throws an Error that names the file. */
export function writePidFile(path: string): () => void {
  try {
    writeFileSync(path, `${process.pid}\n`);
  } catch (error) {
    throw new Error(`cannot write the pid file: ${(error as Error).message}`);
  }
  return () => rmSync(path, { force: true });
}
