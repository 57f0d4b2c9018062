/**
 * An NVMe controller behind a vfio-user socket, in the test's own thread: registers, doorbells (mapped, by message, shadow), queues in the
 * host's memory, PRPs and SGLs. It is correct, unless a script says otherwise. Written from the specifications, it shares only the codec
 * of messages with what it tests.
 */
import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { native } from '@spdk-ts/native';
import {
  adminOpcode,
  cns,
  encodeCap,
  encodeCqe,
  encodeNamespaceList,
  encodeNumberOfQueues,
  fid,
  identifyController,
  identifyNamespace,
  nvmOpcode,
  register,
  viewOf,
} from '@spdk-ts/nvme-spec';
import * as v from '@spdk-ts/vfio-user';

export const MODEL_BLOCKS = 65_536;
export const MODEL_NQN = 'nqn.2026-11.io.spdk-ts:model';
const BLOCK = 512;
const PAGE = 4096;
const BAR_BYTES = 0x2000;
const VECTORS = 8;

/** A completion that is about to be written; a script may change it. */
export interface Completion {
  qid: number;
  opcode: number;
  sqhd: number;
  sqid: number;
  cid: number;
  status: number;
  dw0: number;
  /** As it is due; a script may flip it. */
  phase: number;
}

export interface Script {
  /** Completions that are written in the place of one. */
  complete?(completion: Completion): readonly Completion[];
  /** A status that a command is refused with; 0: it is carried out. */
  refuse?(qid: number, opcode: number): number;
  /** True: the command gets no answer. */
  swallow?(qid: number, opcode: number): boolean;
  /** What a register reads as instead. */
  read?(offset: number, value: number): number;
  /** True: a message gets no reply. */
  mute?(command: number): boolean;
  /** True: DMA_MAP is refused. */
  refuseMap?(address: number, size: number): boolean;
}

export interface ModelOptions {
  readonly mappable?: boolean;
  readonly shadow?: boolean;
  readonly sgl?: boolean;
  readonly dstrd?: number;
  readonly mdts?: number;
  readonly mqes?: number;
  readonly vectors?: number;
}

interface Range {
  readonly address: number;
  readonly bytes: Uint8Array;
}
interface Queue {
  readonly address: number;
  readonly entries: number;
  head: number;
  tail: number;
  phase: number;
  /** Of a submission queue: its completion queue. Of a completion queue: its vector, or -1. */
  readonly other: number;
}

type Reply = (payload?: Uint8Array, fds?: Int32Array) => void;

export class DeviceModel {
  script: Script = {};
  readonly folder = mkdtempSync(join(tmpdir(), 'spdk-ts-model-'));
  readonly disk = new Uint8Array(MODEL_BLOCKS * BLOCK);
  readonly options: Required<ModelOptions>;
  /** Doorbell writes that came by message, and I/O commands with SGLs and with PRPs. */
  traps = 0;
  sgls = 0;
  prps = 0;
  interrupts = 0;
  connections = 0;
  /** CC.SHN was seen. */
  shutDown = false;
  private readonly listener: number;
  private readonly watch: unknown;
  private channel: v.Channel | null = null;
  private channelWatch: unknown = null;
  private running = true;
  private readonly bar: number;
  private readonly doorbells: Int32Array;
  private readonly registers = new DataView(new ArrayBuffer(0x1000));
  private readonly config = new Uint8Array(256);
  private ranges: Range[] = [];
  private readonly sqs = new Map<number, Queue>();
  private readonly cqs = new Map<number, Queue>();
  private eventfds: number[] = [];
  private shadows: { shadow: number; events: number } | null = null;
  /** Asynchronous Event Requests. */
  private aers: number[] = [];

