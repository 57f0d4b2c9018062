import { type BdevIo, IoType } from '@spdk-ts/bdev';
import { Bitmap } from '@spdk-ts/load';
import type { Thread } from '@spdk-ts/reactor';
import { Job, type JobEvents } from './job.ts';
import { describeMismatch, fillPattern, findMismatch } from './pattern.ts';
import type { JobSpec } from './protocol.ts';

/**
 * Writes a pattern of its own to each place in turn, reads it back into another buffer and compares. No place
 * has two I/Os at a time.
 */
export class VerifyJob extends Job {
  private readonly busy: Bitmap;
  private readonly generations: Int32Array;
  private readonly block_words: number;
  private readonly buffer_words: number;
  private generation = 0;

  constructor(spec: JobSpec, thread: Thread, events: JobEvents) {
    super(spec, Math.min(spec.queue_depth, spec.size_in_ios), 2, thread, events);
    this.busy = new Bitmap(spec.size_in_ios);
    this.generations = new Int32Array(this.depth);
    this.block_words = spec.block_size / 4;
    this.buffer_words = spec.io_size / 4;
  }

  private place(block: number): number {
    return block / this.io_blocks - this.spec.ios_base;
  }

  protected override submitNext(slot: number, io: BdevIo): void {
    let block = this.nextBlock();
    while (this.busy.has(this.place(block))) block = this.nextBlock();
    this.busy.set(this.place(block));
    this.generation = (this.generation + 1) | 0;
    this.generations[slot] = this.generation;
    io.offset_blocks = block;
    io.type = IoType.WRITE;
    io.offset = 2 * slot * this.spec.io_size;
    const { io_blocks, block_words, generation } = this;
    const at = 2 * slot * this.buffer_words;
    fillPattern(this.words, at, block, io_blocks, block_words, generation, this.spec.seed);
    this.submit(slot, io);
  }

  protected override abandoned(slot: number): void {
    this.busy.clear(this.place(this.ios[slot]!.offset_blocks));
  }

  override bdevIoDone(io: BdevIo): void {
    const slot = io.ownerIndex;
    const ok = this.arrived(slot, io);
    if (ok && io.type === IoType.WRITE) {
      io.type = IoType.READ;
      io.offset = (2 * slot + 1) * this.spec.io_size;
      this.submit(slot, io);
      return;
    }
    this.busy.clear(this.place(io.offset_blocks));
    if (ok && this.compare(slot, io.offset_blocks)) this.completed++;
    this.goOn(slot, io);
  }

  /** True if the slot's read buffer holds what the slot wrote. */
  private compare(slot: number, lba: number): boolean {
    const at = (2 * slot + 1) * this.buffer_words;
    const { words, io_blocks: num_blocks, block_words } = this;
    const generation = this.generations[slot]!;
    const seed = this.spec.seed;
    const mismatch = findMismatch(words, at, lba, num_blocks, block_words, generation, seed);
    if (mismatch < 0) return true;
    const range = { lba, num_blocks, block_words, generation, seed };
    this.miscompared(lba, describeMismatch(words, at, range, mismatch));
    return false;
  }
}
