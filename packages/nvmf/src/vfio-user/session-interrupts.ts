import { native } from '@spdk-ts/native';
import {
  closeDescriptor,
  type Descriptors,
  IrqAction,
  IrqData,
  type IrqInfo,
  IrqInfoFlag,
  type IrqSet,
  invalid,
  PciIrq,
} from '@spdk-ts/vfio-user';
import { PENDING_BYTES, TABLE_BYTES, TABLE_ENTRY_BYTES } from './layout.ts';
import { VfioUserMessage } from './messages.ts';
import type { Parts } from './parts.ts';
import type { PciConfig } from './pci-config.ts';
import { type SessionMemory, VectorMask } from './session-memory.ts';

const MASKED = 1;
const CONTROL = 12;

/** The interrupts of a session's controller: what the client asks of them, and the MSI-X table. */
export class SessionInterrupts {
  readonly infos: readonly IrqInfo[];
  private readonly shared: SessionMemory;
  private readonly parts: Parts;
  private readonly vectors: number;
  private readonly table = new Uint8Array(TABLE_BYTES);

  constructor(shared: SessionMemory, parts: Parts, vectors: number) {
    this.shared = shared;
    this.parts = parts;
    this.vectors = vectors;
    const { eventfd, maskable, automasked, noresize } = IrqInfoFlag;
    this.infos = [
      { index: PciIrq.intx, count: 1, flags: eventfd | maskable | automasked },
      { index: PciIrq.msi, count: 0, flags: 0 },
      { index: PciIrq.msix, count: vectors, flags: eventfd | maskable | noresize },
      { index: PciIrq.err, count: 0, flags: 0 },
      { index: PciIrq.req, count: 0, flags: 0 },
    ];
    this.resetTable();
  }

  /** As after a reset of the function: entries say that they are masked, which begins to count when they are written. */
  resetTable(): void {
    this.table.fill(0);
    for (let vector = 0; vector < this.vectors; vector++) {
      this.table[vector * TABLE_ENTRY_BYTES + CONTROL] = MASKED;
      this.shared.maskVector(vector, VectorMask.TABLE | VectorMask.CLIENT, false);
    }
    this.shared.maskFunction(false);
  }

  /** SET_IRQS: throws VfioUserError for what these interrupts cannot do, and then nothing has changed. */
  set(set: IrqSet, descriptors: Descriptors): void {
    const { data, action, index, start, count } = set;
    if (data === IrqData.eventfd && action !== IrqAction.trigger)
      throw invalid('nobody is told of masking: eventfds are for triggers');
    if (data === IrqData.eventfd) {
      const fds = this.take(descriptors, count);
      for (let i = 0; i < count; i++) this.assign(index, start + i, fds[i] ?? 0);
      return;
    }
    if (count === 0) {
      this.disable(index);
      return;
    }
    for (let i = 0; i < count; i++)
      if (data === IrqData.none || set.bools[i] !== 0) this.act(action, index, start + i);
  }

  /** Takes the descriptors that came, if all of them will do. */
  private take(descriptors: Descriptors, count: number): number[] {
    if (descriptors.count === 0) return [];
    const fds = Array.from({ length: count }, (_, i) => descriptors.take(i));
    if (fds.every((fd) => native!.adoptEventFd(fd))) return fds;
    for (const fd of fds) closeDescriptor(fd);
    throw invalid('a descriptor for interrupts is no eventfd');
  }

  private assign(index: number, which: number, fd: number): void {
    const { shared } = this;
    const before = index === PciIrq.msix ? shared.setVector(which, fd) : shared.setIntx(fd);
    this.retire([before]);
  }

  private disable(index: number): void {
    if (index === PciIrq.msix)
      for (let vector = 0; vector < this.vectors; vector++) this.assign(index, vector, 0);
    else this.assign(index, 0, 0);
  }

  private act(action: number, index: number, which: number): void {
    const { shared } = this;
    if (action === IrqAction.trigger) shared.raise(which);
    else if (index === PciIrq.intx) shared.maskIntx(action === IrqAction.mask);
    else shared.maskVector(which, VectorMask.CLIENT, action === IrqAction.mask);
  }

  /** Closes descriptors once no reactor can be about to write to them. */
  private retire(fds: readonly number[]): void {
    const used = fds.filter((fd) => fd !== 0);
    if (used.length > 0)
      this.parts.askAll(VfioUserMessage.SYNC, [], () => {
        for (const fd of used) closeDescriptor(fd);
      });
  }

  /** What the function's configuration says of interrupts has changed. */
  configured(config: PciConfig, intms: number): void {
    this.shared.maskFunction(config.msixEnabled && config.msixMasked);
    this.shared.intxMaskSet = config.intxDisabled ? intms | 1 : intms;
  }

  readTable(offset: number, into: Uint8Array): void {
    into.set(this.table.subarray(offset, offset + into.length));
  }

  writeTable(offset: number, data: Uint8Array): void {
    this.table.set(data, offset);
    const last = Math.min(this.vectors - 1, Math.floor((offset + data.length - 1) / TABLE_ENTRY_BYTES));
    for (let vector = Math.floor(offset / TABLE_ENTRY_BYTES); vector <= last; vector++) {
      const control = vector * TABLE_ENTRY_BYTES + CONTROL;
      if (control >= offset && control < offset + data.length)
        this.shared.maskVector(vector, VectorMask.TABLE, (this.table[control]! & MASKED) !== 0);
    }
  }

  readPending(offset: number, into: Uint8Array): void {
    for (let i = 0; i < into.length && offset + i < PENDING_BYTES; i++) {
      let bits = 0;
      for (let bit = 0; bit < 8; bit++) {
        const vector = (offset + i) * 8 + bit;
        if (vector < this.vectors && this.shared.isPending(vector)) bits |= 1 << bit;
      }
      into[i] = bits;
    }
  }

  /** Closes all descriptors. No part is left. */
  close(): void {
    for (const fd of this.shared.takeDescriptors()) closeDescriptor(fd);
  }
}
