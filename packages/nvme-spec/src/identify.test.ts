import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as cs from './identify-command-set.ts';
import { identifyController } from './identify-controller.ts';
import * as bits from './identify-controller-bits.ts';
import * as lists from './identify-lists.ts';
import * as ns from './identify-namespace.ts';
import { discoveryLogEntry } from './log-discovery.ts';
import { errorLogEntry, smartLog } from './log-health.ts';
import { version } from './registers.ts';
import type { Struct } from './struct.ts';

test('Identify Controller: fields at the offsets of the figure', () => {
  expect(identifyController.offsets).toMatchObject({
    vid: 0,
    sn: 4,
    mn: 24,
    fr: 64,
    ieee: 73,
    cmic: 76,
    mdts: 77,
    cntlid: 78,
    ver: 80,
    oaes: 92,
    ctratt: 96,
    cntrltype: 111,
    fguid: 112,
    crdt1: 128,
    oacs: 256,
    acl: 258,
    aerl: 259,
    frmw: 260,
    lpa: 261,
    elpe: 262,
    wctemp: 266,
    tnvmcap: 280,
    kas: 320,
    sanicap: 328,
    anatt: 342,
    anacap: 343,
    anagrpmax: 344,
    nanagrpid: 348,
    megcap: 368,
    sqes: 512,
    cqes: 513,
    maxcmd: 514,
    nn: 516,
    oncs: 520,
    fuses: 522,
    vwc: 525,
    acwu: 532,
    sgls: 536,
    mnan: 540,
    subnqn: 768,
    ioccsz: 1792,
    iorcsz: 1796,
    icdoff: 1800,
    fcatt: 1802,
    msdbd: 1803,
    ofcs: 1804,
    psd: 2048,
  });
});

test('Identify Controller: a Fabrics controller', () => {
  const controller = {
    vid: 0x8086,
    sn: 'SPDK00000000000001',
    mn: 'SPDK bdev Controller',
    fr: '26.09',
    ieee: Uint8Array.of(0x5c, 0xd2, 0xe4),
    cmic: bits.cmic.multipleControllers | bits.cmic.multiplePorts,
    mdts: 5,
    cntlid: 1,
    ver: version(2, 0),
    oaes: (bits.oaes.namespaceAttribute | bits.oaes.discoveryLogChange) >>> 0,
    ctratt: bits.ctratt.hostId128,
    cntrltype: bits.controllerType.io,
    kas: 100,
    sqes: 0x66,
    cqes: 0x44,
    nn: 32,
    oncs: bits.oncs.compare | bits.oncs.datasetManagement | bits.oncs.writeZeroes,
    vwc: bits.vwc.present | bits.vwc.flushAllSupported,
    sgls: bits.sgls.supported | bits.sgls.offset,
    subnqn: 'nqn.2016-06.io.spdk:cnode1',
    ioccsz: 260,
    iorcsz: 1,
    msdbd: 1,
    tnvmcap: 2 ** 52,
  };
  const out = new Uint8Array(4096).fill(0xee);
  identifyController.encode(controller, out);
  expect(identifyController.decode(out)).toMatchObject(controller);
  expect(String.fromCharCode(...out.slice(4, 24))).toBe('SPDK00000000000001  ');
  expect(out[525]).toBe(0x07);
  expect([...out.slice(92, 96)]).toEqual([0, 1, 0, 0x80]);
  expect([...out.slice(536, 540)]).toEqual([1, 0, 0x10, 0]);
  expect(out[768 + controller.subnqn.length]).toBe(0);
  expect(out[3072]).toBe(0);
});

test('Identify Controller: any 4096 bytes decode, and encode to a fixed point', () => {
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat(0x7e)), (stream) => {
      const noise = Uint8Array.from([...stream.take(4096)]);
      // 64- and 128-bit fields: keep to what a number holds.
      for (const at of [280, 296, 368, 544]) noise.fill(0, at + 6, at + 16);
      noise.fill(0x41, 4, 72);
      noise[800] = 0;
      const once = identifyController.decode(noise);
      const out = new Uint8Array(4096);
      identifyController.encode(once, out);
      expect(identifyController.decode(out)).toEqual(once);
    }),
    { numRuns: 20 },
  );
});

