import type { IoVec } from '@spdk-ts/bdev';
import { dataTransfer, psdt } from '@spdk-ts/nvme-spec';

/** Told when a request has ended, in its queue pair's poll: never from within submit. */
export interface NvmeRequestOwner {
  nvmeDone(request: NvmeRequest): void;
}

const nobody: NvmeRequestOwner = { nvmeDone: () => {} };

/** Where a request is. */
export const RequestState = {
  /** With its owner. */
  IDLE: 0,
  /** Waits for a place in the submission queue. */
  QUEUED: 1,
  /** The controller has it. */
  OUTSTANDING: 2,
  /** It has ended, but the socket still reads its data. */
  SENDING: 3,
  /** It has ended: the owner is about to be told. */
  DONE: 4,
  /** Made of several commands, which are under way. */
  SPLIT: 5,
} as const;

/**
 * One command. It is made once by who sends commands, and then used again and again: the owner fills in command and place
 * of the data, gives it to a queue pair, and has it back when {@link NvmeRequestOwner.nvmeDone} is called.
 */
export class NvmeRequest {
  owner: NvmeRequestOwner;
  /** The owner's own number. */
  ownerIndex = 0;

  /** The submission queue entry. The queue pair fills in CID, and the SGL in dwords 6 to 9. */
  readonly sqe: Uint32Array = new Uint32Array(16);
  /** Direction of the data, one of `dataTransfer`. */
  transfer: number = dataTransfer.none;
  /** Bytes of data, and where they are: one place, or a gather list. */
  length = 0;
  region = -1;
  offset = 0;
  iovs: IoVec | null = null;
  /** The controller may send less than `length`: {@link received} tells how much. */
  may_be_short = false;
  /** It ends when something happens (Asynchronous Event Request): it takes as long as it likes. */
  patient = false;

  /** The 15-bit status; 0 is success. */
  status = 0;
  dw0 = 0;
  dw1 = 0;
  /** Bytes of data that have come from the controller. */
  received = 0;

  // For the queue pair.
  state: number = RequestState.IDLE;
  cid = 0;
  /** Bytes that the controller has been sent, or has asked for. */
  asked = 0;
  /** Position in the stream up to which the socket reads this request's data. */
  sent_end = 0;
  /** An Abort has been sent for it. */
  aborting = false;
  /** What the controller has asked for and there was no room to send: transfer tag, offset, length. */
  r2t_tag = 0;
  r2t_from = 0;
  r2t_length = 0;
  next: NvmeRequest | null = null;
  /** Of a piece: the whole. Of the whole: its pieces under way. */
  parent: NvmeRequest | null = null;
  pieces = 0;

  constructor(owner: NvmeRequestOwner = nobody) {
    this.owner = owner;
  }

  /** Starts a command anew: no data, all its dwords zero. */
  begin(opcode: number, nsid: number): void {
    const { sqe } = this;
    sqe.fill(0);
    sqe[0] = opcode | (psdt.sgl << 14);
    sqe[1] = nsid;
    this.transfer = dataTransfer.none;
    this.length = 0;
    this.region = -1;
    this.offset = 0;
    this.iovs = null;
    this.may_be_short = false;
    this.patient = false;
  }

  /** Says where the data is. The direction follows from the opcode (bits 1:0; of a Fabrics command, its type's). */
  place(transfer: number, region: number, offset: number, length: number): void {
    this.transfer = transfer;
    this.region = region;
    this.offset = offset;
    this.length = length;
  }

  /** Sets starting LBA and number of blocks (1 … 65536) of a Read, Write or their like; `flags` of `rwFlag`. */
  range(slba: number, blocks: number, flags = 0): void {
    const { sqe } = this;
    sqe[10] = slba;
    sqe[11] = slba / 0x1_0000_0000;
    sqe[12] = flags | (blocks - 1);
  }
}
