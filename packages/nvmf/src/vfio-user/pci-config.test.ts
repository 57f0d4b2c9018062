import { describe, expect, it } from 'vitest';
import { PciConfig } from './pci-config.ts';

describe('configuration space', () => {
  const read = (config: PciConfig, offset: number, bytes: number): number => {
    const into = new Uint8Array(bytes);
    config.read(offset, into);
    return into.reduceRight((value, byte) => value * 256 + byte, 0);
  };
  const write = (config: PciConfig, offset: number, value: number, bytes = 4): boolean =>
    config.write(offset, new Uint8Array(Uint32Array.of(value).buffer, 0, bytes));

  it('is sized by writing ones to BARs, and keeps what cannot be changed', () => {
    const config = new PciConfig(128, [0x2000, 0, 0, 0, 0x2000, 0x1000]);
    const before = read(config, 0, 4);
    for (let at = 0; at < 256; at += 4) write(config, at, 0xffff_ffff);
    expect([0x10, 0x14, 0x18, 0x1c, 0x20, 0x24].map((at) => read(config, at, 4))).toEqual([
      ...[0xffff_e004, 0xffff_ffff, 0, 0, 0xffff_e000, 0xffff_f000],
    ]);
    expect(read(config, 0, 4)).toBe(before);
    expect(read(config, 8, 4)).toBe(0x0108_0200);
    expect(config.msixEnabled && config.msixMasked && config.intxDisabled).toBe(true);
    config.reset();
    expect(config.msixEnabled || config.msixMasked || config.intxDisabled).toBe(false);
    expect(read(config, 0x10, 4)).toBe(4);
  });

  it('tells a function level reset from all other writes', () => {
    const config = new PciConfig(8, [0x2000, 0, 0, 0, 0x2000, 0x1000]);
    const control = 0x68;
    expect(write(config, control, 0x0010, 2)).toBe(false);
    expect(write(config, control, 0x8010, 2)).toBe(true);
    expect(write(config, control + 1, 0x80, 1)).toBe(true);
    expect(write(config, control - 4, 0x8000, 4)).toBe(false);
    expect(read(config, control, 2)).toBe(0x0010 & 0x7fff);
  });

  it('shows a pending INTx interrupt', () => {
    const config = new PciConfig(8, [0x2000, 0, 0, 0, 0x2000, 0x1000]);
    expect(read(config, 6, 2) & 8).toBe(0);
    config.pending = true;
    expect(read(config, 6, 2) & 8).toBe(8);
  });
});
