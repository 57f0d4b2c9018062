/** A PCI controller as checks use it: registers, an admin queue, I/O queues, in as few steps as the specification allows. */
import { adminOpcode, decodeCc, fid, propertySize, register, type SqeFields } from '@spdk-ts/nvme-spec';
import { PciRegion } from '@spdk-ts/vfio-user';
import { CC_ENABLED, type CommandHost, type Completion, StatusError } from '../host/index.ts';
import { PciHost } from './index.ts';
import { Pages } from './pages.ts';
import { PciQueue } from './pci-queue.ts';

const MEMORY_BYTES = 64 << 20;
const ADMIN_ENTRIES = 64;
const IO_ENTRIES = 64;
const READY = 1;
const QUEUE_CONTIGUOUS = 1;
/** Configuration space: where the list of capabilities begins, and the one of MSI-X. */
const CAPABILITIES = 0x34;
const MSI_X = 0x11;
const TRIES = 1000;
const empty = Buffer.alloc(0);

const answer = (dw0: number, dw1 = 0): Completion => ({
  ...{ cid: 0, status: 0, dw0: dw0 >>> 0, dw1: dw1 >>> 0, sqhd: 0, data: empty, implicit: false },
});

export class PciDriver implements CommandHost<PciQueue> {
  readonly pci: PciHost;
  readonly pages: Pages;
  readonly admin: PciQueue;
  readonly queues: PciQueue[] = [];
  private readonly timer: NodeJS.Timeout;
  private isEnabled = false;
  private readonly ending: () => void;

  /** Connects to an endpoint; the controller is not enabled. `ending` is called when this is closed. */
  static async attach(path: string, ending: () => void = () => {}): Promise<PciDriver> {
    const pci = await PciHost.open(path, MEMORY_BYTES);
    await pci.mapBar0();
    return new PciDriver(pci, ending);
  }

  private constructor(pci: PciHost, ending: () => void) {
    this.pci = pci;
    this.ending = ending;
    this.pages = new Pages(MEMORY_BYTES);
    this.admin = new PciQueue(pci, this.pages, 0, ADMIN_ENTRIES);
    this.timer = setInterval(() => this.poll(), 1);
  }

  private poll(): void {
    if (this.pci.ended)
      for (const queue of [this.admin, ...this.queues]) queue.end('the endpoint has closed');
    else for (const queue of [this.admin, ...this.queues]) queue.poll();
  }

  // --- registers ---

  async getProperty(offset: number, size: number): Promise<Completion> {
    const low = await this.pci.read(offset);
    return answer(low, size === propertySize.bytes8 ? await this.pci.read(offset + 4) : 0);
  }
  async putProperty(offset: number, _size: number, value: number): Promise<Completion> {
    if (offset === register.cc) await this.setCc(value);
    else await this.pci.write(offset, value);
    return answer(0);
  }
  property(offset: number): Promise<number> {
    return this.pci.read(offset);
  }
  async setProperty(offset: number, value: number): Promise<void> {
    await this.putProperty(offset, propertySize.bytes4, value);
  }

  /** Vectors of the MSI-X capability; 0 without one. */
  async vectors(): Promise<number> {
    const config = Buffer.from(await this.pci.readRegion(PciRegion.config, 0, 256));
    for (let at = config[CAPABILITIES]!; at !== 0; at = config[at + 1]!)
      if (config[at] === MSI_X) return (config.readUInt16LE(at + 2) & 0x7ff) + 1;
    return 0;
  }

  private async setCc(value: number): Promise<void> {
    const { en } = decodeCc(value);
    if (en && !this.isEnabled) {
      this.admin.clear();
      await this.pci.write(register.aqa, (this.admin.entries - 1) * 0x1_0001);
      for (const [offset, address] of [
        [register.asq, this.admin.sq],
        [register.acq, this.admin.cq],
      ] as const) {
        await this.pci.write(offset, address % 2 ** 32);
        await this.pci.write(offset + 4, Math.floor(address / 2 ** 32));
      }
    }
    await this.pci.write(register.cc, value);
    if (!en && this.isEnabled) {
      for (const queue of [this.admin, ...this.queues]) queue.end('the controller is reset');
      this.queues.length = 0;
    }
    this.isEnabled = en;
  }

