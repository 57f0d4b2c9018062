import { attachSharedMemory } from '@spdk-ts/env';
import type { Reactor } from '@spdk-ts/reactor';
import { ZoneTable } from '@spdk-ts/zones';
import { COMMIT_WORD_BYTES, type StoredZones } from './context.ts';
import { encodePage, encodeSuperblock } from './format.ts';
import { type Layout, pageBlock, pagesOf } from './layout.ts';

const FREE = 0;
const TAKEN = 1;

/** The state of a device's zones on one reactor: which pages have changed, and their bytes. */
export class ZoneStore {
  readonly layout: Layout;
  readonly table: ZoneTable;
  readonly region: number;
  readonly num_pages: number;
  private readonly reactor: Reactor;
  private readonly word: Int32Array;
  private readonly generations: Float64Array;
  private readonly image: Uint8Array;
  /** Of the zones of a page, on their way there. */
  private readonly states: Uint8Array;
  private readonly written_blocks: Float64Array;

  constructor(stored: StoredZones, reactor: Reactor) {
    this.layout = stored.layout;
    this.table = new ZoneTable(stored.zones.geometry, stored.zones.memory);
    this.region = stored.region;
    this.num_pages = pagesOf(stored.layout);
    this.reactor = reactor;
    this.word = new Int32Array(stored.commits, 0, 1);
    this.generations = new Float64Array(stored.commits, COMMIT_WORD_BYTES);
    this.image = attachSharedMemory(stored.image);
    this.states = new Uint8Array(stored.layout.zones_per_page);
    this.written_blocks = new Float64Array(stored.layout.zones_per_page);
    reactor.regions.add(this.region, this.image);
  }

  /** One thread of all reactors at a time may write pages. */
  tryLock(): boolean {
    return Atomics.compareExchange(this.word, 0, FREE, TAKEN) === FREE;
  }
  unlock(): void {
    Atomics.store(this.word, 0, FREE);
  }

  /** Under the lock: makes the images of the pages that have changed, and adds them to `pages`. */
  capture(pages: number[]): void {
    for (let page = 0; page < this.num_pages; page++) {
      if (!this.table.takeChanged(page)) continue;
      const { zones_per_page, num_zones } = this.layout;
      const first = page * zones_per_page;
      const count = Math.min(zones_per_page, num_zones - first);
      const { states, written_blocks: written } = this;
      this.table.snapshot(first, count, states, written);
      const generation = this.generations[page]! + 1;
      encodePage(this.block(page), this.layout, page, generation, count, states, written);
      pages.push(page);
    }
  }

  private block(index: number): Uint8Array {
    const at = this.offsetOf(index);
    return this.image.subarray(at, at + this.layout.block_size);
  }

  /** Where in the region the image of a page is; that of the superblock is behind the last page's. */
  offsetOf(page: number): number {
    return page * this.layout.block_size;
  }

  /** Where on the base the image of a page belongs: not where its last copy is. */
  targetOf(page: number): number {
    return pageBlock(page, this.generations[page]! + 1);
  }

  /** Under the lock: the image of a page is on stable storage; or not, and then it still has to get there. */
  written(page: number): void {
    this.generations[page] = this.generations[page]! + 1;
  }
  notWritten(page: number): void {
    this.table.setChanged(page);
  }

  /** Makes the image of the superblock: where it is in the region. */
  superblock(): number {
    encodeSuperblock(this.block(this.num_pages), this.layout);
    return this.offsetOf(this.num_pages);
  }

  close(): void {
    this.reactor.regions.remove(this.region);
  }
}
