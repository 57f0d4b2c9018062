import { GuestMemoryError } from './error.ts';

/** A range of another process's memory. */
export interface MemoryRange {
  /** Where it begins there (guest-physical address or IOVA), below 2^52, a multiple of 4096. */
  readonly address: number;
  /** Bytes, a multiple of 4096. */
  readonly length: number;
  /** Descriptor of the memory, open while it is being mapped, and where the range begins in it, bytes. */
  readonly fd: number;
  readonly offset: number;
  /** False: it may be read only. */
  readonly writable: boolean;
}

const PAGE_BYTES = 4096;
/** End of what processors address: beyond it a number may not be exact when lengths are added. */
export const ADDRESS_END = 2 ** 52;

const hex = (value: number): string => `0x${value.toString(16)}`;
export const describeRange = (address: number, length: number): string =>
  `${hex(address)} … ${hex(address + length - 1)}`;

/** Throws GuestMemoryError for a range that is none. */
export function checkRange(range: MemoryRange): void {
  const { address, length, offset } = range;
  for (const [name, value] of Object.entries({ address, length, offset })) {
    if (!Number.isInteger(value) || value < 0 || value > ADDRESS_END)
      throw new GuestMemoryError('EINVAL', `${name} ${value} of a memory range is not in 0 … 2^52`);
    if (value % PAGE_BYTES !== 0)
      throw new GuestMemoryError(
        'EINVAL',
        `${name} ${hex(value)} of a memory range is not a multiple of ${PAGE_BYTES}`,
      );
  }
  if (length === 0) throw new GuestMemoryError('EINVAL', `the memory range at ${hex(address)} has no bytes`);
  if (address + length > ADDRESS_END)
    throw new GuestMemoryError(
      'EINVAL',
      `the memory range ${describeRange(address, length)} ends beyond 2^52`,
    );
}
