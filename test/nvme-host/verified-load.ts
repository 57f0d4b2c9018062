import { Random } from '@spdk-ts/env';
import type { NvmeQpair } from '@spdk-ts/nvme';
import { crc32c } from '@spdk-ts/nvme-spec';
import { expect } from 'vitest';
import { eventually } from '../linux-guest/target.ts';
import type { HostBed } from './host-bed.ts';

const LANES = 8;
const LANE_BYTES = 256 * 1024;
const BLOCK = 512;

/** Writes and reads of random length, over and over, in places of their own: what is read must be what was written last. */
export class VerifiedLoad {
  /** Writes that have been read back. */
  rounds = 0;
  private stopping = false;
  private readonly lanes: Promise<unknown>;
  private readonly bed: HostBed;
  private readonly random: Random;
  private readonly queues: readonly NvmeQpair[];

  constructor(bed: HostBed, queues: readonly NvmeQpair[], seed: number) {
    this.bed = bed;
    this.queues = queues;
    this.random = new Random(seed);
    this.lanes = Promise.all(Array.from({ length: LANES }, (_, index) => this.lane(index)));
    this.lanes.catch(() => {});
  }

  private async lane(index: number): Promise<void> {
    const { bed, random } = this;
    const qpair = this.queues[index % this.queues.length]!;
    const from = bed.place(LANE_BYTES);
    const to = bed.place(LANE_BYTES);
    const view = new DataView(bed.memory.buffer, bed.memory.byteOffset + from, LANE_BYTES);
    while (!this.stopping) {
      const length = BLOCK * (1 + random.below(LANE_BYTES / BLOCK));
      for (let at = 0; at < length; at += 4) view.setUint32(at, random.below(2 ** 32), true);
      const lba = index * (LANE_BYTES / BLOCK);
      expect(await bed.write(qpair, lba, from, length), 'write').toBe(0);
      expect(await bed.read(qpair, lba, to, length), 'read').toBe(0);
      expect(crc32c(bed.memory, to, to + length), `${length} bytes at ${lba}`).toBe(
        crc32c(bed.memory, from, from + length),
      );
      this.rounds++;
    }
  }

  /** Resolves when so many more have been verified. Rejects with what went wrong, or after a minute. */
  async goesOn(more = 50): Promise<void> {
    const before = this.rounds;
    await Promise.race([this.lanes, eventually(60, 'I/O goes on', () => this.rounds > before + more)]);
  }

  /** Lets what is under way end. Rejects with what went wrong. */
  async stop(): Promise<void> {
    this.stopping = true;
    await this.lanes;
  }
}
