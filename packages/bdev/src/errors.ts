import { Errno } from './io-status.ts';

const texts: Record<number, string> = {
  [Errno.EPERM]: 'Operation not permitted',
  [Errno.ENOENT]: 'No such file or directory',
  [Errno.EIO]: 'Input/output error',
  [Errno.ENXIO]: 'No such device or address',
  [Errno.EAGAIN]: 'Resource temporarily unavailable',
  [Errno.ENOMEM]: 'Cannot allocate memory',
  [Errno.EACCES]: 'Permission denied',
  [Errno.EFAULT]: 'Bad address',
  [Errno.EBUSY]: 'Device or resource busy',
  [Errno.EEXIST]: 'File exists',
  [Errno.ENODEV]: 'No such device',
  [Errno.EISDIR]: 'Is a directory',
  [Errno.EINVAL]: 'Invalid argument',
  [Errno.EFBIG]: 'File too large',
  [Errno.ENOSPC]: 'No space left on device',
  [Errno.EROFS]: 'Read-only file system',
  [Errno.ENOTSUP]: 'Operation not supported',
  [Errno.EALREADY]: 'Operation already in progress',
};

/**
 * A refused call of the control plane. `code` is a negative errno, which is also the code of the RPC answer; the
 * message starts with the errno's text and goes on with which value was wrong and what to do.
 */
export class BdevError extends Error {
  readonly code: number;
  /** The same as a positive number: what the RPC server looks for. */
  readonly errno: number;

  constructor(code: number, explanation: string) {
    super(`${texts[code] ?? `Error ${-code}`}: ${explanation}`);
    this.name = 'BdevError';
    this.code = code;
    this.errno = -code;
  }

  /** The error of a reactor's answer, with the code that it had there; other errors as they are. */
  static from(error: unknown): unknown {
    const { message, code } = error as Error & { code?: unknown };
    if (error instanceof BdevError || typeof code !== 'number' || code >= 0) return error;
    const text = texts[code];
    return new BdevError(
      code,
      text && message.startsWith(`${text}: `) ? message.slice(text.length + 2) : message,
    );
  }
}
