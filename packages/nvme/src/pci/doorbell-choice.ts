/** Which doorbells a controller's queues are rung with: mapped, by messages, or shadow doorbells (Base 2.0, 5.8). */
import {
  allocateSharedMemory,
  attachSharedMemory,
  releaseSharedMemory,
  type SharedMemory,
} from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import { adminOpcode } from '@spdk-ts/nvme-spec';
import type { Commands } from '../commands.ts';
import { NvmeError } from '../errors.ts';
import { DoorbellKind, type doorbellKinds, doorbellOffset } from './doorbell.ts';
import type { PciFunction } from './function.ts';

/** What the option says. */
export type WantedDoorbells = 'auto' | (typeof doorbellKinds)[number];

/** True if doorbells can be mapped: those of the first I/O queue at least. `dstrd` as in CAP. */
export function mappable(fn: PciFunction, dstrd: number): boolean {
  return fn.bar >= 0 && doorbellOffset(1, true, dstrd) + 4 <= fn.bar_start + fn.bar_bytes;
}

/** How the admin queue is rung. */
export function adminKind(wanted: WantedDoorbells, mapped: boolean): number {
  return mapped && (wanted === 'auto' || wanted === 'mapped') ? DoorbellKind.MAPPED : DoorbellKind.TRAPPED;
}

/**
 * How I/O queues are rung: as is wanted, else mapped, with shadow doorbells, or by messages. `mapped` and `shadow`: what the server and the
 * controller have. Throws an {@link NvmeError} for what they do not have.
 */
export function ioKind(name: string, wanted: WantedDoorbells, mapped: boolean, shadow: boolean): number {
  if (wanted === 'mapped' && !mapped)
    throw new NvmeError('EUNSUPPORTED', `${name}: the server lets no doorbells be mapped`);
  if (wanted === 'shadow' && !shadow)
    throw new NvmeError('EUNSUPPORTED', `${name}: the controller has no Doorbell Buffer Config`);
  if (wanted === 'mapped' || (wanted === 'auto' && mapped)) return DoorbellKind.MAPPED;
  return wanted === 'trapped' || !shadow ? DoorbellKind.TRAPPED : DoorbellKind.SHADOW;
}

/** Memory of shadow doorbells and event indices, which outlives connections. */
export class ShadowPages {
  private memory: SharedMemory | null = null;

  /** Doorbell Buffer Config: two pages of zeroes. Resolves with the handle of their memory. */
  async configure(fn: PciFunction, commands: Commands, page_bytes: number): Promise<number> {
    this.memory ??= allocateSharedMemory(2 * page_bytes, true);
    const bytes = attachSharedMemory(this.memory);
    bytes.fill(0);
    const behind = native!.memoryBehind(bytes)!;
    try {
      await fn.map(behind.address, behind.bytes, behind.descriptor);
    } finally {
      native!.closeFd(behind.descriptor);
    }
    const pages = { prp1: behind.address, prp2: behind.address + page_bytes };
    await commands.succeed(
      { opcode: adminOpcode.doorbellBufferConfig, ...pages },
      { what: 'Doorbell Buffer Config' },
    );
    return 'handle' in this.memory ? this.memory.handle : -1;
  }

  release(): void {
    if (this.memory !== null) releaseSharedMemory(this.memory);
    this.memory = null;
  }
}
