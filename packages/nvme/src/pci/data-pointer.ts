/**
 * Data pointers of commands over PCIe (Base 2.0, 4.1.1 and 4.1.2): PRP entries and lists, and SGL descriptors, in memory that the
 * controller reads. One list belongs to each place in the queue.
 */
import { psdt, sglId } from '@spdk-ts/nvme-spec';

const TWO_32 = 0x1_0000_0000;
/** Words of the submission queue entry: PRP1, PRP2; the SGL descriptor takes the place of both. */
const PRP1 = 6;
const PRP2 = 8;
const SGL_LENGTH = 8;
const SGL_ID = 9;
/** Words of an SGL descriptor. */
const DESCRIPTOR = 4;
const PSDT_MASK = 0xc000;

/**
 * Builds the data pointer of one command: {@link begin}, {@link add} for each piece of data in order, {@link end}. Nothing is
 * written to the entry before the end, so that what cannot be described may be tried another way.
 */
export class PrpBuilder {
  private readonly page_bytes: number;
  /** Entries of one list: it fills a page. */
  private readonly listMax: number;
  private list: Uint32Array = new Uint32Array(0);
  private listAt = 0;
  private listAddress = 0;
  private first = 0;
  private entries = 0;
  private next = 0;

  constructor(page_bytes: number) {
    this.page_bytes = page_bytes;
    this.listMax = page_bytes / 8;
  }

  /** The list is at word `at` of `list`, which the controller knows as `address`: a page, and at its beginning. */
  begin(list: Uint32Array, at: number, address: number): void {
    this.list = list;
    this.listAt = at;
    this.listAddress = address;
    this.entries = 0;
    this.next = 0;
  }

  /**
   * Adds a piece of at least a byte. False if PRPs cannot describe it: a piece that does not begin at a page's start comes first, one
   * that does not end at a page's end last, and a list has a page.
   */
  add(address: number, length: number): boolean {
    const { page_bytes } = this;
    const skip = address % page_bytes;
    if (this.entries > 0 && (skip !== 0 || this.next % page_bytes !== 0)) return false;
    const pages = Math.ceil((skip + length) / page_bytes);
    if (this.entries + pages - 1 > this.listMax) return false;
    let at = address;
    for (let i = 0; i < pages; i++) {
      if (this.entries === 0) this.first = at;
      else this.put(this.entries - 1, at);
      this.entries++;
      at += page_bytes - (at % page_bytes);
    }
    this.next = address + length;
    return true;
  }

  private put(index: number, address: number): void {
    const word = this.listAt + index * 2;
    this.list[word] = address;
    this.list[word + 1] = address / TWO_32;
  }

  /** Writes PRP1 and PRP2 of the entry at word `at`. */
  end(entry: Uint32Array, at: number): void {
    entry[at] = entry[at]! & ~PSDT_MASK;
    entry[at + PRP1] = this.first;
    entry[at + PRP1 + 1] = this.first / TWO_32;
    if (this.entries === 2) {
      entry[at + PRP2] = this.list[this.listAt]!;
      entry[at + PRP2 + 1] = this.list[this.listAt + 1]!;
      return;
    }
    const second = this.entries < 2 ? 0 : this.listAddress;
    entry[at + PRP2] = second;
    entry[at + PRP2 + 1] = second / TWO_32;
  }
}

/** The same with SGL descriptors: pieces of any length anywhere, or of whole dwords where the controller wants that. */
export class SglBuilder {
  private readonly listMax: number;
  /** What addresses and lengths must be multiples of, less 1. */
  private readonly mask: number;
  private list: Uint32Array = new Uint32Array(0);
  private listAt = 0;
  private listAddress = 0;
  private pieces = 0;

  /** `alignment`: 1, or 4 where the controller takes whole dwords only. */
  constructor(page_bytes: number, alignment: 1 | 4) {
    this.listMax = page_bytes / (DESCRIPTOR * 4);
    this.mask = alignment - 1;
  }

  /** See {@link PrpBuilder.begin}. */
  begin(list: Uint32Array, at: number, address: number): void {
    this.list = list;
    this.listAt = at;
    this.listAddress = address;
    this.pieces = 0;
  }

  /** Adds a piece. False if the controller does not take it, or the list is full. */
  add(address: number, length: number): boolean {
    if (this.pieces === this.listMax || ((address & this.mask) | (length & this.mask)) !== 0) return false;
    const word = this.listAt + this.pieces * DESCRIPTOR;
    this.list[word] = address;
    this.list[word + 1] = address / TWO_32;
    this.list[word + 2] = length;
    this.list[word + 3] = sglId.dataBlock << 24;
    this.pieces++;
    return true;
  }

  /** Writes the descriptor of the entry at word `at`: the only piece, or the segment that has them. */
  end(entry: Uint32Array, at: number): void {
    entry[at] = (entry[at]! & ~PSDT_MASK) | (psdt.sgl << 14);
    if (this.pieces === 1) {
      for (let i = 0; i < DESCRIPTOR; i++) entry[at + PRP1 + i] = this.list[this.listAt + i]!;
      return;
    }
    entry[at + PRP1] = this.listAddress;
    entry[at + PRP1 + 1] = this.listAddress / TWO_32;
    entry[at + SGL_LENGTH] = this.pieces * DESCRIPTOR * 4;
    entry[at + SGL_ID] = sglId.lastSegment << 24;
  }
}
