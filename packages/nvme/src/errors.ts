import { pathStatus, status, statusSc, statusSct, statusText, statusType } from '@spdk-ts/nvme-spec';

/** What went wrong, for programs. */
export type NvmeErrorCode =
  /** No connection could be made, or it was lost: `message` tells the system's reason. */
  | 'ECONNECT'
  /** The controller did not answer in time. */
  | 'ETIMEOUT'
  /** The controller broke a rule of the specification; the connection has been closed. */
  | 'EPROTOCOL'
  /** A command ended with another status than success: `status` has it. */
  | 'ESTATUS'
  /** The controller cannot do what was asked for, or not with these options. */
  | 'EUNSUPPORTED'
  /** The controller wants authentication, or TLS, that it was not given, or one side does not believe the other. */
  | 'EAUTH'
  /** The controller, or the queue pair, has been closed. */
  | 'ECLOSED'
  /** A parameter of the call is wrong. */
  | 'EINVAL';

/** An error of the host library. `status` is the 15-bit status of a command, 0 where none failed. */
export class NvmeError extends Error {
  readonly code: NvmeErrorCode;
  readonly status: number;

  constructor(code: NvmeErrorCode, message: string, status = 0) {
    super(message);
    this.name = 'NvmeError';
    this.code = code;
    this.status = status;
  }
}

/** A command's status in words, with its numbers: `Invalid Field in Command (sct 0, sc 02h)`. */
export function describeStatus(status: number, fabrics = false): string {
  const [sct, sc] = [statusSct(status), statusSc(status)];
  return `${statusText(sct, sc, fabrics)} (sct ${sct}, sc ${sc.toString(16).padStart(2, '0')}h)`;
}

/** Statuses that this host makes up for commands that have no answer. */
export const hostStatus = {
  /** The connection was lost, or closed, before the command ended: whether it was carried out is not known. */
  ABORTED: status(statusType.path, pathStatus.abortedByHost),
  /** There was no connection: the command was not sent. */
  NO_PATH: status(statusType.path, pathStatus.hostPathingError),
} as const;
