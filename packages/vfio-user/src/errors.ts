/** Errors as the protocol tells them: errno numbers of Linux. */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  E2BIG: 7,
  EBADF: 9,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  EMFILE: 24,
  ENOTTY: 25,
  ENOSPC: 28,
  EPROTO: 71,
  EOPNOTSUPP: 95,
  ESHUTDOWN: 108,
} as const;

export type ErrnoName = keyof typeof Errno;

const names = new Map<number, string>(Object.entries(Errno).map(([name, number]) => [number, name]));

/** The name of an errno number, or the number as text. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? String(errno);
}

/** The number of an errno name, `otherwise` where the protocol's users know none. */
export function errnoOf(code: unknown, otherwise: number = Errno.EIO): number {
  return (Errno as Record<string, number>)[String(code)] ?? otherwise;
}

/**
 * A message that is refused, or a command that was: `errno` is what the reply says. `fatal`: the stream cannot be
 * trusted any more, and the connection is to be closed.
 */
export class VfioUserError extends Error {
  readonly errno: number;
  readonly fatal: boolean;

  constructor(errno: number, text: string, fatal = false) {
    super(text);
    this.name = 'VfioUserError';
    this.errno = errno;
    this.fatal = fatal;
  }

  get code(): string {
    return errnoName(this.errno);
  }
}

export function invalid(text: string): VfioUserError {
  return new VfioUserError(Errno.EINVAL, text);
}
