import { getSystemErrorName } from 'node:util';
import { native, nativeUnavailable } from '@spdk-ts/native';
import type { FileContext } from './context.ts';

/** What every reactor needs to work on a file over kernel AIO. */
export interface AioFileContext extends FileContext {
  /** Holes and zeroed ranges are made with fallocate. */
  readonly fallocate: boolean;
  /** Requests that would wait in the kernel come back, and are tried again later. */
  readonly nowait: boolean;
}

/** Why there is no kernel AIO here; empty if there is. */
export function aioUnavailable(): string {
  if (native === null) return `needs the native addon, which is ${nativeUnavailable}`;
  const error = native.probeAio();
  if (error === 0) return '';
  const reasons: Record<number, string> = {
    1: 'forbidden, by seccomp or a security module',
    11: "all of the system's requests are in use (raise sysctl fs.aio-max-nr)",
    38: 'not in this kernel, or blocked by seccomp',
  };
  return `${reasons[error] ?? 'refused'}: io_setup: ${getSystemErrorName(-error)}`;
}
