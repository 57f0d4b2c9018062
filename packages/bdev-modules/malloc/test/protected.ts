/** Malloc bdevs with protection information of every kind, and what a test asks of them. */
import { type BdevChannel, type BdevIo, IoStatus, IoType } from '@spdk-ts/bdev';
import { Dif, DifCheck, DifFailure, type DifTags, PI_BYTES, Pieces } from '@spdk-ts/dif';
import { expect } from 'vitest';
import { ModuleBed } from '../../test/bed.ts';
import { pattern, type Step } from '../../test/model.ts';
import type { MallocContext } from '../src/context.ts';
import control from '../src/index.ts';
import reactorHalf from '../src/reactor.ts';

export const MIB = 1024 * 1024;
export const BLOCKS = 64;
export const seed = Number(process.env['DIF_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
console.log(`DIF_SEED=${seed}`);

export const ALL: Step['type'][] = [
  'write',
  'read',
  'readPlace',
  'zeroes',
  'unmap',
  'copy',
  'compare',
  'flush',
];
export const start = (): Promise<ModuleBed> => ModuleBed.start(control, reactorHalf);

export interface Kind {
  block_size: number;
  md_size: number;
  md_interleave: boolean;
  dif_type: number;
  dif_pi_format: number;
  dif_is_head_of_md: boolean;
}
export const kinds: Kind[] = [
  [512, 8],
  [4096, 64],
]
  .flatMap(([block_size, md_size]) =>
    [true, false].flatMap((md_interleave) =>
      [1, 2, 3].flatMap((dif_type) =>
        [0, 1, 2].flatMap((dif_pi_format) =>
          [true, false].map((dif_is_head_of_md) => ({
            ...{ block_size: block_size!, md_size: md_size!, md_interleave, dif_type, dif_pi_format },
            dif_is_head_of_md,
          })),
        ),
      ),
    ),
  )
  .filter(({ md_size, dif_pi_format }) => md_size >= PI_BYTES[dif_pi_format]!);
export const title = (kind: Kind): string =>
  `${kind.block_size}+${kind.md_size} ${kind.md_interleave ? 'interleaved' : 'separate'}, type ${kind.dif_type}, ` +
  `${16 << kind.dif_pi_format} bits, ${kind.dif_is_head_of_md ? 'first' : 'last'}`;

/** How an I/O ended: its status, or the NVMe status code of one that failed a check. */
export const NVME = { guard: '2/82', apptag: '2/83', reftag: '2/84' };
export const endOf = (io: BdevIo): number | string =>
  io.status === IoStatus.NVME_ERROR ? `${io.sct}/${io.sc.toString(16)}` : io.status;

/** A bdev with protection information, and memory for data and metadata of all its blocks. */
export class Protected {
  readonly bed: ModuleBed;
  readonly channel: BdevChannel;
  readonly kind: Kind;
  readonly dif: Dif;
  readonly data: Uint8Array;
  readonly md: Uint8Array;
  readonly region: number;
  private readonly md_region: number;
  private readonly failure = new DifFailure();
  /** Changes an I/O before it is submitted. */
  change: (io: BdevIo) => void = () => {};

  constructor(bed: ModuleBed, name: string, kind: Kind) {
    this.bed = bed;
    this.kind = kind;
    this.channel = bed.channel(name);
    const block_size = kind.block_size + (kind.md_interleave ? kind.md_size : 0);
    this.dif = new Dif({ ...kind, block_size });
    this.data = new Uint8Array(block_size * BLOCKS);
    this.md = new Uint8Array(kind.md_interleave ? 8 : kind.md_size * BLOCKS);
    const { regions } = bed.host.local[0]!;
    this.region = bed.host.allocateRegionId();
    this.md_region = bed.host.allocateRegionId();
    regions.add(this.region, this.data);
    regions.add(this.md_region, this.md);
  }

  static async create(kind: Kind, more: object = {}): Promise<Protected> {
    const bed = await start();
    const name = await bed.rpc.call('bdev_malloc_create', { num_blocks: BLOCKS, ...kind, ...more });
    return new Protected(bed, name, kind);
  }

  async run(type: number, at: number, blocks: number, with_md = true, from = 0): Promise<number | string> {
    let end: number | string = 0;
    const io = this.channel.getIo()!;
    io.type = type;
    io.offset_blocks = at;
    io.src_offset_blocks = from;
    io.num_blocks = blocks;
    io.owner = {
      bdevIoDone(done) {
        end = endOf(done);
        done.free();
      },
    };
    if (type === IoType.READ || type === IoType.WRITE || type === IoType.COMPARE) {
      io.region = this.region;
      io.offset = at * this.channel.block_size;
      io.length = blocks * this.channel.block_size;
      if (with_md && !this.kind.md_interleave) {
        io.md_region = this.md_region;
        io.md_offset = at * this.kind.md_size;
      }
    }
    this.change(io);
    expect(this.channel.submit(io)).toBe(0);
    while (end === 0) await this.bed.poll();
    return end;
  }

  read = (at: number, blocks: number): Promise<number | string> => this.run(IoType.READ, at, blocks);
  write = (at: number, blocks: number): Promise<number | string> => this.run(IoType.WRITE, at, blocks);

  tags(at: number, app_tag = 0): DifTags {
    return { ref_tag: this.kind.dif_type === 3 ? 0 : at, app_tag, app_tag_mask: 0xffff };
  }
  private parts(at: number, blocks: number): [Pieces, Pieces] {
    const size = this.channel.block_size;
    const md_size = this.kind.md_interleave ? 0 : this.kind.md_size;
    return [
      Pieces.of(this.data.subarray(at * size, (at + blocks) * size)),
      Pieces.of(this.md.subarray(at * md_size, (at + blocks) * md_size)),
    ];
  }
  /** Fills blocks of the memory with random data and right protection information. */
  fill(at: number, blocks: number, number: number, app_tag = 0): void {
    const size = this.channel.block_size;
    pattern(this.data.subarray(at * size, (at + blocks) * size), number);
    if (!this.kind.md_interleave)
      pattern(this.md.subarray(at * this.kind.md_size, (at + blocks) * this.kind.md_size), number + 1);
    this.dif.generate(...this.parts(at, blocks), blocks, this.tags(at, app_tag));
  }
  valid(at: number, blocks: number, app_tag = 0): boolean {
    const all = DifCheck.GUARD | DifCheck.APPTAG | DifCheck.REFTAG;
    return this.dif.verify(...this.parts(at, blocks), blocks, this.tags(at, app_tag), all, this.failure);
  }
  /** The byte of a block's protection information in the memory. */
  pi(block: number, byte: number): [Uint8Array, number] {
    const { kind } = this;
    const pi_bytes = PI_BYTES[kind.dif_pi_format]!;
    const inside = (kind.dif_is_head_of_md ? 0 : kind.md_size - pi_bytes) + byte;
    if (!kind.md_interleave) return [this.md, block * kind.md_size + inside];
    return [this.data, block * this.channel.block_size + kind.block_size + inside];
  }
  flip(block: number, byte: number, bit = 1): void {
    const [bytes, at] = this.pi(block, byte);
    bytes[at]! ^= bit;
  }
  /** Data of a block in the memory, without metadata. */
  plain(block: number): Uint8Array {
    const at = block * this.channel.block_size;
    return this.data.subarray(at, at + this.kind.block_size);
  }
  get context(): MallocContext {
    return this.channel.device.description.context as MallocContext;
  }
}

export function blocksOf(disk: Protected): Uint8Array[] {
  return Array.from({ length: BLOCKS }, (_, i) => disk.plain(i));
}
