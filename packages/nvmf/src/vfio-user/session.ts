import { native } from '@spdk-ts/native';
import { CNTLID_DYNAMIC, CNTLID_STATIC } from '@spdk-ts/nvme-spec';
import {
  type Descriptors,
  DeviceFlag,
  type DeviceInfo,
  type DmaMap,
  type DmaUnmap,
  defaultServerLimits,
  type IrqInfo,
  type IrqSet,
  invalid,
  PciIrq,
  PciRegion,
  RegionFlag,
  type RegionInfo,
  ServerConnection,
  type VfioUserDevice,
} from '@spdk-ts/vfio-user';
import type { NvmfRequest } from '../request.ts';
import { Status } from '../status.ts';
import { GuestRanges } from './guest-ranges.ts';
import * as layout from './layout.ts';
import { VfioUserMessage } from './messages.ts';
import type { PartHub, PartListener } from './part-hub.ts';
import { Parts } from './parts.ts';
import { PciConfig } from './pci-config.ts';
import { QueueCommands } from './queue-commands.ts';
import { SessionInterrupts } from './session-interrupts.ts';
import { SessionMemory, type SessionText } from './session-memory.ts';
import { Fatal, fatalText, type PartContext, type SessionPart } from './session-part.ts';
import { SessionRegisters } from './session-registers.ts';
import type { VfioUserQpair } from './vfio-user-qpair.ts';

/** What a session needs of its endpoint. */
export interface SessionHost {
  readonly context: PartContext;
  readonly hub: PartHub;
  readonly shadow: boolean;
  place(): number;
  unplace(reactor: number): void;
  complain(text: string): void;
  /** Nothing is left of it. */
  ended(session: Session): void;
}

const CONNECT_ENTRIES = 32;

/**
 * One client at an endpoint: a PCI function with an NVMe controller, on the reactor that the endpoint listens on. The controller
 * is there before the client reads its first register, and is made anew when the function is reset.
 */
export class Session implements VfioUserDevice, PartListener {
  readonly info: DeviceInfo;
  readonly irqs: readonly IrqInfo[];
  readonly regions: readonly (RegionInfo & { readonly fd: number })[];
  readonly text: SessionText;
  readonly connection: ServerConnection;
  private readonly id: number;
  private readonly host: SessionHost;
  private readonly shared: SessionMemory;
  private readonly bar0Fd: number;
  private readonly parts: Parts;
  private readonly part: SessionPart;
  private readonly ranges: GuestRanges;
  private readonly config: PciConfig;
  private readonly interrupts: SessionInterrupts;
  private readonly registers: SessionRegisters;
  private readonly queues: QueueCommands;
  /** The admin queue pair, once it is connected; null while there is no controller. */
  private admin: VfioUserQpair | null = null;
  /** There is an admin queue pair, connected or not. */
  private hasAdmin = false;
  private onReset: ((errno: number) => void)[] = [];
  /** Resets that not every part has heard of. */
  private resetting = 0;
  private closing = false;
  private isOver = false;

  constructor(host: SessionHost, fd: number, text: SessionText) {
    const { context, hub } = host;
    const addon = native!;
    this.host = host;
    this.text = text;
    this.shared = new SessionMemory();
    this.shared.text = text;
    this.bar0Fd = addon.memoryFile('spdk-ts-bar0', layout.BAR0_BYTES);
    addon.sealSize(this.bar0Fd);
    this.id = hub.addSession(this);
    this.parts = new Parts(context.group.reactor, hub, this.id, this.shared.fd, this.bar0Fd);
    this.parts.attach(this.parts.home, []);
    this.part = hub.parts.get(this.id)!;
    this.part.ownCommands = (request) => this.queues.execute(request);
    this.ranges = new GuestRanges(this.parts, defaultServerLimits.max_dma_maps);
    const max_io_qpairs = Math.min(context.options.max_io_qpairs_per_ctrlr, layout.QUEUES_MAX - 1);
    const vectors = Math.min(max_io_qpairs + 1, layout.VECTORS_MAX);
    this.config = new PciConfig(vectors, [
      ...[layout.BAR0_BYTES, 0, 0, 0, layout.TABLE_BYTES, layout.PENDING_BYTES],
    ]);
    this.interrupts = new SessionInterrupts(this.shared, this.parts, vectors);
    this.queues = new QueueCommands({
      ...{ parts: this.parts, shared: this.shared, max_io_qpairs, vectors, shadow: host.shadow },
      max_queue_depth: context.options.max_queue_depth,
      place: () => this.place(),
      unplace: (reactor) => host.unplace(reactor),
      complete: (request, status) => context.group.endCommand(request, status),
    });
    this.registers = new SessionRegisters(this.registerHost());
    this.irqs = this.interrupts.infos;
    this.regions = this.describeRegions();
    this.info = { flags: DeviceFlag.pci | DeviceFlag.reset, regions: PciRegion.count, irqs: PciIrq.count };
    this.connection = new ServerConnection(fd, this);
    this.connectController();
  }

