/**
 * Controller Capabilities (CAP, Base 2.0, 3.1.3.1): a 64-bit property as a pair of unsigned dwords.
 */

/** A 64-bit value in two unsigned halves, for fields that are bits rather than a number. */
export interface Dwords {
  lo: number;
  hi: number;
}

export interface ControllerCapabilities {
  /** Maximum Queue Entries Supported; 0's based, as in the property. */
  mqes: number;
  /** Contiguous Queues Required. */
  cqr: boolean;
  /** Arbitration Mechanisms Supported besides round robin: 1 weighted round robin, 2 vendor specific. */
  ams: number;
  /** Timeout for CSTS.RDY to follow CC.EN, in units of 500 ms. */
  to: number;
  /** Doorbell Stride, 2^(2 + dstrd) bytes. */
  dstrd: number;
  /** NVM Subsystem Reset Supported. */
  nssrs: boolean;
  /** Command Sets Supported, bits of `capCss`. */
  css: number;
  /** Boot Partition Support. */
  bps: boolean;
  /** Controller Power Scope. */
  cps: number;
  /** Memory Page Size Minimum, 2^(12 + mpsmin) bytes. */
  mpsmin: number;
  /** Memory Page Size Maximum, 2^(12 + mpsmax) bytes. */
  mpsmax: number;
  /** Persistent Memory Region Supported. */
  pmrs: boolean;
  /** Controller Memory Buffer Supported. */
  cmbs: boolean;
  /** NVM Subsystem Shutdown Supported. */
  nsss: boolean;
  /** Controller Ready Modes Supported, bits of `capCrms`. */
  crms: number;
}

export const capCss = { nvm: 0x01, ioCommandSets: 0x40, adminOnly: 0x80 } as const;
export const capCrms = { withMedia: 0x1, independentOfMedia: 0x2 } as const;

export function decodeCap(lo: number, hi: number): ControllerCapabilities {
  return {
    mqes: lo & 0xffff,
    cqr: (lo & 0x1_0000) !== 0,
    ams: (lo >>> 17) & 0x3,
    to: lo >>> 24,
    dstrd: hi & 0xf,
    nssrs: (hi & 0x10) !== 0,
    css: (hi >>> 5) & 0xff,
    bps: (hi & 0x2000) !== 0,
    cps: (hi >>> 14) & 0x3,
    mpsmin: (hi >>> 16) & 0xf,
    mpsmax: (hi >>> 20) & 0xf,
    pmrs: (hi & 0x100_0000) !== 0,
    cmbs: (hi & 0x200_0000) !== 0,
    nsss: (hi & 0x400_0000) !== 0,
    crms: (hi >>> 27) & 0x3,
  };
}

export function encodeCap(cap: Partial<ControllerCapabilities>): Dwords {
  const { mqes = 0, ams = 0, to = 0, dstrd = 0, css = 0, cps = 0, mpsmin = 0, mpsmax = 0, crms = 0 } = cap;
  return {
    lo: (mqes | (cap.cqr ? 0x1_0000 : 0) | (ams << 17) | (to << 24)) >>> 0,
    hi:
      (dstrd |
        (cap.nssrs ? 0x10 : 0) |
        (css << 5) |
        (cap.bps ? 0x2000 : 0) |
        (cps << 14) |
        (mpsmin << 16) |
        (mpsmax << 20) |
        (cap.pmrs ? 0x100_0000 : 0) |
        (cap.cmbs ? 0x200_0000 : 0) |
        (cap.nsss ? 0x400_0000 : 0) |
        (crms << 27)) >>>
      0,
  };
}