  constructor(options: ModelOptions = {}) {
    this.options = {
      mappable: true,
      shadow: false,
      sgl: false,
      dstrd: 0,
      mdts: 5,
      mqes: 1023,
      vectors: VECTORS,
      ...options,
    };
    const addon = native!;
    this.listener = addon.unixListen(join(this.folder, 'cntrl'), 1);
    this.bar = addon.memoryFile('bar0', BAR_BYTES);
    this.doorbells = new Int32Array(addon.mapDescriptor(this.bar, PAGE, PAGE, 1));
    this.watch = addon.ringWatch(this.listener, () => this.accept());
    addon.ringWatchStart(this.watch);
    this.config.set([1, 2, 8, 1], 8); // revision, class code 010802h
    this.config[6] = 0x10;
    this.config[0x34] = 0x40;
    this.config.set([0x01, 0x50, 0, 0], 0x40); // power management, then MSI-X
    this.config.set([0x11, 0x00, VECTORS - 1, 0], 0x50);
    this.resetRegisters();
    const turn = (): void => {
      if (!this.running) return;
      this.poll();
      setImmediate(turn);
    };
    turn();
  }

  get transportId(): string {
    return `trtype:VFIOUSER traddr:${this.folder}`;
  }
  /** True if memory and bus mastering are enabled. */
  get enabledInConfig(): boolean {
    return (this.config[4]! & 6) === 6;
  }
  get msixEnabled(): boolean {
    return (this.config[0x53]! & 0x80) !== 0;
  }
  get mapped(): number {
    return this.ranges.length;
  }
  /** Asynchronous Event Requests that are outstanding. */
  get waitingForEvents(): number {
    return this.aers.length;
  }
  get queues(): number {
    return this.sqs.size + this.cqs.size;
  }

  private resetRegisters(): void {
    const cap = encodeCap({
      mqes: this.options.mqes,
      cqr: true,
      to: 4,
      dstrd: this.options.dstrd,
      css: 0x41,
    });
    this.registers.setUint32(register.cap, cap.lo, true);
    this.registers.setUint32(register.cap + 4, cap.hi, true);
    this.registers.setUint32(register.vs, 0x2_0000, true);
    this.registers.setUint32(register.cc, 0, true);
    this.registers.setUint32(register.csts, 0, true);
    this.clearQueues();
  }

  private clearQueues(): void {
    this.sqs.clear();
    this.cqs.clear();
    this.doorbells.fill(0);
    this.shadows = null;
    this.aers = [];
  }

  // --- the socket ---

  private accept(): void {
    const fd = native!.unixAccept(this.listener);
    native!.ringWatchStart(this.watch);
    if (fd < 0) return;
    if (this.channel !== null) {
      closeSync(fd);
      return;
    }
    this.connections++;
    const handler = { message: (m: v.Message) => this.take(m), closed: () => this.disconnected() };
    this.channel = new v.Channel(fd, handler, v.channelLimits(1 << 20, 8));
    const receive = (): void => {
      this.channel?.receive();
      if (this.channel !== null) native!.ringWatchStart(this.channelWatch);
    };
    this.channelWatch = native!.ringWatch(fd, receive);
    native!.ringWatchStart(this.channelWatch);
  }

  private disconnected(): void {
    // It has a copy of the socket: the host is to see the end at once.
    if (this.channelWatch !== null) native!.ringWatchClose(this.channelWatch);
    this.channelWatch = null;
    this.channel = null;
    this.ranges = [];
    for (const fd of this.eventfds) v.closeDescriptor(fd ?? -1);
    this.eventfds = [];
    this.resetRegisters();
  }

  /** Ends the connection, as a server does that dies. */
  drop(): void {
    this.channel?.close();
    this.disconnected();
  }

  stop(): void {
    this.drop();
    this.running = false;
    native!.ringWatchClose(this.watch);
    closeSync(this.listener);
    closeSync(this.bar);
    rmSync(this.folder, { recursive: true });
  }

  private take(message: v.Message): void {
    if (this.script.mute?.(message.command) === true) return;
    const { id, command, flags } = message;
    const reply = (payload?: Uint8Array, fds?: Int32Array): void => {
      if ((flags & v.HeaderFlag.noReply) === 0) this.channel!.send(v.encodeReply(id, command, payload), fds);
    };
    try {
      this.answer(message, reply);
    } catch (error) {
      const errno = error instanceof v.VfioUserError ? error.errno : v.Errno.EIO;
      this.channel?.send(v.encodeErrorReply(id, command, errno));
    }
  }

