/** A queue pair of a PCI test host, in its memory: entries out, completions back; data by PRPs unless the test says otherwise. */
import {
  cqeCid,
  cqeDw0,
  cqeDw1,
  cqeSqhd,
  cqeStatus,
  encodeSqe,
  psdt,
  type SqeFields,
} from '@spdk-ts/nvme-spec';
import type { CommandQueue, Completion } from '../host/index.ts';
import { BASE, type PciHost } from './index.ts';
import { PAGE_BYTES, type Pages, pagesOf } from './pages.ts';

const SQE_BYTES = 64;
const CQE_BYTES = 16;
const PRPS = PAGE_BYTES / 8;

/** Memory of a command: its data, and the PRP list behind them. */
interface Buffers {
  readonly address: number;
  readonly pages: number;
  readonly prp1: number;
  readonly prp2: number;
}

interface Outstanding {
  readonly resolve: (completion: Completion) => void;
  readonly reject: (error: Error) => void;
  readonly buffers: Buffers | null;
  readonly length: number;
}

export class PciQueue implements CommandQueue {
  readonly qid: number;
  readonly entries: number;
  /** Device addresses of the rings. */
  readonly sq: number;
  readonly cq: number;
  readonly inCapsuleMax = 0;
  lenient = false;
  /** Completions are taken, and the controller is not told so. */
  holdsHead = false;
  cntlid = 0;
  ended = false;
  private readonly pci: PciHost;
  private readonly pages: Pages;
  private readonly view: DataView;
  private readonly outstanding = new Map<number, Outstanding>();
  /** Commands for which the ring has no room yet. */
  private readonly backlog: SqeFields[] = [];
  private nextCid = 0;
  private tail = 0;
  /** Up to where the controller has fetched. */
  private fetched = 0;
  private head = 0;
  private phase = 1;

  constructor(pci: PciHost, pages: Pages, qid: number, entries: number) {
    this.pci = pci;
    this.pages = pages;
    this.qid = qid;
    this.entries = entries;
    this.sq = pages.take(pagesOf(entries * SQE_BYTES));
    this.cq = pages.take(pagesOf(entries * CQE_BYTES));
    this.view = new DataView(pci.memory.buffer);
    this.clear();
  }

  /** Empty rings, as before the queue is made. */
  clear(): void {
    const from = this.cq - BASE;
    this.pci.memory.fill(0, from, from + this.entries * CQE_BYTES);
    this.tail = 0;
    this.fetched = 0;
    this.head = 0;
    this.phase = 1;
    this.ended = false;
  }

  newCid(): number {
    do this.nextCid = (this.nextCid + 1) & 0x7fff;
    while (this.outstanding.has(this.nextCid));
    return this.nextCid;
  }

  expect(cid: number, length = 0, buffers: Buffers | null = null): Promise<Completion> {
    const done = new Promise<Completion>((resolve, reject) => {
      if (this.ended) reject(new Error('the queue is no more'));
      else this.outstanding.set(cid, { resolve, reject, buffers, length });
    });
    // Whoever waits is told; that nobody does is no failure.
    done.catch(() => {});
    return done;
  }

  post(...commands: readonly SqeFields[]): void {
    // What is asked for as over fabrics, by an SGL that the queue makes, is by PRPs here.
    for (const fields of commands)
      this.backlog.push(
        fields.psdt === psdt.sgl && fields.sgl1 === undefined ? { ...fields, psdt: psdt.prp } : fields,
      );
    this.flush();
  }

  submit(fields: SqeFields, data: Uint8Array = new Uint8Array(0)): Promise<Completion> {
    return this.together([fields, data])[0]!;
  }
  /** Several commands, told of with one doorbell. */
  together(...commands: readonly (readonly [SqeFields, Uint8Array])[]): Promise<Completion>[] {
    const posted: SqeFields[] = [];
    const done = commands.map(([fields, data]) => {
      const buffers = this.memory(data.length);
      this.pci.memory.set(data, buffers.address - BASE);
      return this.prepare(fields, 0, buffers, posted);
    });
    if (!this.ended) this.post(...posted);
    return done;
  }
  submitR2t(fields: SqeFields, data: Uint8Array): Promise<Completion> {
    return this.submit(fields, data);
  }
  submitRead(fields: SqeFields, length: number): Promise<Completion> {
    const buffers = this.memory(length);
    const from = buffers.address - BASE;
    this.pci.memory.fill(0, from, from + Math.max(length, PAGE_BYTES));
    const posted: SqeFields[] = [];
    const done = this.prepare(fields, length, buffers, posted);
    if (!this.ended) this.post(...posted);
    return done;
  }

