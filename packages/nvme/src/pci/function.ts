/** What the driver of an NVMe controller needs of a PCI function: registers, interrupts, and memory that it may reach. */
import type { Dwords } from '@spdk-ts/nvme-spec';
import type { NvmeError } from '../errors.ts';

/** BAR0 from its doorbells on, where it can be mapped: a descriptor, and where they are in it; else `bar` is -1. */
export interface MappableBar {
  readonly bar: number;
  readonly bar_at: number;
  readonly bar_bytes: number;
  /** Offset in BAR0 of the first byte. */
  readonly bar_start: number;
}

/**
 * A PCI function that an NVMe controller is reached through. Each call rejects with an {@link NvmeError} if the function is gone, or does
 * not answer in time.
 */
export interface PciFunction extends MappableBar {
  /** For messages. */
  readonly name: string;
  /** MSI-X vectors. */
  readonly vectors: number;
  /** A socket that doorbells are written to by message, from any thread that copies it. */
  readonly socket: number;
  /** Told, once, when the function is gone. */
  onGone: ((error: NvmeError) => void) | null;
  /** Reads a register of four or eight bytes. */
  read(offset: number, bytes: 4 | 8): Promise<Dwords>;
  /** Writes a register of four bytes, or of eight if `hi` is given. */
  write(offset: number, lo: number, hi?: number): Promise<void>;
  /** Lets a vector signal an eventfd. */
  setInterrupt(vector: number, eventfd: number): Promise<void>;
  /** Lets the function reach memory at an address. */
  map(address: number, bytes: number, descriptor: number): Promise<void>;
  /** Takes it away: afterwards the function touches it no more. */
  unmap(address: number, bytes: number): Promise<void>;
  /** Resets the function: afterwards it touches no memory. */
  reset(): Promise<void>;
  close(error: NvmeError): void;
}
