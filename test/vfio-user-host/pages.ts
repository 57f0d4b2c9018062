/** Pages of a test host's memory. */
import { BASE } from './index.ts';

export const PAGE_BYTES = 4096;

/** Hands out runs of pages, first fit. */
export class Pages {
  private readonly taken: Uint8Array;

  constructor(memory_bytes: number) {
    this.taken = new Uint8Array(memory_bytes / PAGE_BYTES);
  }

  /** The device's address of so many pages in one piece. */
  take(pages: number): number {
    for (let at = 0, run = 0; at < this.taken.length; at++) {
      run = this.taken[at] === 0 ? run + 1 : 0;
      if (run < pages) continue;
      this.taken.fill(1, at + 1 - pages, at + 1);
      return BASE + (at + 1 - pages) * PAGE_BYTES;
    }
    throw new Error(`the test host has no ${pages} pages left`);
  }
  give(address: number, pages: number): void {
    const first = (address - BASE) / PAGE_BYTES;
    this.taken.fill(0, first, first + pages);
  }
}

export const pagesOf = (bytes: number): number => Math.max(1, Math.ceil(bytes / PAGE_BYTES));