  private answer(message: v.Message, reply: Reply): void {
    const { payload, command } = message;
    switch (command) {
      case v.Command.version:
        reply(v.encodeVersion(0, 1, { max_msg_fds: 8 }));
        break;
      case v.Command.deviceGetInfo:
        reply(v.encodeDeviceInfo({ flags: v.DeviceFlag.pci | v.DeviceFlag.reset, regions: 9, irqs: 5 }));
        break;
      case v.Command.deviceGetRegionInfo:
        this.regionInfo(payload, reply);
        break;
      case v.Command.deviceGetIrqInfo: {
        const index = v.parseIrqInfoQuery(payload);
        reply(
          v.encodeIrqInfo({ flags: 1, index, count: index === v.PciIrq.msix ? this.options.vectors : 1 }),
        );
        break;
      }
      case v.Command.deviceSetIrqs: {
        const set = v.parseIrqSet(payload, [1, 1, this.options.vectors, 1, 1], message.descriptors.count);
        v.closeDescriptor(this.eventfds[set.start] ?? -1);
        this.eventfds[set.start] = message.descriptors.take(0);
        reply();
        break;
      }
      case v.Command.dmaMap: {
        const { address, size, offset } = v.parseDmaMap(payload);
        if (this.script.refuseMap?.(address, size) === true) throw new v.VfioUserError(v.Errno.ENOSPC, 'no');
        if (
          this.ranges.some((one) => address < one.address + one.bytes.length && one.address < address + size)
        )
          throw new v.VfioUserError(v.Errno.EEXIST, 'overlap');
        const fd = message.descriptors.take(0);
        this.ranges.push({ address, bytes: new Uint8Array(native!.mapDescriptor(fd, offset, size, 1)) });
        closeSync(fd);
        reply();
        break;
      }
      case v.Command.dmaUnmap: {
        const { address, size } = v.parseDmaUnmap(payload);
        const at = this.ranges.findIndex((one) => one.address === address && one.bytes.length === size);
        if (at < 0) throw new v.VfioUserError(v.Errno.ENOENT, 'not mapped');
        this.ranges.splice(at, 1);
        reply(payload.slice());
        break;
      }
      case v.Command.regionRead: {
        const { offset, region, count } = v.parseRegionAccess(payload, false, 4096);
        reply(v.encodeRegionAccess(offset, region, count, this.readRegion(region, offset, count)));
        break;
      }
      case v.Command.regionWrite: {
        const { offset, region, count, data } = v.parseRegionAccess(payload, true, 4096);
        if (region === v.PciRegion.config) this.config.set(data, offset);
        else if (offset >= 0x1000) this.trapped(offset, viewOf(data).getUint32(0, true));
        else this.writeRegister(offset, data);
        reply(v.encodeRegionAccess(offset, region, count));
        break;
      }
      case v.Command.deviceReset:
        this.resetRegisters();
        reply();
        break;
      default:
        throw new v.VfioUserError(v.Errno.EOPNOTSUPP, 'no');
    }
  }

  private regionInfo(payload: Uint8Array, reply: Reply): void {
    const { index, argsz } = v.parseRegionInfoQuery(payload);
    const { mappable } = this.options;
    const bar0 = index === v.PciRegion.bar0;
    const flags = v.RegionFlag.read | v.RegionFlag.write | (bar0 && mappable ? v.RegionFlag.mmap : 0);
    const areas = bar0 && mappable ? [{ offset: PAGE, size: PAGE }] : [];
    const info = { flags, index, size: bar0 ? BAR_BYTES : index === 7 ? 256 : 0, offset: 0, areas };
    const answer = v.encodeRegionInfo(info, argsz);
    reply(answer, bar0 && mappable && answer.length > 32 ? Int32Array.of(this.bar) : undefined);
  }

