import { type BdevIo, IoType } from '@spdk-ts/bdev';
import type { Thread } from '@spdk-ts/reactor';
import { Job, type JobEvents } from './job.ts';
import { fillPattern } from './pattern.ts';
import type { JobSpec } from './protocol.ts';

const TWO_31 = 0x8000_0000;
const TWO_32 = 0x1_0000_0000;

/** Reads, writes, or both: the type is drawn. Also unmap, flush and write_zeroes, of which no data is asked. */
export class DataJob extends Job {
  private readonly read_type: number;
  private readonly write_type: number;
  /** A draw below this is a read: -2^31 for none, 2^31 for all. */
  private readonly reads_below: number;
  private readonly zcopy: boolean;
  private readonly unique: boolean;
  private readonly block_words: number;
  private readonly buffer_words: number;
  private writes = 0;

  constructor(spec: JobSpec, thread: Thread, events: JobEvents) {
    super(spec, spec.queue_depth, 1, thread, events);
    const only = { unmap: IoType.UNMAP, flush: IoType.FLUSH, write_zeroes: IoType.WRITE_ZEROES };
    const type = only[spec.workload as keyof typeof only] as number | undefined;
    this.read_type = type ?? IoType.READ;
    this.write_type = type ?? IoType.WRITE;
    this.reads_below = (spec.rw_percentage / 100) * TWO_32 - TWO_31;
    this.zcopy = spec.zcopy;
    this.unique = spec.unique_writes && type === undefined;
    this.block_words = spec.block_size / 4;
    this.buffer_words = spec.io_size / 4;
  }

  protected override submitNext(slot: number, io: BdevIo): void {
    io.offset_blocks = this.nextBlock();
    const below = this.reads_below;
    const reads = below === TWO_31 || (below !== -TWO_31 && this.random.next() < below);
    io.type = reads ? this.read_type : this.write_type;
    io.offset = slot * this.spec.io_size;
    if (this.zcopy) io.region = reads ? -1 : this.spec.region;
    if (this.unique && !reads) this.makeUnique(slot, io.offset_blocks);
    this.submit(slot, io);
  }

  private makeUnique(slot: number, block: number): void {
    this.writes = (this.writes + 1) | 0;
    const at = slot * this.buffer_words;
    fillPattern(this.words, at, block, this.io_blocks, this.block_words, this.writes, this.spec.seed | 0);
  }

  override bdevIoDone(io: BdevIo): void {
    const slot = io.ownerIndex;
    if (this.arrived(slot, io)) this.completed++;
    this.goOn(slot, io);
  }
}
