import { statSync, unlinkSync } from 'node:fs';

/** True if there is a folder of this path. */
export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** Removes a socket's path; what is no socket stays. */
export function removeSocket(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isSocket() === true) unlinkSync(path);
}