  async enable(cc = CC_ENABLED): Promise<void> {
    await this.setCc(cc);
    const wanted = cc & READY;
    for (let i = 0; i < TRIES; i++) {
      if (((await this.pci.read(register.csts)) & READY) === wanted) return;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    throw new Error(`the controller does not become ${wanted ? 'ready' : 'disabled'}`);
  }

  // --- commands ---

  private async good(what: string, sent: Promise<Completion>): Promise<Completion> {
    const completion = await sent;
    if (completion.status !== 0) throw new StatusError(what, completion);
    return completion;
  }

  async identify(cns: number, nsid = 0, csi = 0): Promise<Buffer> {
    const fields = { opcode: adminOpcode.identify, nsid, cdw10: cns, cdw11: (csi << 24) >>> 0 };
    return (await this.good('Identify', this.admin.submitRead(fields, 4096))).data;
  }

  async setQueueCount(count: number): Promise<number> {
    const fields = {
      ...{ opcode: adminOpcode.setFeatures, cdw10: fid.numberOfQueues },
      cdw11: (count - 1) | ((count - 1) << 16),
    };
    return ((await this.good('Set Features', this.admin.submit(fields))).dw0 & 0xffff) + 1;
  }

  /** Create I/O Completion Queue, whatever its status. */
  createCq(
    qid: number,
    entries: number,
    address: number,
    fields: Partial<SqeFields> = {},
  ): Promise<Completion> {
    const cdw10 = (qid | ((entries - 1) << 16)) >>> 0;
    return this.bare({
      ...{ opcode: adminOpcode.createIoCq, cdw10, cdw11: QUEUE_CONTIGUOUS, prp1: address },
      ...fields,
    });
  }
  /** Create I/O Submission Queue, whatever its status. */
  createSq(
    qid: number,
    entries: number,
    address: number,
    cqid: number,
    fields: Partial<SqeFields> = {},
  ): Promise<Completion> {
    const cdw10 = (qid | ((entries - 1) << 16)) >>> 0;
    const cdw11 = (QUEUE_CONTIGUOUS | (cqid << 16)) >>> 0;
    return this.bare({ opcode: adminOpcode.createIoSq, cdw10, cdw11, prp1: address, ...fields });
  }
  /** An Admin command just as it is, its PRPs too. */
  bare(fields: SqeFields): Promise<Completion> {
    return bare(this.admin, fields);
  }

  async openQueues(count: number, { entries = IO_ENTRIES } = {}): Promise<PciQueue[]> {
    const added: PciQueue[] = [];
    for (let i = 0; i < count; i++) {
      const qid = this.queues.length + 1;
      const queue = new PciQueue(this.pci, this.pages, qid, entries);
      await this.good(`Create I/O CQ ${qid}`, this.createCq(qid, entries, queue.cq));
      await this.good(`Create I/O SQ ${qid}`, this.createSq(qid, entries, queue.sq, qid));
      queue.cntlid = this.admin.cntlid;
      this.queues.push(queue);
      added.push(queue);
    }
    return added;
  }

  close(): void {
    clearInterval(this.timer);
    for (const queue of [this.admin, ...this.queues]) queue.end('the host has closed');
    this.pci.close();
    this.ending();
  }
}

/** A command just as it is, its PRPs too. */
export function bare(queue: PciQueue, fields: SqeFields): Promise<Completion> {
  const cid = queue.newCid();
  const done = queue.expect(cid);
  if (!queue.ended) queue.post({ ...fields, cid });
  return done;
}
