/** A PCI function behind a vfio-user socket. */
import { native } from '@spdk-ts/native';
import { type Dwords, register, viewOf } from '@spdk-ts/nvme-spec';
import { DeviceFlag, PciIrq, PciRegion, VfioUserClient, VfioUserError } from '@spdk-ts/vfio-user';
import { NvmeError } from '../errors.ts';
import type { NvmePollGroup, PolledQpair } from '../poll-group.ts';
import type { MappableBar, PciFunction } from './function.ts';

/** Configuration space (PCI Express Base): offsets, and what is in them. */
const pci = {
  command: 0x04,
  classCode: 0x08,
  status: 0x06,
  capabilities: 0x34,
  memorySpace: 0x2,
  busMaster: 0x4,
  intxDisable: 0x400,
  hasCapabilities: 0x10,
  msix: 0x11,
  msixEnable: 0x8000,
  /** Class, subclass and programming interface of NVMe I/O controllers. */
  nvme: 0x01_0802,
} as const;
const CAPABILITIES_MAX = 48;
/** How long a server may take to see that its last client has gone. */
const BUSY_MS_MAX = 2000;
const BUSY_POLL_MS = 20;
const NO_BAR: MappableBar = { bar: -1, bar_at: 0, bar_bytes: 0, bar_start: 0 };

function connect(path: string): VfioUserClient {
  try {
    return VfioUserClient.connect(path);
  } catch (error) {
    throw new NvmeError('ECONNECT', `${path}: ${(error as Error).message}`);
  }
}

export class VfioUserFunction implements PciFunction, PolledQpair {
  readonly name: string;
  vectors = 0;
  bar = -1;
  bar_at = 0;
  bar_bytes = 0;
  bar_start = 0;
  onGone: ((error: NvmeError) => void) | null = null;
  private readonly client: VfioUserClient;
  private readonly group: NvmePollGroup;
  private readonly timeout_ms: number;
  /** Until when the oldest call may take. */
  private deadline = Number.POSITIVE_INFINITY;
  private gone: NvmeError | null = null;
  /** The server has ended the connection. */
  private lost = false;

  /**
   * Connects to a socket, and learns what is behind it. `interrupts`: vectors will have eventfds. Rejects with an
   * {@link NvmeError}.
   */
  static async open(
    group: NvmePollGroup,
    path: string,
    { timeout_ms, interrupts }: { readonly timeout_ms: number; readonly interrupts: boolean },
    signal: AbortSignal,
  ): Promise<VfioUserFunction> {
    if (native === null)
      throw new NvmeError('EUNSUPPORTED', `${path}: vfio-user needs the native addon, which is absent`);
    const deadline = group.deadline(Math.min(timeout_ms, BUSY_MS_MAX));
    for (;;) {
      const made = new VfioUserFunction(group, path, connect(path), timeout_ms);
      const giveUp = (): void => made.close(signal.reason as NvmeError);
      signal.addEventListener('abort', giveUp);
      try {
        await made.learn(interrupts);
        return made;
      } catch (error) {
        made.close(error as NvmeError);
        // A server has one client, and may not have seen yet that the last one has gone.
        if (signal.aborted || !made.turnedAway || group.reactor.clock.now() > deadline) throw error;
      } finally {
        signal.removeEventListener('abort', giveUp);
      }
      await group.sleep(BUSY_POLL_MS);
    }
  }

  private constructor(group: NvmePollGroup, path: string, client: VfioUserClient, timeout_ms: number) {
    this.name = path;
    this.group = group;
    this.client = client;
    this.timeout_ms = timeout_ms;
    group.qpairs.add(this);
    client.onClosed = (error) => {
      const code = error instanceof VfioUserError ? 'EPROTOCOL' : 'ECONNECT';
      this.lost = code === 'ECONNECT';
      this.gone = new NvmeError(code, `${path}: ${error.message}`);
      this.onGone?.(this.gone);
    };
  }

  get socket(): number {
    return this.client.fd;
  }

  pushSends(): void {}

  /** The server has ended the connection before it said anything. */
  private get turnedAway(): boolean {
    return this.client.capabilities === null && this.lost;
  }

  private async learn(interrupts: boolean): Promise<void> {
    const { client, name } = this;
    await this.ask(client.negotiate());
    const info = await this.ask(client.deviceInfo());
    if ((info.flags & DeviceFlag.pci) === 0 || info.regions <= PciRegion.config || info.irqs <= PciIrq.msix)
      throw new NvmeError('EUNSUPPORTED', `${name}: the device is no PCI function`);
    const word = viewOf(await this.config(pci.classCode, 4)).getUint32(0, true) >>> 8;
    if (word !== pci.nvme)
      throw new NvmeError(
        'EUNSUPPORTED',
        `${name}: the device's class code is ${word.toString(16).padStart(6, '0')}h: an NVMe controller has 010802h`,
      );
    this.vectors = (await this.ask(client.irqs(PciIrq.msix))).count;
    await this.findDoorbells();
    await this.enable(interrupts);
  }