  private prepare(
    fields: SqeFields,
    length: number,
    buffers: Buffers,
    posted: SqeFields[],
  ): Promise<Completion> {
    const cid = this.newCid();
    const { prp1, prp2 } = buffers;
    posted.push({ prp1, prp2, ...fields, cid });
    return this.expect(cid, length, buffers);
  }

  /** Pages for data, and, for more than two of them, a list. */
  private memory(bytes: number): Buffers {
    const data = pagesOf(bytes);
    const lists = data > 2 ? Math.ceil((data - 1) / (PRPS - 1)) : 0;
    const address = this.pages.take(data + lists);
    if (lists === 0)
      return { address, pages: data, prp1: address, prp2: data === 2 ? address + PAGE_BYTES : 0 };
    const list = address + data * PAGE_BYTES;
    this.writeList(list, address + PAGE_BYTES, data - 1);
    return { address, pages: data + lists, prp1: address, prp2: list };
  }

  /** PRP entries; the last of a page that is full leads to the next page. */
  private writeList(list: number, first: number, count: number): void {
    for (let i = 0, at = list - BASE; i < count; at += 8) {
      const isLink = at % PAGE_BYTES === PAGE_BYTES - 8 && i < count - 1;
      const value = isLink ? at + 8 + BASE : first + i * PAGE_BYTES;
      this.view.setBigUint64(at, BigInt(value), true);
      if (!isLink) i++;
    }
  }

  private flush(): void {
    let moved = false;
    while (this.backlog.length > 0 && (this.tail + 1) % this.entries !== this.fetched) {
      encodeSqe(this.view, this.sq - BASE + this.tail * SQE_BYTES, this.backlog.shift()!);
      this.tail = (this.tail + 1) % this.entries;
      moved = true;
    }
    if (moved) this.pci.ring(this.qid, false, this.tail).catch((error: Error) => this.end(error.message));
  }

  /** Takes the completions that there are. */
  poll(): void {
    let taken = false;
    while (!this.ended) {
      const at = this.cq - BASE + this.head * CQE_BYTES;
      const last = Atomics.load(this.pci.words, at / 4 + 3) >>> 0;
      if (((last >>> 16) & 1) !== this.phase) break;
      this.head = (this.head + 1) % this.entries;
      if (this.head === 0) this.phase ^= 1;
      this.take(at);
      taken = true;
    }
    if (!taken || this.ended) return;
    if (!this.holdsHead)
      this.pci.ring(this.qid, true, this.head).catch((error: Error) => this.end(error.message));
    this.flush();
  }

  private take(at: number): void {
    const { view } = this;
    const cid = cqeCid(view, at);
    const found = this.outstanding.get(cid);
    this.fetched = cqeSqhd(view, at);
    if (found === undefined) {
      if (!this.lenient) this.end(`a completion for CID ${cid}, which is not outstanding`);
      return;
    }
    this.outstanding.delete(cid);
    const { buffers, length, resolve } = found;
    const from = (buffers?.address ?? BASE) - BASE;
    const data = Buffer.from(this.pci.memory.slice(from, from + length));
    if (buffers !== null) this.pages.give(buffers.address, buffers.pages);
    resolve({
      ...{ cid, status: cqeStatus(view, at), dw0: cqeDw0(view, at), dw1: cqeDw1(view, at) },
      ...{ sqhd: this.fetched, data, implicit: false },
    });
  }

  /** The queue is no more; what its commands had is not used again, as the controller may still write there. */
  end(reason: string): void {
    this.ended = true;
    this.backlog.length = 0;
    for (const { reject } of this.outstanding.values()) reject(new Error(reason));
    this.outstanding.clear();
  }
}
