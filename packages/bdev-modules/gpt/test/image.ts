/** Makes disks with a GUID partition table, in every state of repair. */
import { crc32 } from 'node:zlib';

export interface ImageOptions {
  readonly block_size?: number;
  readonly num_blocks?: number;
  readonly partitions: readonly {
    type: string;
    unique: string;
    first: number;
    last: number;
    name?: string;
    /** Number of its entry; by default the next. */
    number?: number;
  }[];
  readonly entry_bytes?: number;
  readonly entries?: number;
}

export function guidBytes(text: string): Uint8Array {
  const hex = text.replaceAll('-', '');
  const raw = Uint8Array.from({ length: 16 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
  return Uint8Array.from([3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15], (from) => raw[from]!);
}

export class Image {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly block_size: number;
  readonly num_blocks: number;
  private readonly entry_bytes: number;
  private readonly entries: number;

  constructor({
    block_size = 512,
    num_blocks = 4096,
    partitions,
    entry_bytes = 128,
    entries = 128,
  }: ImageOptions) {
    this.block_size = block_size;
    this.num_blocks = num_blocks;
    this.entry_bytes = entry_bytes;
    this.entries = entries;
    this.bytes = new Uint8Array(block_size * num_blocks);
    this.view = new DataView(this.bytes.buffer);
    this.view.setUint16(510, 0xaa55, true);
    this.bytes[450] = 0xee;
    this.view.setUint32(454, 1, true);
    this.view.setUint32(458, num_blocks - 1, true);
    partitions.forEach((partition, index) => {
      for (const base of [2, this.backupEntries]) {
        const at = base * block_size + ((partition.number ?? index + 1) - 1) * entry_bytes;
        this.bytes.set(guidBytes(partition.type), at);
        this.bytes.set(guidBytes(partition.unique), at + 16);
        this.view.setBigUint64(at + 32, BigInt(partition.first), true);
        this.view.setBigUint64(at + 40, BigInt(partition.last), true);
        [...(partition.name ?? '')].forEach((c, i) => {
          this.view.setUint16(at + 56 + 2 * i, c.charCodeAt(0), true);
        });
      }
    });
    this.header(1, num_blocks - 1, 2);
    this.header(num_blocks - 1, 1, this.backupEntries);
  }

  get arrayBlocks(): number {
    return Math.ceil((this.entries * this.entry_bytes) / this.block_size);
  }
  get backupEntries(): number {
    return this.num_blocks - 1 - this.arrayBlocks;
  }
  get first_usable(): number {
    return 2 + this.arrayBlocks;
  }

  private header(lba: number, other: number, entries: number): void {
    const at = lba * this.block_size;
    const { view } = this;
    this.bytes.set(Buffer.from('EFI PART'), at);
    view.setUint32(at + 8, 0x10000, true);
    view.setUint32(at + 12, 92, true);
    view.setBigUint64(at + 24, BigInt(lba), true);
    view.setBigUint64(at + 32, BigInt(other), true);
    view.setBigUint64(at + 40, BigInt(this.first_usable), true);
    view.setBigUint64(at + 48, BigInt(this.backupEntries - 1), true);
    this.bytes.set(guidBytes('11111111-2222-3333-4444-555555555555'), at + 56);
    view.setBigUint64(at + 72, BigInt(entries), true);
    view.setUint32(at + 80, this.entries, true);
    view.setUint32(at + 84, this.entry_bytes, true);
    this.seal(lba, entries);
  }

  /** Makes the CRCs of a header and its entries right again. */
  seal(lba: number, entries: number): void {
    const at = lba * this.block_size;
    const start = entries * this.block_size;
    const array = this.bytes.subarray(start, start + this.entries * this.entry_bytes);
    this.view.setUint32(at + 88, crc32(array), true);
    this.sealHeader(lba);
  }
  sealHeader(lba: number): void {
    const at = lba * this.block_size;
    this.view.setUint32(at + 16, 0, true);
    this.view.setUint32(
      at + 16,
      crc32(this.bytes.subarray(at, at + this.view.getUint32(at + 12, true))),
      true,
    );
  }
}
