import type { BdevIo, IoVec } from '@spdk-ts/bdev';
import type { CommandWork } from './command-series.ts';
import type { PlacedWrite } from './placed-writes.ts';
import type { NvmfQpair } from './qpair.ts';

/** Direction of a command's data. */
export const Transfer = { NONE: 0, HOST_TO_CONTROLLER: 1, CONTROLLER_TO_HOST: 2, BIDIRECTIONAL: 3 } as const;

/**
 * One command on its way through the target. Pooled per queue pair: every field is set here once and then reused.
 * The transport fills in the command and its data, the controller the completion.
 */
export class NvmfRequest {
  readonly qpair: NvmfQpair;
  /** Place in the queue pair's pool. */
  readonly index: number;
  /** The 64-byte submission queue entry, a copy that the host cannot change. */
  readonly sqe: Uint8Array;
  readonly sqe32: Uint32Array;

  /** Parsed from the entry by {@link load}. */
  opcode = 0;
  cid = 0;
  nsid = 0;

  transfer: number = Transfer.NONE;
  /** A write whose data are taken as soon as it executes: they may stay where they were received. */
  at_once = false;
  /** For the transport: its data lie in the receive area, which it holds. */
  holds = false;
  /** Bytes of data, as the command's SGL or PRPs describe them. */
  length = 0;
  /** Where the data is: (region, offset, length), or `iovs`. Region -1: no memory yet. */
  region = -1;
  offset = 0;
  iovs: IoVec | null = null;
  /** A buffer of the reactor's pool that this request holds, or -1: given back when the request is. */
  ownBuffer = -1;
  /** The I/O that serves it; when it is done and its data lies in the bdev's own memory, freed with the request. */
  io: BdevIo | null = null;

  /** A write whose data go straight to where the bdev keeps them: what lends it that place. */
  placed: PlacedWrite | null = null;

  /** Completion queue entry: dwords 0 and 1, and the 15-bit status field (DNR, M, CRD, SCT, SC). */
  dw0 = 0;
  dw1 = 0;
  status = 0;

  /** What carries it out, if that takes several bdev I/Os. */
  work: CommandWork | null = null;
  /** For {@link FusedCommands}: the other half of a fused operation, and what has become of the two. */
  partner: NvmfRequest | null = null;
  fused = 0;

  /** True from execution to completion; not while half a fused operation waits for the other. */
  executing = false;
  /** An Abort asked for it. */
  abortRequested = false;
  /** For the transport. */
  state = 0;
  ttag = 0;
  received = 0;
  next: NvmfRequest | null = null;

  constructor(qpair: NvmfQpair, index: number, sqe: Uint8Array) {
    if (sqe.byteOffset % 4 !== 0 || sqe.length !== 64)
      throw new RangeError('an SQE is 64 bytes on a dword boundary');
    this.qpair = qpair;
    this.index = index;
    this.sqe = sqe;
    this.sqe32 = new Uint32Array(sqe.buffer, sqe.byteOffset, 16);
  }

  /** Takes opcode, CID and NSID from the entry and clears what the last command left. */
  load(): void {
    const cdw0 = this.sqe32[0]!;
    this.opcode = cdw0 & 0xff;
    this.cid = cdw0 >>> 16;
    this.nsid = this.sqe32[1]!;
    this.transfer = Transfer.NONE;
    this.at_once = false;
    this.length = 0;
    this.region = -1;
    this.offset = 0;
    this.iovs = null;
    this.io = null;
    this.dw0 = 0;
    this.dw1 = 0;
    this.status = 0;
    this.abortRequested = false;
    this.received = 0;
  }

  /** Command dword `n`, 0 … 15, unsigned. */
  cdw(n: number): number {
    return this.sqe32[n]!;
  }
}