  private readRegion(region: number, offset: number, count: number): Uint8Array {
    if (region === v.PciRegion.config) return this.config.slice(offset, offset + count);
    const bytes = new Uint8Array(this.registers.buffer.slice(offset, offset + count));
    const view = viewOf(bytes);
    for (let at = 0; at + 4 <= count; at += 4) {
      const value = view.getUint32(at, true);
      view.setUint32(at, this.script.read?.(offset + at, value) ?? value, true);
    }
    return bytes;
  }

  private writeRegister(offset: number, data: Uint8Array): void {
    new Uint8Array(this.registers.buffer).set(data, offset);
    if (offset !== register.cc) return;
    const cc = this.registers.getUint32(register.cc, true);
    const ready = (this.registers.getUint32(register.csts, true) & 1) !== 0;
    if ((cc & 1) !== 0 && !ready) this.enable();
    if ((cc & 1) === 0) {
      this.clearQueues();
      this.registers.setUint32(register.csts, 0, true);
    } else if ((cc & 0xc000) !== 0) {
      this.shutDown = true;
      this.registers.setUint32(register.csts, 1 | 8, true);
    }
  }

  private enable(): void {
    const aqa = this.registers.getUint32(register.aqa, true);
    const at = (offset: number): number =>
      this.registers.getUint32(offset, true) + this.registers.getUint32(offset + 4, true) * 2 ** 32;
    const queue = (address: number, entries: number, other: number): Queue => ({
      ...{ address, entries, other, head: 0, tail: 0, phase: 1 },
    });
    this.sqs.set(0, queue(at(register.asq), (aqa & 0xfff) + 1, 0));
    this.cqs.set(0, queue(at(register.acq), (aqa >>> 16) + 1, 0));
    this.registers.setUint32(register.csts, 1, true);
  }

  // --- memory and doorbells ---

  /** Bytes at the host's address. Throws if they are not all there. */
  private memory(address: number, length: number): Uint8Array {
    const range = this.ranges.find(
      (one) => address >= one.address && address + length <= one.address + one.bytes.length,
    );
    if (range === undefined)
      throw new Error(`the host gave address ${address.toString(16)}, ${length} bytes`);
    return range.bytes.subarray(address - range.address, address - range.address + length);
  }

  private trapped(offset: number, value: number): void {
    this.traps++;
    this.doorbells[(offset - 0x1000) / 4] = value;
  }

  private doorbell(qid: number, completion: boolean): number {
    const index = (2 * qid + (completion ? 1 : 0)) << this.options.dstrd;
    if (this.shadows === null || qid === 0) return this.doorbells[index]!;
    const word = this.memory(this.shadows.shadow + index * 4, 4);
    return viewOf(word).getUint32(0, true);
  }

  private poll(): void {
    for (const [qid, sq] of [...this.sqs]) {
      const tail = this.doorbell(qid, false);
      while (sq.head !== tail && this.sqs.get(qid) === sq) {
        const entry = this.memory(sq.address + sq.head * 64, 64).slice();
        sq.head = (sq.head + 1) % sq.entries;
        this.command(qid, sq, entry);
      }
    }
  }

  // --- commands ---

  private command(qid: number, sq: Queue, entry: Uint8Array): void {
    const view = viewOf(entry);
    const opcode = entry[0]!;
    const cid = view.getUint16(2, true);
    if (this.script.swallow?.(qid, opcode) === true) return;
    let [status, dw0] = [this.script.refuse?.(qid, opcode) ?? 0, 0];
    if (status !== 0) {
      // nothing happens
    } else if (qid === 0) {
      const found = this.admin(view, opcode, cid);
      if (found === null) return;
      [status, dw0] = found;
    } else status = this.io(view, opcode);
    this.complete({ qid, opcode, sqhd: sq.head, sqid: qid, cid, status, dw0, phase: 0 });
  }

