import type { BdevIo } from '@spdk-ts/bdev';
import type { KernelIoVec } from '@spdk-ts/file-io';
import type { Native } from '@spdk-ts/native';

/** Memory for what a command says in its data: ranges to deallocate, or a report of zones. */
const SCRATCH_BYTES = 8192;

/** One I/O at work on a namespace, in as many commands as it takes. Reused; every field is set here. */
export class Command {
  /** Place in its channel's list, and tag of its entries. */
  readonly index: number;
  io: BdevIo | null = null;
  /** Blocks done, and those of the command under way. */
  done = 0;
  count = 0;
  /** The command under way is not the I/O's own: it asks for the state of a zone, or makes a store stable. */
  aside = false;
  /** Its gather list, once it needed one. */
  iovec: KernelIoVec | null = null;
  private memory: Uint32Array | null = null;
  /** Where its scratch memory is, once it has some. */
  address = 0;

  constructor(index: number) {
    this.index = index;
  }

  /** Memory of its own, as words. */
  scratch(native: Native): Uint32Array {
    if (this.memory === null) {
      this.memory = new Uint32Array(new ArrayBuffer(SCRATCH_BYTES));
      this.address = native.addressOf(this.memory);
    }
    return this.memory;
  }
}
