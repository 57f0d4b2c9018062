import { status } from '@spdk-ts/nvme-spec';
import type { NvmeQpair } from './qpair.ts';
import type { NvmeRequest, NvmeRequestOwner } from './request.ts';

/** What becomes of the next `err_count` commands of an opcode. */
export interface CommandFault {
  readonly opcode: number;
  /** They are not sent at all, and end after `timeout_us`; otherwise they are carried out, and end with another status. */
  readonly do_not_submit: boolean;
  readonly timeout_us: number;
  readonly err_count: number;
  readonly sct: number;
  readonly sc: number;
}

/** Stands between a command that is carried out and its owner, once. */
class FalseEnd implements NvmeRequestOwner {
  private readonly owner: NvmeRequestOwner;
  private readonly status: number;

  constructor(owner: NvmeRequestOwner, status: number) {
    this.owner = owner;
    this.status = status;
  }

  nvmeDone(request: NvmeRequest): void {
    request.owner = this.owner;
    // What was not carried out ends as it did.
    if (request.status === 0) request.status = this.status;
    this.owner.nvmeDone(request);
  }
}

/** Errors that commands end with on purpose, for tests of what is above. Queue pairs may share them. */
export class CommandFaults {
  private readonly faults = new Map<number, CommandFault & { left: number }>();

  /** Replaces that of the same opcode. */
  add(fault: CommandFault): void {
    this.faults.set(fault.opcode, { ...fault, left: fault.err_count });
  }

  remove(opcode: number): void {
    this.faults.delete(opcode);
  }

  /** For a queue pair: looks at a request that is about to be sent. True if it is not to be: it ends later. */
  take(qpair: NvmeQpair, request: NvmeRequest): boolean {
    const fault = this.faults.get(request.sqe[0]! & 0xff);
    if (fault === undefined || fault.left === 0) return false;
    fault.left--;
    const ended = status(fault.sct, fault.sc);
    if (!fault.do_not_submit) {
      request.owner = new FalseEnd(request.owner, ended);
      return false;
    }
    const end = (): void => {
      request.status = ended;
      request.owner.nvmeDone(request);
    };
    const { group } = qpair;
    if (fault.timeout_us === 0) group.thread.send(end);
    else void group.sleep(fault.timeout_us / 1000).then(end);
    return true;
  }
}
