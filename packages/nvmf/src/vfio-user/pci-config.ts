import { CONFIG_BYTES, PCI_CLASS, PCI_DEVICE, PCI_VENDOR, PENDING_BAR, TABLE_BAR } from './layout.ts';

/*
 * Where things are in configuration space (PCI Local Bus 3.0, 6.1; PCI Express Base 4.0, 7.5).
 */
const COMMAND = 0x04;
const STATUS = 0x06;
const INTERRUPT_LINE = 0x3c;
const PM = 0x40;
const PM_CONTROL = PM + 4;
const MSIX = 0x50;
const MSIX_CONTROL = MSIX + 2;
const EXPRESS = 0x60;
const DEVICE_CONTROL = EXPRESS + 8;
const DEVICE_STATUS = EXPRESS + 10;

const CAPABILITY_PM = 0x01;
const CAPABILITY_MSIX = 0x11;
const CAPABILITY_EXPRESS = 0x10;

/** Command: memory space, bus master, parity and SERR reporting, interrupt disable. */
const COMMAND_WRITABLE = 0x0546;
const COMMAND_INTX_DISABLE = 0x400;
/** Status: there is a list of capabilities; an INTx interrupt is pending. */
const STATUS_CAPABILITIES = 0x10;
const STATUS_INTX = 0x08;
/** MSI-X message control: enable, function mask. */
const MSIX_WRITABLE = 0xc000;
const MSIX_ENABLE = 0x8000;
const MSIX_MASK = 0x4000;
/** Power states D0 and D3hot, between which nothing is lost. */
const PM_VERSION = 0x0003;
const PM_NO_SOFT_RESET = 0x0008;
const PM_STATE = 0x0003;
/** Device control: everything but what starts a function level reset, which is not kept. */
const DEVICE_CONTROL_WRITABLE = 0x7fff;
const DEVICE_CONTROL_FLR = 0x8000;
const DEVICE_CAPABILITIES = 0x1000_8000; // function level reset, role-based error reporting
const BAR_64 = 0x4;

/** Which bits of each byte a client can change. */
function writableBits(bars: readonly number[]): Uint8Array {
  const bits = new Uint8Array(CONFIG_BYTES);
  const view = new DataView(bits.buffer);
  view.setUint16(COMMAND, COMMAND_WRITABLE, true);
  bars.forEach((bytes, i) => {
    if (bytes > 0) view.setUint32(0x10 + i * 4, ~(bytes - 1) >>> 0, true);
  });
  view.setUint32(0x14, 0xffff_ffff, true);
  bits[INTERRUPT_LINE] = 0xff;
  view.setUint16(PM_CONTROL, PM_STATE, true);
  view.setUint16(MSIX_CONTROL, MSIX_WRITABLE, true);
  view.setUint16(DEVICE_CONTROL, DEVICE_CONTROL_WRITABLE, true);
  return bits;
}

/** The configuration space of an NVMe controller: a PCI Express endpoint with power management and MSI-X. */
export class PciConfig {
  private readonly bytes = new Uint8Array(CONFIG_BYTES);
  private readonly view = new DataView(this.bytes.buffer);
  private readonly writable: Uint8Array;
  private readonly vectors: number;
  /** The INTx interrupt is asserted. */
  pending = false;

  /** `bars`: bytes of BAR 0 … 5, powers of two; BAR0 has 64 bits and takes BAR1's place too. */
  constructor(vectors: number, bars: readonly number[]) {
    this.vectors = vectors;
    this.writable = writableBits(bars);
    this.reset();
  }

  /** As after a reset of the function. */
  reset(): void {
    const { bytes, view } = this;
    bytes.fill(0);
    view.setUint16(0x00, PCI_VENDOR, true);
    view.setUint16(0x02, PCI_DEVICE, true);
    view.setUint16(STATUS, STATUS_CAPABILITIES, true);
    view.setUint32(0x08, (PCI_CLASS << 8) >>> 0, true);
    view.setUint32(0x10, BAR_64, true);
    view.setUint16(0x2c, PCI_VENDOR, true);
    bytes[0x34] = PM;
    bytes[0x3d] = 1; // INTA
    view.setUint16(PM, CAPABILITY_PM | (MSIX << 8), true);
    view.setUint16(PM + 2, PM_VERSION, true);
    view.setUint16(PM_CONTROL, PM_NO_SOFT_RESET, true);
    view.setUint16(MSIX, CAPABILITY_MSIX | (EXPRESS << 8), true);
    view.setUint16(MSIX_CONTROL, this.vectors - 1, true);
    view.setUint32(MSIX + 4, TABLE_BAR, true);
    view.setUint32(MSIX + 8, PENDING_BAR, true);
    view.setUint16(EXPRESS, CAPABILITY_EXPRESS, true);
    view.setUint16(EXPRESS + 2, 0x0002, true); // endpoint, version 2
    view.setUint32(EXPRESS + 4, DEVICE_CAPABILITIES, true);
    view.setUint32(EXPRESS + 12, 0x11, true); // link: one lane, 2.5 GT/s
    view.setUint16(EXPRESS + 18, 0x11, true);
    this.pending = false;
  }

  get msixEnabled(): boolean {
    return (this.view.getUint16(MSIX_CONTROL, true) & MSIX_ENABLE) !== 0;
  }
  /** All vectors are masked. */
  get msixMasked(): boolean {
    return (this.view.getUint16(MSIX_CONTROL, true) & MSIX_MASK) !== 0;
  }
  get intxDisabled(): boolean {
    return (this.view.getUint16(COMMAND, true) & COMMAND_INTX_DISABLE) !== 0;
  }

  read(offset: number, into: Uint8Array): void {
    const status = this.view.getUint16(STATUS, true) & ~STATUS_INTX;
    this.view.setUint16(STATUS, status | (this.pending ? STATUS_INTX : 0), true);
    into.set(this.bytes.subarray(offset, offset + into.length));
  }

  /** Writes bytes. True if they start a function level reset. */
  write(offset: number, data: Uint8Array): boolean {
    const { bytes, writable } = this;
    for (let i = 0; i < data.length; i++) {
      const at = offset + i;
      bytes[at] = (bytes[at]! & ~writable[at]!) | (data[i]! & writable[at]!);
    }
    const high = DEVICE_CONTROL + 1 - offset;
    // Error bits of the device's status are never set: there is nothing to clear there.
    this.view.setUint16(DEVICE_STATUS, 0, true);
    return high >= 0 && high < data.length && (data[high]! & (DEVICE_CONTROL_FLR >>> 8)) !== 0;
  }
}
