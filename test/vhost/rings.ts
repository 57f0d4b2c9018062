/** The driver's side of virtqueues, as virtio 1.2 (2.7, 2.8) has it. */
import type { GuestRam } from './guest-ram.ts';

/** A buffer of a chain: guest address, bytes, and whether it is for the device to write. */
export interface Buffer {
  address: number;
  length: number;
  write: boolean;
}

/** A chain that the device has given back. */
export interface Used {
  id: number;
  length: number;
}

export interface Driver {
  readonly size: number;
  /** Offsets of descriptors, available ring (driver's events), used ring (device's events). */
  readonly place: { descriptor: number; available: number; used: number };
  /** Makes a chain available; `indirect`: by a table. Returns its id. */
  push(chain: readonly Buffer[], indirect?: boolean): number;
  /** Those that came back since. */
  take(): Used[];
  /** True if the device asks for kicks. */
  readonly wantsKick: boolean;
}

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

function writeDescriptor(
  ram: GuestRam,
  at: number,
  { address, length }: Pick<Buffer, 'address' | 'length'>,
  low: number,
  high: number,
): void {
  ram.setU64(at, address);
  ram.view.setUint32(at + 8, length, true);
  ram.view.setUint16(at + 12, low, true);
  ram.view.setUint16(at + 14, high, true);
}

export class SplitDriver implements Driver {
  readonly ram: GuestRam;
  readonly size: number;
  readonly place: Driver['place'];
  private readonly free: number[];
  private readonly chains = new Map<number, number[]>();
  private avail = 0;
  private used = 0;

  constructor(ram: GuestRam, size: number) {
    this.ram = ram;
    this.size = size;
    this.place = {
      descriptor: ram.allocate(size * 16, 16),
      available: ram.allocate(6 + 2 * size, 2),
      used: ram.allocate(6 + 8 * size, 4),
    };
    this.free = Array.from({ length: size }, (_, i) => size - 1 - i);
  }

  private flags({ write }: Buffer, last: boolean): number {
    return (write ? WRITE : 0) | (last ? 0 : NEXT);
  }

  push(chain: readonly Buffer[], indirect = false): number {
    const { ram } = this;
    const taken: number[] = [];
    if (indirect) {
      const table = ram.allocate(chain.length * 16);
      chain.forEach((buffer, i) => {
        writeDescriptor(ram, table + 16 * i, buffer, this.flags(buffer, i === chain.length - 1), i + 1);
      });
      taken.push(this.free.pop()!);
      this.describe(taken[0]!, { address: ram.address(table), length: chain.length * 16 }, INDIRECT, 0);
    } else {
      for (const _ of chain) taken.push(this.free.pop()!);
      chain.forEach((buffer, i) => {
        this.describe(taken[i]!, buffer, this.flags(buffer, i === chain.length - 1), taken[i + 1] ?? 0);
      });
    }
    this.chains.set(taken[0]!, taken);
    this.offer(taken[0]!);
    return taken[0]!;
  }

  /** Writes one descriptor of the table. */
  describe(index: number, buffer: Pick<Buffer, 'address' | 'length'>, flags: number, next: number): void {
    writeDescriptor(this.ram, this.place.descriptor + 16 * index, buffer, flags, next);
  }

  /** Makes a head available, whatever it is. */
  offer(head: number): void {
    this.ram.view.setUint16(this.place.available + 4 + 2 * (this.avail % this.size), head, true);
    this.avail = (this.avail + 1) & 0xffff;
    this.ram.view.setUint16(this.place.available + 2, this.avail, true);
  }

  setAvailableIndex(index: number): void {
    this.ram.view.setUint16(this.place.available + 2, index, true);
  }

  take(): Used[] {
    const { view } = this.ram;
    const found: Used[] = [];
    while (this.used !== view.getUint16(this.place.used + 2, true)) {
      const at = this.place.used + 4 + 8 * (this.used % this.size);
      const id = view.getUint32(at, true);
      found.push({ id, length: view.getUint32(at + 4, true) });
      this.free.push(...(this.chains.get(id) ?? []));
      this.chains.delete(id);
      this.used = (this.used + 1) & 0xffff;
    }
    return found;
  }

  get wantsKick(): boolean {
    return (this.ram.view.getUint16(this.place.used, true) & 1) === 0;
  }
}

export class PackedDriver implements Driver {
  readonly ram: GuestRam;
  readonly size: number;
  readonly place: Driver['place'];
  private readonly ids: number[];
  private readonly chains = new Map<number, number>();
  private avail = 0;
  private availWrap = 1;
  private used = 0;
  private usedWrap = 1;

  constructor(ram: GuestRam, size: number) {
    this.ram = ram;
    this.size = size;
    this.place = {
      descriptor: ram.allocate(size * 16, 16),
      available: ram.allocate(4, 4),
      used: ram.allocate(4, 4),
    };
    this.ids = Array.from({ length: size }, (_, i) => size - 1 - i);
  }

  private at(index: number): number {
    return this.place.descriptor + 16 * index;
  }

  push(chain: readonly Buffer[], indirect = false): number {
    const { ram } = this;
    const id = this.ids.pop()!;
    let list: { address: number; length: number; flags: number }[] = chain.map((buffer, i) => ({
      ...buffer,
      flags: (buffer.write ? WRITE : 0) | (i === chain.length - 1 ? 0 : NEXT),
    }));
    if (indirect) {
      const table = ram.allocate(chain.length * 16);
      chain.forEach((buffer, i) => {
        writeDescriptor(ram, table + 16 * i, buffer, 0, buffer.write ? WRITE : 0);
      });
      list = [{ address: ram.address(table), length: chain.length * 16, flags: INDIRECT }];
    }
    this.chains.set(id, list.length);
    this.offer(id, list);
    return id;
  }

  /** Makes descriptors available, whatever they are: the first of them last. */
  offer(id: number, list: readonly { address: number; length: number; flags: number }[]): void {
    const head = this.avail;
    let headFlags = 0;
    list.forEach(({ flags, ...buffer }, i) => {
      const all = flags | (this.availWrap === 1 ? 0x80 : 0x8000);
      if (i === 0) {
        headFlags = all;
        const old = this.ram.view.getUint16(this.at(head) + 14, true);
        writeDescriptor(this.ram, this.at(this.avail), buffer, id, old);
      } else writeDescriptor(this.ram, this.at(this.avail), buffer, id, all);
      if (++this.avail === this.size) {
        this.avail = 0;
        this.availWrap ^= 1;
      }
    });
    this.ram.view.setUint16(this.at(head) + 14, headFlags, true);
  }

  take(): Used[] {
    const found: Used[] = [];
    for (;;) {
      const flags = this.ram.view.getUint16(this.at(this.used) + 14, true);
      const isUsed = ((flags >> 7) & 1) === this.usedWrap && ((flags >> 15) & 1) === this.usedWrap;
      if (!isUsed) return found;
      const id = this.ram.view.getUint16(this.at(this.used) + 12, true);
      // Without the WRITE flag the length says nothing.
      const length = (flags & WRITE) !== 0 ? this.ram.view.getUint32(this.at(this.used) + 8, true) : 0;
      found.push({ id, length });
      this.used += this.chains.get(id) ?? 1;
      this.chains.delete(id);
      this.ids.push(id);
      if (this.used >= this.size) {
        this.used -= this.size;
        this.usedWrap ^= 1;
      }
    }
  }

  get wantsKick(): boolean {
    return this.ram.view.getUint16(this.place.used + 2, true) !== 1;
  }
}
