import { decodeAqa, register } from '@spdk-ts/nvme-spec';

const TWO_32 = 0x1_0000_0000;
const HIGH_MAX = 0x10_0000;
const PAGE_MASK = 0xfff;
/** ASQS and ACQS: the other bits of AQA are reserved. */
const AQA_MASK = 0x0fff_0fff;
const CC_EN = 1;
const CSTS_RDY = 1;
const CSTS_CFS = 2;
/** What registers of a function that is no more read as. */
const ABSENT = 0xffff_ffff;

/** What the registers stand for. */
export interface RegisterHost {
  /** Property Get and Set of the controller; null: there is none, or not this property. */
  getProperty(offset: number, wide: boolean): readonly [number, number] | null;
  setProperty(offset: number, value: number): boolean;
  /** Makes the admin queue's rings, of so many entries: false if their memory is not there. */
  enable(asq: number, acq: number, entries: number, completions: number): boolean;
  /** CC.EN was cleared: the admin queue is no more, and every I/O queue is ending. */
  disable(): void;
  /** Queues of the last reset are still ending. */
  readonly busy: boolean;
  /** INTMS has changed. */
  masked(intms: number): void;
  failed(reason: string): void;
}

/**
 * Controller properties in BAR0 (Base 2.0, 3.1.3). What a controller of any transport has is its own, by Property Get and Set;
 * what only PCI Express has is here: the admin queue's attributes and addresses, interrupt masks, and the fatal status
 * that a guest's memory or doorbells lead to.
 */
export class SessionRegisters {
  private readonly host: RegisterHost;
  private aqa = 0;
  private asq: [number, number] = [0, 0];
  private acq: [number, number] = [0, 0];
  private cc = 0;
  intms = 0;
  /** CSTS.CFS. */
  fatal = false;

  constructor(host: RegisterHost) {
    this.host = host;
  }

  get enabled(): boolean {
    return (this.cc & CC_EN) !== 0;
  }

  /** As after a reset of the function. */
  reset(): void {
    this.aqa = 0;
    this.asq = [0, 0];
    this.acq = [0, 0];
    this.cc = 0;
    this.intms = 0;
    this.fatal = false;
  }

  /** A register of four bytes. */
  read(offset: number): number {
    const { host } = this;
    switch (offset) {
      case register.cap:
        return host.getProperty(register.cap, true)?.[0] ?? ABSENT;
      case register.cap + 4:
        return host.getProperty(register.cap, true)?.[1] ?? ABSENT;
      case register.intms:
      case register.intmc:
        return this.intms;
      case register.cc:
        return this.cc;
      case register.csts:
        return this.readCsts();
      case register.aqa:
        return this.aqa;
      case register.asq:
      case register.asq + 4:
        return this.asq[(offset >> 2) & 1]! >>> 0;
      case register.acq:
      case register.acq + 4:
        return this.acq[(offset >> 2) & 1]! >>> 0;
      case register.vs:
      case register.nssr:
      case register.crto:
        return host.getProperty(offset, false)?.[0] ?? ABSENT;
      default:
        return 0;
    }
  }

  private readCsts(): number {
    const value = this.host.getProperty(register.csts, false)?.[0];
    if (value === undefined) return ABSENT;
    const ready = !this.enabled && this.host.busy ? CSTS_RDY : 0;
    return value | ready | (this.fatal ? CSTS_CFS : 0);
  }

  write(offset: number, value: number): void {
    switch (offset) {
      case register.intms:
      case register.intmc:
        this.intms = offset === register.intms ? this.intms | value : this.intms & ~value;
        this.host.masked(this.intms);
        break;
      case register.cc:
        this.writeCc(value);
        break;
      case register.nssr:
        this.host.setProperty(register.nssr, value);
        break;
      default:
        if (!this.enabled) this.writeQueue(offset, value);
    }
  }

  /** Attributes of the admin queue, which cannot be changed while there is one. */
  private writeQueue(offset: number, value: number): void {
    if (offset === register.aqa) this.aqa = value & AQA_MASK;
    else if (offset === register.asq) this.asq[0] = value & ~PAGE_MASK;
    else if (offset === register.asq + 4) this.asq[1] = value;
    else if (offset === register.acq) this.acq[0] = value & ~PAGE_MASK;
    else if (offset === register.acq + 4) this.acq[1] = value;
  }

  private writeCc(value: number): void {
    const { host } = this;
    const before = this.enabled;
    this.cc = value;
    if (this.enabled && !before) {
      const problem = host.busy ? 'it is enabled amid a reset' : this.makeAdminQueue();
      if (problem !== '') {
        this.fail(problem);
        return;
      }
    }
    if (this.fatal && this.enabled) return;
    const accepted = host.setProperty(register.cc, value);
    if (!this.enabled && before) {
      this.fatal = false;
      this.intms = 0;
      host.disable();
    } else if (!accepted && this.enabled) this.fail(`CC ${value.toString(16)} is not possible`);
  }

  /** Makes the admin queue that AQA, ASQ and ACQ describe. Returns why it cannot be made, or an empty string. */
  private makeAdminQueue(): string {
    const { asqEntries, acqEntries } = decodeAqa(this.aqa);
    if (asqEntries < 2 || acqEntries < 2) return `AQA ${this.aqa.toString(16)} gives a queue of one entry`;
    const [asqLow, asqHigh] = this.asq.map((word) => word >>> 0) as [number, number];
    const [acqLow, acqHigh] = this.acq.map((word) => word >>> 0) as [number, number];
    const asq = asqLow + asqHigh * TWO_32;
    const acq = acqLow + acqHigh * TWO_32;
    const outside = asqHigh >= HIGH_MAX || acqHigh >= HIGH_MAX;
    if (!outside && this.host.enable(asq, acq, asqEntries, acqEntries)) return '';
    return `its admin queue at 0x${asq.toString(16)} and 0x${acq.toString(16)} is not in its memory`;
  }

  /** Controller Fatal Status, until the controller is reset. */
  fail(reason: string): void {
    if (this.fatal) return;
    this.fatal = true;
    this.host.failed(reason);
  }
}