  private describeRegions(): (RegionInfo & { readonly fd: number })[] {
    const access = RegionFlag.read | RegionFlag.write;
    const sizes = [
      layout.BAR0_BYTES,
      0,
      0,
      0,
      layout.TABLE_BYTES,
      layout.PENDING_BYTES,
      0,
      layout.CONFIG_BYTES,
      0,
    ];
    const regions = sizes.map((size, index) => ({
      ...{ index, size, offset: 0, fd: -1, areas: [], flags: size > 0 ? access : 0 },
    }));
    if (!this.host.context.isMapped) return regions;
    const areas = [{ offset: layout.REGISTER_BYTES, size: layout.DOORBELL_BYTES }];
    return [{ ...regions[0]!, fd: this.bar0Fd, flags: access | RegionFlag.mmap, areas }, ...regions.slice(1)];
  }

  private registerHost() {
    const session = this;
    return {
      getProperty: (offset: number, wide: boolean) => this.admin?.getProperty(offset, wide) ?? null,
      setProperty: (offset: number, value: number) =>
        this.admin?.setProperty(offset, value) === Status.SUCCESS,
      enable: (asq: number, acq: number, entries: number, completions: number) =>
        this.admin !== null && this.part.enableAdmin(this.admin, asq, acq, entries, completions),
      disable: () => this.disable(),
      get busy(): boolean {
        return session.queues.count > 0;
      },
      masked: (intms: number) => this.interrupts.configured(this.config, intms),
      failed: (reason: string) => {
        this.host.complain(`${this.text.traddr}: controller ${this.shared.cntlid} has failed: ${reason}`);
        this.parts.askAll(VfioUserMessage.STOP, [], () => {});
      },
    };
  }

  private place(): number {
    const reactor = this.host.place();
    this.parts.attach(reactor, this.ranges.all());
    const { shadowAt } = this.queues;
    if (shadowAt !== null) this.parts.ask(reactor, VfioUserMessage.SHADOW, shadowAt, () => {});
    return reactor;
  }

  // --- the controller ---

  /** Connects a new controller; no message is taken meanwhile. */
  private connectController(): void {
    const { group } = this.host.context;
    const subsystem = [...group.subsystems.values()].find(({ nqn }) => nqn === this.text.subnqn);
    this.shared.cntlid = subsystem?.snapshot.static_controllers === true ? CNTLID_STATIC : CNTLID_DYNAMIC;
    this.connection.channel.pause();
    this.hasAdmin = true;
    const qpair = this.part.createAdmin(CONNECT_ENTRIES, (request: NvmfRequest) => {
      this.connection.channel.resume();
      // In the upper half of dword 0: it must authenticate itself, for which a PCI function has no means.
      const served = request.status === Status.SUCCESS && request.dw0 >>> 16 === 0;
      if (served) this.connected(qpair, request.dw0 & 0xffff);
      else {
        qpair.disconnect('its controller could not be connected');
        this.close('the subsystem does not take it');
      }
    });
  }

  private connected(qpair: VfioUserQpair, cntlid: number): void {
    this.shared.cntlid = cntlid;
    this.admin = qpair;
    if (this.closing) qpair.disconnect('its client is gone');
    for (const done of this.onReset.splice(0)) done(0);
  }

  /** CC.EN was cleared, and the controller has told its I/O queues to end. */
  private disable(): void {
    if (this.admin !== null) this.part.disableAdmin(this.admin);
    this.queues.reset();
    this.shared.resetInterrupts();
    this.interrupts.configured(this.config, 0);
    this.resetParts();
  }

  queueGone(qid: number): void {
    if (qid !== 0) this.queues.gone(qid);
    else {
      this.admin = null;
      this.hasAdmin = false;
    }
    this.goOn();
  }

  /** A controller has gone with all its queues: the session ends with it, or gets another. */
  private goOn(): void {
    if (this.hasAdmin || this.queues.count > 0 || this.isOver) return;
    this.queues.reset();
    if (this.closing) {
      this.finish();
      return;
    }
    this.resetFunction();
    this.connectController();
  }

  private resetFunction(): void {
    this.registers.reset();
    this.config.reset();
    this.interrupts.resetTable();
    this.shared.resetInterrupts();
    this.interrupts.configured(this.config, 0);
    this.resetParts();
  }

