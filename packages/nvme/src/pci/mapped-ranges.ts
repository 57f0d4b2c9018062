/** Memory of this process that a PCI function reaches, as the reactors that share a controller want it. */
import { native } from '@spdk-ts/native';
import type { PciFunction } from './function.ts';
import { DmaState, type SharedState } from './shared-state.ts';

export class MappedRanges {
  private readonly shared: SharedState;
  /** Those that the function has mapped, by index. */
  private readonly mapped = new Set<number>();

  constructor(shared: SharedState) {
    this.shared = shared;
  }

  /** Lets the function reach a range that is wanted. `refused` is called with why it cannot, and throws if that is no answer. */
  async map(fn: PciFunction, index: number, refused: (error: Error) => void): Promise<void> {
    const { shared, mapped } = this;
    const { address, bytes, descriptor } = shared.range(index);
    let state: number = DmaState.MAPPED;
    if (!mapped.has(index))
      try {
        await fn.map(address, bytes, descriptor);
        mapped.add(index);
      } catch (error) {
        refused(error as Error);
        state = DmaState.REFUSED;
      }
    shared.moveDma(index, DmaState.WANTED, state);
  }

  /** Takes back a range that is not wanted any more. */
  async unmap(fn: PciFunction, index: number): Promise<void> {
    const { shared, mapped } = this;
    if (!shared.moveDma(index, DmaState.UNWANTED, DmaState.UNMAPPING)) return;
    const { address, bytes, descriptor } = shared.range(index);
    if (mapped.delete(index)) await fn.unmap(address, bytes);
    native!.closeFd(descriptor);
    shared.moveDma(index, DmaState.UNMAPPING, DmaState.FREE);
  }

  /** There is a new connection, which has nothing mapped. */
  begin(): void {
    this.mapped.clear();
  }

  /** With the connection, all that was mapped is gone: what is wanted still is wanted of the next one. */
  forget(): void {
    const { shared } = this;
    this.mapped.clear();
    for (const { index, descriptor } of shared.ranges(DmaState.UNWANTED, DmaState.UNMAPPING)) {
      if (
        !shared.moveDma(index, DmaState.UNWANTED, DmaState.UNMAPPING) &&
        shared.dmaState(index) !== DmaState.UNMAPPING
      )
        continue;
      native!.closeFd(descriptor);
      shared.moveDma(index, DmaState.UNMAPPING, DmaState.FREE);
    }
    for (const { index } of shared.ranges(DmaState.MAPPED, DmaState.REFUSED)) {
      shared.moveDma(index, DmaState.MAPPED, DmaState.WANTED);
      shared.moveDma(index, DmaState.REFUSED, DmaState.WANTED);
    }
  }

  /** The controller is closed for good: descriptors that nobody will ask for any more are closed. */
  close(): void {
    this.forget();
    for (const { descriptor } of this.shared.ranges(DmaState.WANTED)) native!.closeFd(descriptor);
  }
}