test('Identify Namespace', () => {
  // The figure from NSZE to NGUID, in order; it has no gaps up to NULBAF.
  const { nsze, ncap, nuse, nsfeat, dlfeat, nawun, nabspf, noiob, nvmcap } = ns.identifyNamespace.offsets;
  expect([nsze, ncap, nuse, nsfeat, dlfeat, nawun, nabspf, noiob, nvmcap]).toEqual([
    0, 8, 16, 24, 33, 34, 44, 46, 48,
  ]);
  expect(ns.identifyNamespace.offsets).toMatchObject({
    npwg: 64,
    npwa: 66,
    npdg: 68,
    npda: 70,
    nows: 72,
    mssrl: 74,
    mcl: 76,
    msrc: 80,
    anagrpid: 92,
    nsattr: 99,
    nvmsetid: 100,
    endgid: 102,
    nguid: 104,
    eui64: 120,
    lbaf: 128,
  });
  const namespace = {
    nsze: 2 ** 40,
    ncap: 2 ** 40,
    nuse: 2 ** 40,
    nsfeat: ns.nsfeat.optimalPerformance,
    nmic: ns.nmic.shared,
    anagrpid: 1,
    nguid: Uint8Array.from({ length: 16 }, (_, i) => i + 1),
    eui64: Uint8Array.from({ length: 8 }, (_, i) => 0xf0 + i),
    lbaf: [{ ms: 8, lbads: 12, rp: 1 }],
  };
  const out = new Uint8Array(4096);
  ns.identifyNamespace.encode(namespace, out);
  const { lbaf, ...rest } = ns.identifyNamespace.decode(out);
  const { lbaf: given, ...others } = namespace;
  expect(rest).toMatchObject(others);
  expect(lbaf.length).toBe(64);
  expect(lbaf[0]).toEqual(given[0]);
  expect([...out.slice(128, 132)]).toEqual([8, 0, 12, 1]);
  expect([...out.slice(104, 106), out[120]]).toEqual([1, 2, 0xf0]);
});

test('no two fields of a structure overlap', () => {
  for (const codec of [
    identifyController,
    ns.identifyNamespace,
    cs.identifyControllerNvm,
    cs.identifyNamespaceNvm,
    cs.identifyNamespaceIndependent,
    smartLog,
    errorLogEntry,
    discoveryLogEntry,
  ] as Struct<Record<string, unknown>>[]) {
    const empty = codec.decode(new Uint8Array(codec.size));
    const numbers = Object.keys(empty).filter((name) => typeof empty[name] === 'number');
    const value = Object.fromEntries(numbers.map((name, i) => [name, 1 + (i % 255)]));
    const out = new Uint8Array(codec.size);
    codec.encode(value, out);
    expect(codec.decode(out)).toEqual({ ...empty, ...value });
  }
});

test('index of the LBA format', () => {
  expect(ns.lbaFormatIndex(0x13, 3)).toBe(3);
  expect(ns.lbaFormatIndex(0x73, 3)).toBe(3);
  expect(ns.lbaFormatIndex(0x73, 63)).toBe(0x33);
});

test('per command set structures', () => {
  const out = new Uint8Array(4096);
  cs.identifyControllerNvm.encode({ wzsl: 5, dmrl: 255, dmrsl: 0xffff_ffff, dmsl: 2 ** 41 }, out);
  expect([...out.slice(0, 16)]).toEqual([0, 5, 0, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 2, 0, 0]);
  cs.identifyNamespaceIndependent.encode(
    {
      nmic: 1,
      anagrpid: 7,
      endgid: 3,
      nstat: cs.nstat.ready,
      nsfeat: cs.independentNsfeat.noVolatileWriteCache,
    },
    out,
  );
  expect([...out.slice(0, 16)]).toEqual([0x20, 1, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0]);
  cs.identifyNamespaceNvm.encode({ elbaf: [0, 0x85] }, out);
  expect(out[16]).toBe(0x85);
  expect(cs.identifyNamespaceNvm.decode(out).elbaf[1]).toBe(0x85);
  cs.encodeIoCommandSets([1, 5], out);
  expect(out[8]).toBe(5);
  expect(cs.decodeIoCommandSets(out)).toEqual([1, 5]);
});

test('lists of namespaces and controllers', () => {
  const out = new Uint8Array(4096);
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 0xffff_fffe }), { maxLength: 1024 }),
      fc.array(fc.nat(0xffef), { maxLength: 2047 }),
      (nsids, cntlids) => {
        lists.encodeNamespaceList(nsids, out);
        expect(lists.decodeNamespaceList(out)).toEqual(nsids);
        lists.encodeControllerList(cntlids, out);
        expect(lists.decodeControllerList(out)).toEqual(cntlids);
      },
    ),
  );
  expect(() => lists.encodeNamespaceList(Array(1025).fill(1), out)).toThrow(RangeError);
  lists.encodeNamespaceList(Array(1024).fill(1), out);
  expect(lists.decodeNamespaceList(out).length).toBe(1024);
});

test('namespace identification descriptors', () => {
  const out = new Uint8Array(4096);
  const nguid = Uint8Array.from({ length: 16 }, (_, i) => i);
  const uuid = Uint8Array.from({ length: 16 }, (_, i) => 0xff - i);
  lists.encodeNamespaceDescriptors({ nguid, uuid, csi: 0 }, out);
  expect([...out.slice(0, 6)]).toEqual([2, 16, 0, 0, 0, 1]);
  expect([...out.slice(20, 25)]).toEqual([3, 16, 0, 0, 0xff]);
  expect([...out.slice(40, 46)]).toEqual([4, 1, 0, 0, 0, 0]);
  expect(lists.decodeNamespaceDescriptors(out)).toEqual({ nguid, uuid, csi: 0 });
  expect(() => lists.encodeNamespaceDescriptors({ eui64: nguid }, out)).toThrow(RangeError);
});

test('any bytes decode as namespace identification descriptors', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4096 }), (noise) => {
      lists.decodeNamespaceDescriptors(noise);
    }),
  );
});