  /** Completes the oldest Asynchronous Event Request. */
  event(dw0: number): void {
    const cid = this.aers.shift();
    const sq = this.sqs.get(0);
    if (cid === undefined || sq === undefined)
      throw new Error('no Asynchronous Event Request is outstanding');
    this.complete({
      qid: 0,
      opcode: adminOpcode.asyncEventRequest,
      sqhd: sq.head,
      sqid: 0,
      cid,
      status: 0,
      dw0,
      phase: 0,
    });
  }

  private complete(due: Completion): void {
    const cqid = this.sqs.get(due.qid)?.other ?? 0;
    const cq = this.cqs.get(cqid)!;
    for (const one of this.script.complete?.({ ...due, phase: cq.phase }) ?? [{ ...due, phase: cq.phase }]) {
      const slot = this.memory(cq.address + cq.tail * 16, 16);
      encodeCqe(viewOf(slot), 0, one.dw0, 0, one.sqhd, one.sqid, one.cid, one.status, one.phase);
      if (++cq.tail === cq.entries) {
        cq.tail = 0;
        cq.phase ^= 1;
      }
    }
    const eventfd = this.eventfds[cq.other];
    if (cq.other < 0 || eventfd === undefined || eventfd < 0) return;
    this.interrupts++;
    native!.signalEventFd(eventfd);
  }

  private admin(view: DataView, opcode: number, cid: number): readonly [number, number] | null {
    const [cdw10, cdw11] = [view.getUint32(40, true), view.getUint32(44, true)];
    const prp1 = view.getUint32(24, true) + view.getUint32(28, true) * 2 ** 32;
    const prp2 = view.getUint32(32, true) + view.getUint32(36, true) * 2 ** 32;
    if (view.getUint8(1) >>> 6 !== 0) return [0x02, 0]; // Admin commands have PRPs over PCIe
    switch (opcode) {
      case adminOpcode.asyncEventRequest:
        this.aers.push(cid);
        return null;
      case adminOpcode.identify:
        this.scatter(this.pages(view, 4096), this.identify(cdw10 & 0xff, view.getUint32(4, true)));
        return [0, 0];
      case adminOpcode.setFeatures:
        return [0, (cdw10 & 0xff) === fid.numberOfQueues ? encodeNumberOfQueues(4, 4) : 0];
      case adminOpcode.createIoCq:
      case adminOpcode.createIoSq: {
        const [qid, entries] = [cdw10 & 0xffff, (cdw10 >>> 16) + 1];
        const kind = opcode === adminOpcode.createIoCq ? this.cqs : this.sqs;
        if (qid === 0 || qid > 4 || kind.has(qid)) return [0x101, 0];
        if (entries < 2 || entries > this.options.mqes + 1) return [0x102, 0];
        const other =
          opcode === adminOpcode.createIoSq ? cdw11 >>> 16 : (cdw11 & 2) === 0 ? -1 : cdw11 >>> 16;
        this.memory(prp1, entries * (opcode === adminOpcode.createIoCq ? 16 : 64));
        kind.set(qid, { address: prp1, entries, head: 0, tail: 0, phase: 1, other });
        const index = (2 * qid + (opcode === adminOpcode.createIoCq ? 1 : 0)) << this.options.dstrd;
        this.doorbells[index] = 0;
        return [0, 0];
      }
      case adminOpcode.deleteIoSq:
        return [this.sqs.delete(cdw10 & 0xffff) ? 0 : 0x101, 0];
      case adminOpcode.deleteIoCq:
        return [this.cqs.delete(cdw10 & 0xffff) ? 0 : 0x101, 0];
      case adminOpcode.doorbellBufferConfig:
        this.shadows = { shadow: prp1, events: prp2 };
        this.memory(prp2, 4096);
        return [0, 0];
      case adminOpcode.abort:
        return [0, 1];
      default:
        return [0x01, 0];
    }
  }

  /** Event indices: the controller wants to be told of entry `value` of a queue, or of none (FFFFh). */
  askFor(qid: number, value: number): void {
    const index = (2 * qid) << this.options.dstrd;
    viewOf(this.memory(this.shadows!.events + index * 4, 4)).setUint32(0, value, true);
  }