  private resetParts(): void {
    this.resetting++;
    this.parts.askAll(VfioUserMessage.RESET, [], () => {
      this.resetting--;
    });
  }

  fatal(reason: number): void {
    // What a part had found before it heard of the reset.
    if (reason === Fatal.DOORBELL && (this.resetting > 0 || !this.registers.enabled)) return;
    if (reason === Fatal.DOORBELL) this.admin?.controller?.admin?.events.doorbellOfNoPlace();
    this.registers.fail(fatalText[reason] ?? `reason ${reason}`);
  }

  answered(token: number, status: number): void {
    this.parts.answered(token, status);
  }

  // --- the client ---

  reset(done: (errno: number) => void): void {
    this.onReset.push(done);
    if (this.admin !== null) this.admin.disconnect('the function is reset');
  }

  dmaMap(map: DmaMap, fd: number, done: (errno: number) => void): void {
    this.ranges.map(map, fd, done);
  }
  dmaUnmap(unmap: DmaUnmap, done: (errno: number) => void): void {
    this.ranges.unmap(unmap, done);
  }

  setIrqs(set: IrqSet, descriptors: Descriptors): void {
    this.interrupts.set(set, descriptors);
  }

  regionRead(region: number, offset: number, into: Uint8Array): void {
    if (region === PciRegion.bar0) this.readBar0(offset, into);
    else if (region === PciRegion.config) {
      this.config.pending = this.shared.intxPending;
      this.config.read(offset, into);
    } else if (region === layout.TABLE_BAR) this.interrupts.readTable(offset, into);
    else if (region === layout.PENDING_BAR) this.interrupts.readPending(offset, into);
  }

  private readBar0(offset: number, into: Uint8Array): void {
    for (let i = 0; i < into.length; ) {
      const at = offset + i;
      const aligned = at & ~3;
      const value =
        aligned < layout.REGISTER_BYTES ? this.registers.read(aligned) : this.readDoorbell(aligned);
      for (let byte = at & 3; byte < 4 && i < into.length; byte++, i++) into[i] = value >>> (byte * 8);
    }
  }
  private readDoorbell(offset: number): number {
    return this.part.doorbells.read((offset - layout.REGISTER_BYTES) >> 2);
  }

  regionWrite(region: number, offset: number, data: Uint8Array): void {
    if (region === PciRegion.bar0) this.writeBar0(offset, data);
    else if (region === PciRegion.config) this.writeConfig(offset, data);
    else if (region === layout.TABLE_BAR) this.interrupts.writeTable(offset, data);
  }

  private writeBar0(offset: number, data: Uint8Array): void {
    if (((offset | data.length) & 3) !== 0)
      throw invalid(`${data.length} bytes at ${offset} of BAR0: registers are written as dwords`);
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    for (let i = 0; i < data.length; i += 4) {
      const at = offset + i;
      const value = view.getUint32(i, true);
      if (at < layout.REGISTER_BYTES) this.registers.write(at, value);
      else this.ring((at - layout.REGISTER_BYTES) >> 2, value);
    }
  }

  /** A doorbell was written by a message. */
  private ring(index: number, value: number): void {
    this.part.doorbells.write(index, value);
    const reactor = index < 2 ? this.parts.home : this.queues.reactorOf(index >> 1);
    if (reactor >= 0) this.parts.kick(reactor);
    else if (this.registers.enabled) this.admin?.controller?.admin?.events.doorbellOfNoQueue();
  }

  private writeConfig(offset: number, data: Uint8Array): void {
    const resets = this.config.write(offset, data);
    this.interrupts.configured(this.config, this.registers.intms);
    if (!resets) return;
    this.connection.channel.pause();
    this.reset(() => this.connection.channel.resume());
  }

  // --- its end ---

  closed(reason: string): void {
    if (reason !== '') this.host.complain(`${this.text.traddr}: ${reason}`);
    this.close('its client is gone');
  }

  /** Ends the session: {@link SessionHost.ended} follows. */
  close(reason: string): void {
    if (this.closing) return;
    this.closing = true;
    this.connection.close();
    this.onReset = [];
    this.admin?.disconnect(reason);
    this.goOn();
  }

  private finish(): void {
    this.isOver = true;
    this.parts.askAll(VfioUserMessage.DETACH, [], () => {
      this.ranges.close();
      this.interrupts.close();
      native!.closeFd(this.shared.fd);
      native!.closeFd(this.bar0Fd);
      this.host.hub.removeSession(this.id);
      this.host.ended(this);
    });
  }
}
