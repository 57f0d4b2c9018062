/** Codes of JSON-RPC 2.0 and the one SPDK adds. Beside these, answers carry raw negative errno numbers. */
export const rpcCode = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internalError: -32603,
  /** The method may not be called in the present state. Also -EPERM. */
  invalidState: -1,
} as const;

/** The two texts of `invalidState`, word for word SPDK's: scripts match on them. */
export const stateMessage = {
  startup: 'Method may only be called after framework is initialized using framework_start_init RPC.',
  runtime:
    'Method may only be called before framework is initialized. Use --wait-for-rpc command line parameter and then issue this RPC before the framework_start_init RPC.',
} as const;

/** Linux errno numbers that answers use, with the text of strerror(3). */
const errnoTable = {
  EPERM: [1, 'Operation not permitted'],
  ENOENT: [2, 'No such file or directory'],
  EINTR: [4, 'Interrupted system call'],
  EIO: [5, 'Input/output error'],
  ENXIO: [6, 'No such device or address'],
  EBADF: [9, 'Bad file descriptor'],
  EAGAIN: [11, 'Resource temporarily unavailable'],
  ENOMEM: [12, 'Cannot allocate memory'],
  EACCES: [13, 'Permission denied'],
  EFAULT: [14, 'Bad address'],
  EBUSY: [16, 'Device or resource busy'],
  EEXIST: [17, 'File exists'],
  ENODEV: [19, 'No such device'],
  ENOTDIR: [20, 'Not a directory'],
  EISDIR: [21, 'Is a directory'],
  EINVAL: [22, 'Invalid argument'],
  EMFILE: [24, 'Too many open files'],
  EFBIG: [27, 'File too large'],
  ENOSPC: [28, 'No space left on device'],
  EROFS: [30, 'Read-only file system'],
  EPIPE: [32, 'Broken pipe'],
  ERANGE: [34, 'Numerical result out of range'],
  ENAMETOOLONG: [36, 'File name too long'],
  ENOSYS: [38, 'Function not implemented'],
  ENOKEY: [126, 'Required key not available'],
  EPROTO: [71, 'Protocol error'],
  EBADMSG: [74, 'Bad message'],
  EILSEQ: [84, 'Invalid or incomplete multibyte or wide character'],
  ENOTSUP: [95, 'Operation not supported'],
  EADDRINUSE: [98, 'Address already in use'],
  EADDRNOTAVAIL: [99, 'Cannot assign requested address'],
  ECONNRESET: [104, 'Connection reset by peer'],
  ENOBUFS: [105, 'No buffer space available'],
  ETIMEDOUT: [110, 'Connection timed out'],
  ECONNREFUSED: [111, 'Connection refused'],
  EALREADY: [114, 'Operation already in progress'],
  EINPROGRESS: [115, 'Operation now in progress'],
  ECANCELED: [125, 'Operation canceled'],
} as const satisfies Record<string, readonly [number, string]>;

export type ErrnoName = keyof typeof errnoTable;

/** Positive errno numbers by name: `errno.ENODEV` is 19. */
export const errno = Object.fromEntries(
  Object.entries(errnoTable).map(([name, [number]]) => [name, number]),
) as { readonly [N in ErrnoName]: number };

const texts = new Map<number, string>(Object.values(errnoTable).map(([number, text]) => [number, text]));

/** The text of strerror(3) for a positive or negative errno number. */
export function strerror(number: number): string {
  const positive = Math.abs(number);
  return texts.get(positive) ?? `Unknown error ${positive}`;
}

/**
 * An answer that is an error. Handlers throw it; the client throws it for error answers it receives. `code` is one
 * of `rpcCode` or a negative errno, `message` says what is wrong with which value and what to do, `data` is any JSON.
 */
export class RpcError extends Error {
  readonly code: number;
  readonly data: unknown;

  constructor(code: number, message: string, data?: unknown) {
    super(message);
    this.name = 'RpcError';
    this.code = code;
    this.data = data;
  }

  toJSON(): { code: number; message: string; data?: unknown } {
    const { code, message, data } = this;
    return data === undefined ? { code, message } : { code, message, data };
  }
}

/**
 * An RpcError with a negative errno as its code. The message begins with the text of strerror(3), which is all that
 * SPDK sends and scripts match on, followed by the explanation: `errnoError('ENODEV', 'no bdev is named "x"; …')`
 * gives -19 `No such device: no bdev is named "x"; …`.
 */
export function errnoError(which: ErrnoName | number, explanation?: string, data?: unknown): RpcError {
  const number = typeof which === 'number' ? Math.abs(which) : errno[which];
  const text = strerror(number);
  return new RpcError(-number, explanation === undefined ? text : `${text}: ${explanation}`, data);
}

/** An RpcError -32602 `Invalid parameters: …`, for what the schema cannot express. */
export function invalidParams(explanation: string, parameter?: string): RpcError {
  const data = parameter === undefined ? undefined : { parameter };
  return new RpcError(rpcCode.invalidParams, `Invalid parameters: ${explanation}`, data);
}

const hasErrno = (error: Error): error is Error & { errno: number; code: string } =>
  typeof (error as { errno?: unknown }).errno === 'number';

/**
 * Whatever a handler threw, as an RpcError. Errors that carry an `errno` (those of node:fs, and those of our own
 * packages' tables) become that errno; any other is -32603 with its message.
 */
export function toRpcError(thrown: unknown): RpcError {
  if (thrown instanceof RpcError) return thrown;
  if (thrown instanceof Error) {
    if (hasErrno(thrown) && thrown.errno !== 0) {
      const text = strerror(thrown.errno);
      const explanation = thrown.message.startsWith(text)
        ? thrown.message.slice(text.length).replace(/^: /, '')
        : thrown.message;
      return errnoError(thrown.errno, explanation === '' ? undefined : explanation);
    }
    return new RpcError(rpcCode.internalError, `Internal error: ${thrown.message}`);
  }
  return new RpcError(rpcCode.internalError, `Internal error: ${String(thrown)}`);
}
