import { fstatSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

/** What the kernel's driver takes in one command for a namespace, and whether it has polled queues. */
export interface QueueLimits {
  readonly transfer_bytes: number;
  /** Pieces of memory. */
  readonly segments: number;
  readonly polled: boolean;
}

/** Of a namespace without a block device (its command set is unknown to the kernel): what every PCI controller takes. */
const CAUTIOUS: QueueLimits = { transfer_bytes: 126 * 4096, segments: 126, polled: false };
const PAGE_BYTES = 4096;

/** The limits of the queue of a namespace's generic device: those of its block device, which sysfs tells. */
export function queueLimits(fd: number): QueueLimits {
  const { rdev } = fstatSync(fd);
  const major = Math.floor(rdev / 256) & 0xfff;
  const minor = (rdev & 0xff) | ((Math.floor(rdev / 0x100000) & 0xfff) << 8);
  try {
    const generic = basename(readlinkSync(`/sys/dev/char/${major}:${minor}`));
    const queue = `/sys/block/${generic.replace(/^ng/, 'nvme')}/queue`;
    const number = (name: string): number => Number(readFileSync(`${queue}/${name}`, 'utf8'));
    // Data that begin inside a page touch one more; each page may be a piece of its own.
    const segments = Math.max(1, number('max_segments') - 1);
    const transfer_bytes = Math.min(number('max_hw_sectors_kb') * 1024, segments * PAGE_BYTES);
    return { transfer_bytes, segments, polled: number('io_poll') > 0 };
  } catch {
    return CAUTIOUS;
  }
}
