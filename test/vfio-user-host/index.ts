/**
 * A client of vfio-user endpoints for tests: a PCI host without a virtual machine, in the test's own thread, that can misbehave
 * in every way. Memory is one memory file at address 0x100000; queues, PRPs and data are where the test puts them.
 */
import { closeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { native } from '@spdk-ts/native';
import * as vu from '@spdk-ts/vfio-user';

/** Where the memory begins in the device's eyes, and its bytes. */
export const BASE = 0x10_0000;
export const MEMORY_BYTES = 4 << 20;

const DOORBELLS = 0x1000;
const LIMITS = vu.channelLimits(1_048_576, 8);
const ANSWER_MS = 10_000;

export interface Reply {
  readonly error: number;
  readonly payload: Uint8Array;
  readonly fds: readonly number[];
}

export interface Completion {
  readonly cid: number;
  readonly dw0: number;
  readonly sqhd: number;
  /** Status field without the phase: code, type, DNR. */
  readonly status: number;
}

/** A submission queue and its completion queue, from the host's side. */
interface Queue {
  readonly qid: number;
  readonly sq: number;
  readonly cq: number;
  readonly size: number;
  tail: number;
  head: number;
  phase: number;
}

export class PciHost implements vu.ChannelHandler {
  readonly memoryFd: number;
  readonly memory: Uint8Array;
  readonly words: Int32Array;
  readonly channel: vu.Channel;
  /** Set when the device has closed the connection. */
  ended = false;
  /** Writes doorbells here, if the device lends BAR0. */
  bar0: Int32Array | null = null;
  /** Where the shadow doorbells are that I/O queues' doorbells are written to first; 0: there are none. */
  shadowAt = 0;
  private readonly queues = new Map<number, Queue>();
  private readonly waiting = new Map<number, (reply: Reply) => void>();
  private readonly timer: NodeJS.Timeout;
  private ids = 0;
  private cids = 0;
  private readonly early = new Map<string, Completion>();

  private constructor(path: string, memory_bytes: number) {
    const addon = native!;
    this.memoryFd = addon.memoryFile('pci-host', memory_bytes);
    const shared = addon.mapDescriptor(this.memoryFd, 0, memory_bytes, 1);
    this.memory = new Uint8Array(shared);
    this.words = new Int32Array(shared);
    this.channel = new vu.Channel(addon.unixConnect(path), this, LIMITS);
    this.timer = setInterval(() => this.channel.receive(), 1);
  }

  /** Connects, agrees on a version, and lends the memory. */
  static async open(path: string, memory_bytes = MEMORY_BYTES): Promise<PciHost> {
    const host = new PciHost(path, memory_bytes);
    await host.ask(vu.Command.version, vu.encodeVersion(0, 1, { max_msg_fds: 8 }));
    await host.lend(BASE, memory_bytes, 0);
    return host;
  }
  /** Connects only. */
  static connect(path: string): PciHost {
    return new PciHost(path, MEMORY_BYTES);
  }

  close(): void {
    clearInterval(this.timer);
    this.channel.close();
    closeSync(this.memoryFd);
  }

  message({ id, error, payload, descriptors }: vu.Message): void {
    const fds = Array.from({ length: descriptors.count }, (_, i) => descriptors.take(i));
    this.waiting.get(id)?.({ error, payload: payload.slice(), fds });
    this.waiting.delete(id);
  }
  closed(): void {
    this.ended = true;
    for (const answer of this.waiting.values())
      answer({ error: vu.Errno.ESHUTDOWN, payload: new Uint8Array(0), fds: [] });
    this.waiting.clear();
  }

  /** Sends a command and waits for its reply, whatever that says. */
  request(
    command: number,
    payload: Uint8Array = new Uint8Array(0),
    fds: readonly number[] = [],
  ): Promise<Reply> {
    this.ids = (this.ids + 1) & 0xffff;
    const id = this.ids;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${vu.commandName(command)}: no reply`)), ANSWER_MS);
      this.waiting.set(id, (reply) => {
        clearTimeout(timer);
        resolve(reply);
      });
      this.channel.send(vu.encodeCommand(id, command, payload), Int32Array.from(fds));
      if (!this.channel.isOpen) this.closed();
    });
  }
  /** The same of a command that must go well. */
  async ask(command: number, payload?: Uint8Array, fds?: readonly number[]): Promise<Reply> {
    const reply = await this.request(command, payload, fds);
    if (reply.error !== 0) throw new Error(`${vu.commandName(command)}: ${vu.errnoName(reply.error)}`);
    return reply;
  }

  lend(address: number, size: number, offset: number, flags = 3): Promise<Reply> {
    return this.ask(vu.Command.dmaMap, vu.encodeDmaMap({ address, size, offset, flags }), [this.memoryFd]);
  }
  async takeBack(address: number, size: number): Promise<void> {
    await this.ask(vu.Command.dmaUnmap, vu.encodeDmaUnmap({ flags: 0, address, size }));
  }

  // --- registers ---

  async readRegion(region: number, offset: number, count: number): Promise<Uint8Array> {
    const { payload } = await this.ask(vu.Command.regionRead, vu.encodeRegionAccess(offset, region, count));
    return vu.parseRegionAccess(payload, true, 1 << 20).data;
  }
  async writeRegion(region: number, offset: number, data: Uint8Array): Promise<void> {
    await this.ask(vu.Command.regionWrite, vu.encodeRegionAccess(offset, region, data.length, data));
  }
  async read(offset: number): Promise<number> {
    return new DataView((await this.readRegion(0, offset, 4)).slice().buffer).getUint32(0, true);
  }
  async write(offset: number, value: number): Promise<void> {
    await this.writeRegion(0, offset, new Uint8Array(Uint32Array.of(value).buffer));
  }

  /** Waits until CSTS has these bits of a mask. */
  async status(mask: number, value: number): Promise<void> {
    for (let tries = 0; tries < 5000; tries++) {
      const csts = await this.read(0x1c);
      if ((csts & mask) === value) return;
      await sleep(1);
    }
    throw new Error(
      `CSTS is ${(await this.read(0x1c)).toString(16)}, not ${value.toString(16)} in ${mask.toString(16)}`,
    );
  }

  /** Enables the controller, with an admin queue of 32 entries at these addresses. */
  async enable(asq = BASE, acq = BASE + 0x1000): Promise<void> {
    await this.write(0x24, 31 | (31 << 16));
    await this.write(0x28, asq % 2 ** 32);
    await this.write(0x2c, Math.floor(asq / 2 ** 32));
    await this.write(0x30, acq % 2 ** 32);
    await this.write(0x34, Math.floor(acq / 2 ** 32));
    this.addQueue(0, asq, acq, 32);
    await this.write(0x14, 0x46_0001);
  }
  async start(): Promise<void> {
    await this.enable();
    await this.status(1, 1);
  }
  async disable(): Promise<void> {
    await this.write(0x14, 0x46_0000);
    await this.status(1, 0);
  }

  /** BAR0, mapped, if the device lets it be. */
  async mapBar0(): Promise<boolean> {
    const { payload, fds } = await this.ask(
      vu.Command.deviceGetRegionInfo,
      vu.encodeRegionInfoQuery(0, 4096),
    );
    const { flags, size } = vu.parseRegionInfo(payload);
    if ((flags & vu.RegionFlag.mmap) === 0) return false;
    this.bar0 = new Int32Array(native!.mapDescriptor(fds[0]!, 0, size, 1));
    for (const fd of fds) closeSync(fd);
    return true;
  }

  // --- queues ---

  private addQueue(qid: number, sq: number, cq: number, size: number): void {
    if (cq >= BASE && cq < BASE + MEMORY_BYTES) this.memory.fill(0, cq - BASE, cq - BASE + size * 16);
    this.queues.set(qid, { qid, sq, cq, size, tail: 0, head: 0, phase: 1 });
  }

  /** Makes I/O queue `qid` (submission and completion), and returns nothing unless both commands succeed. */
  async createQueue(qid: number, sq: number, cq: number, size = 16, vector = 0): Promise<void> {
    await this.good(0, { opcode: 5, prp1: cq, cdw10: qid | ((size - 1) << 16), cdw11: 3 | (vector << 16) });
    await this.good(0, { opcode: 1, prp1: sq, cdw10: qid | ((size - 1) << 16), cdw11: 1 | (qid << 16) });
    this.addQueue(qid, sq, cq, size);
  }

  async ring(qid: number, completion: boolean, value: number): Promise<void> {
    const index = qid * 2 + (completion ? 1 : 0);
    if (this.shadowAt !== 0 && qid !== 0)
      Atomics.store(this.words, (this.shadowAt - BASE) / 4 + index, value);
    if (this.bar0 !== null) Atomics.store(this.bar0, DOORBELLS / 4 + index, value);
    else await this.write(DOORBELLS + index * 4, value);
  }

  /** Puts an entry into a queue without ringing. Returns the command identifier. */
  place(qid: number, entry: Entry): number {
    const queue = this.queues.get(qid)!;
    this.cids = (this.cids + 1) & 0x7fff;
    const cid = this.cids;
    const at = (queue.sq - BASE) / 4 + queue.tail * 16;
    const sqe = new Uint32Array(16);
    sqe[0] = (entry.opcode | ((entry.psdt ?? 0) << 14) | (cid << 16)) >>> 0;
    sqe[1] = entry.nsid ?? 0;
    for (const [word, address] of [
      [6, entry.prp1 ?? 0],
      [8, entry.prp2 ?? 0],
    ] as const) {
      sqe[word] = address % 2 ** 32;
      sqe[word + 1] = Math.floor(address / 2 ** 32);
    }
    for (const word of [10, 11, 12, 13, 14, 15] as const) sqe[word] = entry[`cdw${word}`] ?? 0;
    if (entry.words !== undefined)
      for (const [word, value] of Object.entries(entry.words)) sqe[Number(word)] = value;
    this.words.set(new Int32Array(sqe.buffer), at);
    queue.tail = (queue.tail + 1) % queue.size;
    return cid;
  }
  tail(qid: number): number {
    return this.queues.get(qid)!.tail;
  }

  /** Sends a command and waits for its completion. */
  async submit(qid: number, entry: Entry): Promise<Completion> {
    const cid = this.place(qid, entry);
    await this.ring(qid, false, this.tail(qid));
    return this.completion(qid, cid);
  }
  /** The same of a command that must succeed. */
  async good(qid: number, entry: Entry): Promise<Completion> {
    const completion = await this.submit(qid, entry);
    if (completion.status !== 0)
      throw new Error(`opcode ${entry.opcode}: status ${completion.status.toString(16)}`);
    return completion;
  }

  /** The completion of a command, those of others being kept meanwhile. */
  async completion(qid: number, cid: number): Promise<Completion> {
    const queue = this.queues.get(qid)!;
    for (const end = Date.now() + ANSWER_MS; ; ) {
      const early = this.early.get(`${qid}.${cid}`);
      if (early !== undefined) {
        this.early.delete(`${qid}.${cid}`);
        return early;
      }
      const at = (queue.cq - BASE) / 4 + queue.head * 4;
      const last = Atomics.load(this.words, at + 3) >>> 0;
      if (((last >>> 16) & 1) === queue.phase) {
        const sqhd = this.words[at + 2]! & 0xffff;
        const seen = { cid: last & 0xffff, dw0: this.words[at]! >>> 0, sqhd, status: last >>> 17 };
        this.early.set(`${qid}.${seen.cid}`, seen);
        queue.head = (queue.head + 1) % queue.size;
        if (queue.head === 0) queue.phase ^= 1;
        await this.ring(qid, true, queue.head);
      } else if (Date.now() > end) throw new Error(`no completion of command ${cid} on queue ${qid}`);
      else await sleep(1);
    }
  }
}

/** What is in a submission queue entry; the rest is zero. */
export interface Entry {
  readonly opcode: number;
  readonly nsid?: number;
  readonly psdt?: number;
  readonly prp1?: number;
  readonly prp2?: number;
  readonly cdw10?: number;
  readonly cdw11?: number;
  readonly cdw12?: number;
  readonly cdw13?: number;
  readonly cdw14?: number;
  readonly cdw15?: number;
  /** Dwords that take the place of those. */
  readonly words?: Readonly<Record<number, number>>;
}
