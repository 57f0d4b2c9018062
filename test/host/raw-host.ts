/** A test host: an admin queue and I/O queues of one controller, in as few steps as the specification allows. */
import {
  adminOpcode,
  encodeCc,
  FABRICS_OPCODE,
  fabricsType,
  fid,
  nvmOpcode,
  register,
} from '@spdk-ts/nvme-spec';
import type { CommandHost, CommandQueue } from './command-queue.ts';
import { type Completion, type QueueOptions, RawQueue, StatusError } from './raw-queue.ts';

const enabled = { en: true, iosqes: 6, iocqes: 4 };
/** CC of an enabled controller with the NVM Command Set. */
export const CC_ENABLED = encodeCc(enabled);
const CSTS_READY = 1;

export interface HostOptions extends QueueOptions {
  readonly subnqn: string;
  readonly hostnqn?: string;
  readonly hostid?: Uint8Array;
  readonly katoMs?: number;
  /** CC.CSS: which I/O command sets are enabled; without it that of plain blocks. */
  readonly css?: number;
  /** Called with each queue that the target wants authenticated. */
  readonly authenticate?: (queue: RawQueue) => Promise<void>;
}

export const DEFAULT_HOSTNQN = 'nqn.2014-08.org.nvmexpress:uuid:6f3b5c1e-9f0a-4a53-8d57-0c1d2e3f4a5b';
export const DEFAULT_HOSTID = Uint8Array.from({ length: 16 }, (_, i) => 0x10 + i);

function succeeded(what: string, completion: Completion): Completion {
  if (completion.status !== 0) throw new StatusError(what, completion);
  return completion;
}

export class RawHost implements CommandHost<RawQueue> {
  readonly admin: RawQueue;
  readonly queues: RawQueue[] = [];
  readonly options: HostOptions;
  block_size = 512;

  /** Connects an admin queue and enables the controller. */
  static async connect(options: HostOptions): Promise<RawHost> {
    const host = await RawHost.attach(options);
    try {
      await host.enable();
    } catch (error) {
      host.close();
      throw error;
    }
    return host;
  }

  /** Connects an admin queue; the controller is not enabled yet. */
  static async attach(options: HostOptions): Promise<RawHost> {
    const admin = await RawQueue.open(options);
    const host = new RawHost(options, admin);
    try {
      succeeded('Connect', await host.connectQueue(admin, 0));
    } catch (error) {
      admin.close();
      throw error;
    }
    return host;
  }

  private constructor(options: HostOptions, admin: RawQueue) {
    this.options = options;
    this.admin = admin;
  }

  private get cc(): number {
    return encodeCc({ ...enabled, css: this.options.css ?? 0 });
  }

  private async connectQueue(queue: RawQueue, qid: number): Promise<Completion> {
    const { subnqn, hostnqn = DEFAULT_HOSTNQN, hostid = DEFAULT_HOSTID, katoMs = 0 } = this.options;
    queue.cntlid = this.admin.cntlid;
    const completion = await queue.connect(subnqn, hostnqn, hostid, qid, qid === 0 ? katoMs : 0);
    if (completion.status === 0 && completion.dw0 >>> 16 !== 0) await this.options.authenticate?.(queue);
    return completion;
  }

  /** Property Get, whatever its status. `size`: one of `propertySize`, or what is none. */
  getProperty(offset: number, size: number): Promise<Completion> {
    return this.admin.submit({
      ...{ opcode: FABRICS_OPCODE, nsid: fabricsType.propertyGet, psdt: 1 },
      ...{ cdw10: size, cdw11: offset },
    });
  }

  /** Property Set, whatever its status. */
  putProperty(offset: number, size: number, value: number): Promise<Completion> {
    return this.admin.submit({
      ...{ opcode: FABRICS_OPCODE, nsid: fabricsType.propertySet, psdt: 1 },
      ...{ cdw10: size, cdw11: offset, cdw12: value },
    });
  }

