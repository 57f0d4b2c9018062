/** The memory of a queue pair: rings, lists of data pointers, and room for data that the controller cannot reach where they are. */
import {
  allocateSharedMemory,
  attachSharedMemory,
  type RegionTable,
  releaseSharedMemory,
  type SharedMemory,
} from '@spdk-ts/env';
import { CQE_SIZE, SQE_SIZE } from '@spdk-ts/nvme-spec';

/** Room for copies, of all commands of a queue together, at most. */
const COPIES_BYTES_MAX = 2 ** 30;

const roundUp = (bytes: number, page: number): number => Math.ceil(bytes / page) * page;

export class QueueMemory {
  readonly region: number;
  readonly address: number;
  readonly sq: Uint32Array;
  readonly cq: Int32Array;
  readonly words: Uint32Array;
  readonly page_bytes: number;
  /** Byte offsets: of the completion queue, of the list of slot 0, of its room for data. */
  readonly cq_at: number;
  readonly lists_at: number;
  readonly copies_at: number;
  /** Bytes of one slot's room. */
  readonly copy_bytes: number;
  private readonly regions: RegionTable;
  private readonly memory: SharedMemory;

  /** `transfer_bytes`: of one command at most, page aligned. Throws an Error if there is no memory. */
  constructor(regions: RegionTable, entries: number, page_bytes: number, transfer_bytes: number) {
    const depth = entries - 1;
    this.page_bytes = page_bytes;
    const most = Math.max(page_bytes, Math.floor(COPIES_BYTES_MAX / depth / page_bytes) * page_bytes);
    this.copy_bytes = Math.min(transfer_bytes, most);
    this.cq_at = roundUp(entries * SQE_SIZE, page_bytes);
    this.lists_at = this.cq_at + roundUp(entries * CQE_SIZE, page_bytes);
    this.copies_at = this.lists_at + depth * page_bytes;
    // All of it is committed as it is touched: what is never copied takes no memory.
    this.memory = allocateSharedMemory(this.copies_at + depth * this.copy_bytes, true);
    const bytes = attachSharedMemory(this.memory);
    this.regions = regions;
    const { id, address } = regions.addLocal(bytes);
    this.region = id;
    this.address = address;
    this.sq = new Uint32Array(bytes.buffer, bytes.byteOffset, entries * (SQE_SIZE / 4));
    this.cq = new Int32Array(bytes.buffer, bytes.byteOffset + this.cq_at, entries * (CQE_SIZE / 4));
    this.words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  }

  /** Gives it back: nobody touches it any more. */
  release(): void {
    this.regions.remove(this.region);
    releaseSharedMemory(this.memory);
  }
}
