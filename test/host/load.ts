/** A lean load: lanes that write blocks of their own and read them back, several on each of many queues. */
import { Random } from '@spdk-ts/env';
import { crc32c } from '@spdk-ts/nvme-spec';
import { read, write } from './raw-host.ts';
import type { RawQueue } from './raw-queue.ts';

export interface LoadOptions {
  /** Lanes on each queue: commands outstanding on it. */
  readonly depth: number;
  /** Largest transfer, bytes: each lane has as much of the namespace to itself. */
  readonly bytes_max: number;
  /** First block that the load may use. */
  readonly first_lba?: number;
  readonly block_size?: number;
  readonly seed: number;
}

/** Random bytes that every write's data is cut from: making them anew for each would be most of the load. */
const SOURCE_BYTES = 1 << 20;

export class Load {
  /** Reads that brought back what had been written. */
  verified = 0;
  /** The same of each queue, by its place. */
  readonly verifiedOf: number[];
  bytes = 0;
  private readonly queues: readonly RawQueue[];
  private readonly options: LoadOptions;
  private readonly random: Random;
  private readonly source: Buffer;
  private stopping = false;
  private running: Promise<void> = Promise.resolve();

  constructor(queues: readonly RawQueue[], options: LoadOptions) {
    this.queues = queues;
    this.options = options;
    this.random = new Random(options.seed);
    this.source = Buffer.alloc(SOURCE_BYTES);
    for (let i = 0; i < SOURCE_BYTES; i += 4) this.source.writeUInt32LE(this.random.below(2 ** 32), i);
    this.verifiedOf = queues.map(() => 0);
  }

  start(): void {
    this.stopping = false;
    const { depth } = this.options;
    const lanes = this.queues.flatMap((_, q) => Array.from({ length: depth }, (_, i) => this.lane(q, i)));
    this.running = Promise.all(lanes).then(() => {});
    this.running.catch(() => {}); // told by stop() and until()
  }

  /** Ends the load when what is outstanding is back. Rejects if a command failed or brought wrong data. */
  async stop(): Promise<void> {
    this.stopping = true;
    await this.running;
  }

  /** Goes on until `done`, looked at every few milliseconds. Rejects as {@link stop} does. */
  async until(done: () => boolean): Promise<void> {
    while (!done()) {
      const failure = await Promise.race([
        this.running.then(
          () => new Error('the load has ended'),
          (error: Error) => error,
        ),
        new Promise<null>((resolve) => setTimeout(resolve, 5, null)),
      ]);
      if (failure !== null) throw failure;
    }
  }

  private async lane(q: number, index: number): Promise<void> {
    const { depth, bytes_max, first_lba = 0, block_size = 512 } = this.options;
    const queue = this.queues[q]!;
    const lba = first_lba + ((q * depth + index) * bytes_max) / block_size;
    const data = Buffer.alloc(bytes_max);
    while (!this.stopping) {
      const length = block_size * (1 + this.random.below(bytes_max / block_size));
      const from = this.random.below(SOURCE_BYTES - length);
      this.source.copy(data, 0, from, from + length);
      // What one lane wrote differs from what any other did, and from what it wrote before.
      data.writeUInt32LE(q, 0);
      data.writeUInt32LE(this.random.below(2 ** 32), 4);
      const wanted = crc32c(data, 0, length);
      const written = await write(queue, lba, data.subarray(0, length), { block_size });
      if (written.status !== 0) throw new Error(`queue ${q}: a write ended with status ${written.status}`);
      const back = await read(queue, lba, length, { block_size });
      if (back.status !== 0) throw new Error(`queue ${q}: a read ended with status ${back.status}`);
      if (back.data.length !== length || crc32c(back.data) !== wanted)
        throw new Error(`queue ${q}: ${length} bytes read at block ${lba} are not those written`);
      this.verified++;
      this.verifiedOf[q]!++;
      this.bytes += 2 * length;
    }
  }
}
