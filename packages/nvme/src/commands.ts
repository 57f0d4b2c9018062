import type { BufferWaiter } from '@spdk-ts/env';
import { dataTransfer, FABRICS_OPCODE, opcodeDataTransfer, psdt, sqeOffset } from '@spdk-ts/nvme-spec';
import { describeStatus, NvmeError } from './errors.ts';
import type { NvmeQpair } from './qpair.ts';
import { NvmeRequest } from './request.ts';

/** A command in words. What is absent is 0. */
export interface CommandFields {
  readonly opcode: number;
  readonly nsid?: number;
  readonly fuse?: number;
  readonly cdw2?: number;
  readonly cdw3?: number;
  /** Addresses, of commands to PCI controllers that name memory but have no data. */
  readonly prp1?: number;
  readonly prp2?: number;
  readonly cdw10?: number;
  readonly cdw11?: number;
  readonly cdw12?: number;
  readonly cdw13?: number;
  readonly cdw14?: number;
  readonly cdw15?: number;
}

export interface CommandData {
  /** Bytes to send. */
  readonly out?: Uint8Array;
  /** Bytes that are wanted. */
  readonly in?: number;
  /** The controller may send fewer. */
  readonly may_be_short?: boolean;
  /** It ends when something happens: no timeout. */
  readonly patient?: boolean;
  /** For messages: `Identify`. */
  readonly what?: string;
}

export interface Completion {
  /** The 15-bit status; 0 is success. */
  readonly status: number;
  readonly dw0: number;
  readonly dw1: number;
  /** What the controller has sent. */
  readonly data: Uint8Array;
}

const nothing = new Uint8Array(0);

/** Words 10 to 15 lie one behind the other. */
const FIRST_CDW = sqeOffset.cdw10 / 4;

function setPointers(sqe: Uint32Array, prp1: number, prp2: number): void {
  const at = sqeOffset.prp1 / 4;
  sqe.set([prp1, prp1 / 2 ** 32, prp2, prp2 / 2 ** 32], at);
}

function fill(request: NvmeRequest, fields: CommandFields): void {
  const { cdw2 = 0, cdw3 = 0, cdw10 = 0, cdw11 = 0, cdw12 = 0, cdw13 = 0, cdw14 = 0, cdw15 = 0 } = fields;
  request.begin(fields.opcode, fields.nsid ?? 0);
  const { sqe } = request;
  sqe[0] = fields.opcode | ((fields.fuse ?? 0) << 8) | (psdt.sgl << 14);
  sqe[2] = cdw2;
  sqe[3] = cdw3;
  if (fields.prp1 !== undefined) setPointers(sqe, fields.prp1, fields.prp2 ?? 0);
  sqe.set([cdw10, cdw11, cdw12, cdw13, cdw14, cdw15], FIRST_CDW);
}

/** Sends single commands and waits for them: for everything but the path of an I/O. */
export abstract class CommandSender {
  /** For messages: where they go. */
  abstract readonly name: string;

  /**
   * Sends a command. Resolves with its completion, whatever its status. Rejects with an {@link NvmeError}: ECLOSED, EINVAL, or
   * that of the connection if it is lost.
   */
  abstract run(fields: CommandFields, data?: CommandData): Promise<Completion>;

  /** The same, for a command that has to succeed: rejects with ESTATUS otherwise. */
  async succeed(fields: CommandFields, data: CommandData = {}): Promise<Completion> {
    const completion = await this.run(fields, data);
    if (completion.status === 0) return completion;
    const text = describeStatus(completion.status, fields.opcode === FABRICS_OPCODE);
    const what = data.what ?? `command ${fields.opcode.toString(16)}h`;
    throw new NvmeError('ESTATUS', `${this.name}: ${what} failed: ${text}`, completion.status);
  }
}

/** Sends them on a queue pair. Data goes through a buffer of the reactor. */
export class Commands extends CommandSender {
  readonly qpair: NvmeQpair;

  constructor(qpair: NvmeQpair) {
    super();
    this.qpair = qpair;
  }

  get name(): string {
    return this.qpair.name;
  }

  async run(fields: CommandFields, data: CommandData = {}): Promise<Completion> {
    const length = data.out?.length ?? data.in ?? 0;
    const what = data.what ?? `command ${fields.opcode.toString(16)}h`;
    if (data.out !== undefined && data.in !== undefined)
      throw new NvmeError('EINVAL', `${what}: data goes one way only`);
    const request = new NvmeRequest();
    fill(request, fields);
    request.patient = data.patient ?? false;
    if (length === 0) return await this.send(request, what);
    const { reactor } = this.qpair.group;
    if (length > reactor.buffers.max_bytes)
      throw new NvmeError(
        'EINVAL',
        `${what}: ${length} bytes are more than a buffer's ${reactor.buffers.max_bytes}`,
      );
    const wanted = data.out === undefined ? dataTransfer.controllerToHost : dataTransfer.hostToController;
    const told = opcodeDataTransfer(fields.opcode, fields.nsid);
    if (told !== wanted && fields.opcode !== FABRICS_OPCODE && told !== dataTransfer.bidirectional)
      throw new NvmeError(
        'EINVAL',
        `${what}: its opcode says that its data goes the other way, or that it has none`,
      );
    const offset = await this.buffer(length);
    try {
      const { region } = reactor.buffers;
      if (data.out !== undefined) reactor.buffers.bytes.set(data.out, offset);
      request.place(wanted, region, offset, length);
      request.may_be_short = data.may_be_short ?? false;
      const completion = await this.send(request, what);
      if (data.out !== undefined) return completion;
      return { ...completion, data: reactor.buffers.bytes.slice(offset, offset + request.received) };
    } finally {
      reactor.buffers.put(offset);
    }
  }

  private async buffer(length: number): Promise<number> {
    const { buffers } = this.qpair.group.reactor;
    for (;;) {
      const offset = buffers.get(length);
      if (offset >= 0) return offset;
      await new Promise<void>((resolve) => {
        const waiter: BufferWaiter = { bufferAvailable: resolve };
        buffers.wait(waiter);
      });
    }
  }

  private send(request: NvmeRequest, what: string): Promise<Completion> {
    const { qpair } = this;
    return new Promise((resolve, reject) => {
      request.owner = {
        nvmeDone: () => {
          const { status, dw0, dw1 } = request;
          if (qpair.error !== null && status !== 0)
            reject(new NvmeError(qpair.error.code, `${what}: ${qpair.error.message}`, status));
          else resolve({ status, dw0, dw1, data: nothing });
        },
      };
      if (qpair.submit(request) !== 0)
        reject(qpair.error ?? new NvmeError('ECLOSED', `${what}: ${qpair.name} is not open`));
    });
  }
}
