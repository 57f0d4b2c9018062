import { type BdevIo, IoType } from '@spdk-ts/bdev';
import type { ScriptIo } from './api.ts';
import type { PieceViews } from './piece-views.ts';

/** Whom an operation tells that its promise has settled. */
export interface OperationOwner {
  settled(operation: Operation, failed: boolean, thrown: unknown): void;
}

const CARRIES_DATA = (1 << IoType.READ) | (1 << IoType.WRITE);

/** An I/O as a script sees it: pooled, with the callbacks of its promise made once. */
export class Operation implements ScriptIo {
  offset = 0;
  length = 0;
  readonly pieces: Uint8Array[] = [];
  fua = false;
  /** Not for scripts: the I/O, and what its promise calls. */
  io: BdevIo | null = null;
  readonly done: () => void;
  readonly failed: (thrown: unknown) => void;

  constructor(owner: OperationOwner) {
    this.done = () => owner.settled(this, false, undefined);
    this.failed = (thrown) => owner.settled(this, true, thrown);
  }

  begin(io: BdevIo, block_size: number, views: PieceViews): void {
    this.io = io;
    this.offset = io.offset_blocks * block_size;
    this.length = io.num_blocks * block_size;
    this.fua = io.fua;
    const { pieces } = this;
    const { iovs } = io;
    if (((1 << io.type) & CARRIES_DATA) === 0) pieces.length = 0;
    else if (iovs === null) {
      pieces.length = 1;
      pieces[0] = views.get(io.region, io.offset, io.length);
    } else {
      pieces.length = iovs.count;
      for (let i = 0; i < iovs.count; i++)
        pieces[i] = views.get(iovs.region[i]!, iovs.offset[i]!, iovs.length[i]!);
    }
  }
}
