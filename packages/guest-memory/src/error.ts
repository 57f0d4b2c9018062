/** `EINVAL`: the range is wrong; `EEXIST`: a part of it is mapped; `EACCES`, `ENOMEM`, …: what the system answered. */
export type GuestMemoryErrorCode = string;

/** Why a range cannot be mapped. */
export class GuestMemoryError extends Error {
  readonly code: GuestMemoryErrorCode;

  constructor(code: GuestMemoryErrorCode, message: string) {
    super(message);
    this.name = 'GuestMemoryError';
    this.code = code;
  }
}