  /** Where doorbells can be mapped: an area from their first one on. */
  private async findDoorbells(): Promise<void> {
    const region = await this.ask(this.client.region(PciRegion.bar0));
    if (region.size < register.doorbells)
      throw new NvmeError('EPROTOCOL', `${this.name}: BAR0 has ${region.size} bytes, and no doorbells`);
    const area = region.mappable.find(
      ({ offset, size }) => offset <= register.doorbells && offset + size > register.doorbells,
    );
    const { bar, bar_at, bar_bytes, bar_start } =
      area === undefined
        ? NO_BAR
        : {
            bar: region.descriptor,
            bar_at: region.offset + area.offset,
            bar_bytes: area.size,
            bar_start: area.offset,
          };
    Object.assign(this, { bar, bar_at, bar_bytes, bar_start });
    if (bar < 0 && region.descriptor >= 0) native!.closeFd(region.descriptor);
  }

  /**
   * Memory space and bus mastering on, INTx off; MSI-X on if there are eventfds for it: SPDK's controllers fail when they find none
   * for an interrupt that is enabled.
   */
  private async enable(interrupts: boolean): Promise<void> {
    const command = viewOf(await this.config(pci.command, 2)).getUint16(0, true);
    await this.setConfig(pci.command, command | pci.memorySpace | pci.busMaster | pci.intxDisable);
    const status = viewOf(await this.config(pci.status, 2)).getUint16(0, true);
    if (!interrupts || (status & pci.hasCapabilities) === 0) return;
    let at = (await this.config(pci.capabilities, 1))[0]!;
    for (let seen = 0; at !== 0 && seen < CAPABILITIES_MAX; seen++) {
      const header = await this.config(at, 4);
      if (header[0] === pci.msix) {
        await this.setConfig(at + 2, viewOf(header).getUint16(2, true) | pci.msixEnable);
        return;
      }
      at = header[1]! & 0xfc;
    }
  }

  private config(offset: number, count: number): Promise<Uint8Array> {
    return this.ask(this.client.readRegion(PciRegion.config, offset, count));
  }
  private async setConfig(offset: number, value: number): Promise<void> {
    await this.ask(this.client.writeRegion(PciRegion.config, offset, Uint8Array.of(value, value >>> 8)));
  }

  /** Waits for a call, and no longer than it may take. */
  private async ask<T>(call: Promise<T>): Promise<T> {
    if (this.deadline === Number.POSITIVE_INFINITY) this.deadline = this.group.deadline(this.timeout_ms);
    try {
      return await call;
    } catch (error) {
      if (this.gone !== null) throw this.gone;
      if (error instanceof NvmeError) throw error;
      throw new NvmeError('EPROTOCOL', `${this.name}: ${(error as Error).message}`);
    } finally {
      this.deadline =
        this.client.pending === 0 ? Number.POSITIVE_INFINITY : this.group.deadline(this.timeout_ms);
    }
  }

  checkDeadlines(now: number): void {
    if (now <= this.deadline) return;
    const error = new NvmeError(
      'ETIMEOUT',
      `${this.name}: the server does not answer in ${this.timeout_ms} ms`,
    );
    this.close(error);
    this.onGone?.(error);
  }

  async read(offset: number, bytes: 4 | 8): Promise<Dwords> {
    const data = viewOf(await this.ask(this.client.readRegion(PciRegion.bar0, offset, bytes)));
    return { lo: data.getUint32(0, true), hi: bytes === 8 ? data.getUint32(4, true) : 0 };
  }

  async write(offset: number, lo: number, hi?: number): Promise<void> {
    const data = new Uint8Array(hi === undefined ? 4 : 8);
    viewOf(data).setUint32(0, lo, true);
    if (hi !== undefined) viewOf(data).setUint32(4, hi, true);
    await this.ask(this.client.writeRegion(PciRegion.bar0, offset, data));
  }

  setInterrupt(vector: number, eventfd: number): Promise<void> {
    return this.ask(this.client.setIrq(PciIrq.msix, vector, eventfd));
  }
  map(address: number, bytes: number, descriptor: number): Promise<void> {
    return this.ask(this.client.mapDma(address, bytes, descriptor, 0));
  }
  unmap(address: number, bytes: number): Promise<void> {
    return this.ask(this.client.unmapDma(address, bytes));
  }
  reset(): Promise<void> {
    return this.ask(this.client.reset());
  }

  close(error = new NvmeError('ECLOSED', `${this.name} has been closed`)): void {
    this.group.qpairs.delete(this);
    this.gone ??= error;
    this.client.close(error);
    if (this.bar >= 0) native!.closeFd(this.bar);
    this.bar = -1;
    this.deadline = Number.POSITIVE_INFINITY;
  }
}
