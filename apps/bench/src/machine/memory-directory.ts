import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import type { Scope } from '../scope.ts';
import { Skip } from '../skip.ts';

const SHARED_MEMORY = '/dev/shm';

/** A directory on a file system in memory that lives as long as the scope. Throws Skip where there is none. */
export function memoryDirectory(scope: Scope): string {
  if (!existsSync(SHARED_MEMORY)) throw new Skip(`there is no file system in memory at ${SHARED_MEMORY}`);
  const directory = mkdtempSync(`${SHARED_MEMORY}/spdk-bench-`);
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  scope.defer(async () => remove(), remove);
  return directory;
}