  private identify(structure: number, nsid: number): Uint8Array {
    const data = new Uint8Array(4096);
    const { mdts, sgl, shadow } = this.options;
    if (structure === cns.controller)
      identifyController.encode(
        { mdts, cntlid: 7, nn: 1, sgls: sgl ? 1 : 0, oacs: shadow ? 0x100 : 0, aerl: 3, subnqn: MODEL_NQN },
        data,
      );
    else if (structure === cns.activeNamespaceList) encodeNamespaceList(nsid === 0 ? [1] : [], data);
    else if (structure === cns.namespace)
      identifyNamespace.encode(
        { nsze: MODEL_BLOCKS, ncap: MODEL_BLOCKS, lbaf: [{ ms: 0, lbads: 9, rp: 0 }] },
        data,
      );
    return data;
  }

  /** The pieces of memory of a command's data. */
  private pages(view: DataView, length: number): Uint8Array[] {
    if (view.getUint8(1) >>> 6 !== 0) return this.segments(view, length);
    const at = (word: number, from: DataView): number =>
      from.getUint32(word, true) + from.getUint32(word + 4, true) * 2 ** 32;
    let next = at(24, view);
    const first = Math.min(length, PAGE - (next % PAGE));
    const found = [this.memory(next, first)];
    let left = length - first;
    const prp2 = at(32, view);
    if (left <= PAGE) return left === 0 ? found : [...found, this.memory(this.onPage(prp2), left)];
    if (prp2 % 8 !== 0) throw new Error('PRP list');
    const list = viewOf(this.memory(prp2, Math.ceil(left / PAGE) * 8));
    for (let i = 0; left > 0; i++) {
      next = this.onPage(at(i * 8, list));
      found.push(this.memory(next, Math.min(left, PAGE)));
      left -= Math.min(left, PAGE);
    }
    return found;
  }

  private onPage(address: number): number {
    if (address % PAGE !== 0) throw new Error(`PRP ${address.toString(16)} lies within a page`);
    return address;
  }

  private segments(view: DataView, length: number): Uint8Array[] {
    const one = (from: DataView, at: number): [number, number, number] => [
      from.getUint32(at, true) + from.getUint32(at + 4, true) * 2 ** 32,
      from.getUint32(at + 8, true),
      from.getUint8(at + 15),
    ];
    const [address, bytes, identifier] = one(view, 24);
    const blocks: [number, number, number][] = [];
    if (identifier === 0) blocks.push([address, bytes, 0]);
    else if (identifier !== 0x30) throw new Error(`SGL descriptor ${identifier.toString(16)}`);
    else {
      const segment = viewOf(this.memory(address, bytes));
      for (let at = 0; at < bytes; at += 16) blocks.push(one(segment, at));
    }
    if (blocks.reduce((sum, [, size]) => sum + size, 0) !== length) throw new Error('length of the SGL');
    return blocks.map(([from, size]) => this.memory(from, size));
  }

  private scatter(pieces: readonly Uint8Array[], data: Uint8Array): void {
    let at = 0;
    for (const piece of pieces) {
      piece.set(data.subarray(at, at + piece.length));
      at += piece.length;
    }
  }

  private io(view: DataView, opcode: number): number {
    if (opcode !== nvmOpcode.read && opcode !== nvmOpcode.write) return opcode === nvmOpcode.flush ? 0 : 0x01;
    const lba = view.getUint32(40, true);
    const length = ((view.getUint32(48, true) & 0xffff) + 1) * BLOCK;
    if (lba * BLOCK + length > this.disk.length) return 0x80;
    if (length > PAGE * 2 ** this.options.mdts) return 0x02;
    if (view.getUint8(1) >>> 6 !== 0) this.sgls++;
    else this.prps++;
    const pieces = this.pages(view, length);
    if (opcode === nvmOpcode.read)
      this.scatter(pieces, this.disk.subarray(lba * BLOCK, lba * BLOCK + length));
    else {
      let at = lba * BLOCK;
      for (const piece of pieces) {
        this.disk.set(piece, at);
        at += piece.length;
      }
    }
    return 0;
  }
}