  /** Reads a property: its low dword. */
  async property(offset: number, eight = false): Promise<number> {
    return succeeded('Property Get', await this.getProperty(offset, eight ? 1 : 0)).dw0;
  }

  async setProperty(offset: number, value: number): Promise<void> {
    succeeded('Property Set', await this.putProperty(offset, 0, value));
  }

  /** Sets CC, and waits until CSTS.RDY is as CC.EN. */
  async enable(cc = this.cc): Promise<void> {
    await this.setProperty(register.cc, cc);
    const wanted = cc & CSTS_READY;
    for (let i = 0; i < 500; i++) {
      if (((await this.property(register.csts)) & CSTS_READY) === wanted) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`the controller does not become ${wanted ? 'ready' : 'disabled'}`);
  }

  /** Asks for I/O queues: returns how many it may have. */
  async setQueueCount(count: number): Promise<number> {
    const completion = await this.admin.submit({
      ...{ opcode: adminOpcode.setFeatures, cdw10: fid.numberOfQueues },
      cdw11: (count - 1) | ((count - 1) << 16),
    });
    return (succeeded('Set Features', completion).dw0 & 0xffff) + 1;
  }

  /** Connects I/O queues, numbered on from those that there are. */
  async openQueues(count: number, options: Partial<QueueOptions> = {}): Promise<RawQueue[]> {
    const added: RawQueue[] = [];
    for (let i = 0; i < count; i++) {
      const queue = await RawQueue.open({ entries: 64, ...this.options, ...options });
      this.queues.push(queue);
      succeeded(`Connect ${this.queues.length}`, await this.connectQueue(queue, this.queues.length));
      added.push(queue);
    }
    return added;
  }

  async identify(cns: number, nsid = 0, csi = 0): Promise<Buffer> {
    const completion = await this.admin.submitRead(
      { opcode: adminOpcode.identify, nsid, cdw10: cns, cdw11: (csi << 24) >>> 0, psdt: 1 },
      4096,
    );
    return succeeded('Identify', completion).data;
  }

  close(): void {
    for (const queue of this.queues) queue.close();
    this.admin.close();
  }
}

/** How a write's data reaches the target. */
export type WriteWay = 'capsule' | 'r2t';

function range(lba: number, blocks: number) {
  return { cdw10: lba >>> 0, cdw11: Math.floor(lba / 2 ** 32), cdw12: blocks - 1 };
}

/** Writes whole blocks; resolves to the completion, whatever its status. */
export function write(
  queue: CommandQueue,
  lba: number,
  data: Uint8Array,
  options: { block_size?: number; way?: WriteWay; nsid?: number } = {},
): Promise<Completion> {
  const { block_size = 512, nsid = 1 } = options;
  const way = options.way ?? (data.length <= queue.inCapsuleMax ? 'capsule' : 'r2t');
  const fields = { opcode: nvmOpcode.write, nsid, psdt: 1, ...range(lba, data.length / block_size) };
  return way === 'capsule' ? queue.submit(fields, data) : queue.submitR2t(fields, data);
}

/** Reads whole blocks; resolves to the completion, whatever its status. */
export function read(
  queue: CommandQueue,
  lba: number,
  length: number,
  options: { block_size?: number; nsid?: number } = {},
): Promise<Completion> {
  const { block_size = 512, nsid = 1 } = options;
  return queue.submitRead(
    { opcode: nvmOpcode.read, nsid, psdt: 1, ...range(lba, length / block_size) },
    length,
  );
}

/** Bytes that depend on every bit of the seed and of their place. */
export function pattern(length: number, seed: number): Buffer {
  const out = Buffer.allocUnsafe(length);
  let state = (seed * 2_654_435_761 + 0x9e37_79b9) >>> 0;
  for (let at = 0; at < length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    out[at] = state;
  }
  return out;
}
