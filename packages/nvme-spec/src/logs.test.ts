import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeAsyncEvent, encodeAsyncEvent, eventType, noticeEvent } from './async-event.ts';
import * as f from './features.ts';
import { lid, lidName } from './identifiers.ts';
import * as ana from './log-ana.ts';
import * as disc from './log-discovery.ts';
import * as effects from './log-effects.ts';
import * as health from './log-health.ts';
import { reservationLog, reservationNotification } from './log-reservation.ts';
import { adminOpcode, adminOpcodeName, nvmOpcode } from './opcodes.ts';
import * as t from './transport.ts';

test('error, SMART and firmware slot pages at the offsets of their figures', () => {
  expect(health.errorLogEntry.offsets).toMatchObject({
    cid: 10,
    statusField: 12,
    lba: 16,
    nsid: 24,
    trtype: 29,
  });
  expect(health.smartLog.offsets).toMatchObject({
    compositeTemperature: 1,
    dataUnitsRead: 32,
    hostWriteCommands: 80,
    unsafeShutdowns: 144,
    errorLogEntries: 176,
    temperatureSensors: 200,
    thermalTime2: 228,
  });
  const smart = new Uint8Array(512);
  health.smartLog.encode(
    { compositeTemperature: 300, dataUnitsRead: 2 ** 48 + 1, temperatureSensors: [1, 2] },
    smart,
  );
  expect([smart[1], smart[2], smart[32], smart[38], smart[202]]).toEqual([0x2c, 1, 1, 1, 2]);
  const firmware = new Uint8Array(512);
  health.firmwareSlotLog.encode({ afi: 1, frs: ['26.09', 'b'] }, firmware);
  expect(String.fromCharCode(...firmware.slice(8, 17))).toBe('26.09   b');
  expect(health.firmwareSlotLog.decode(firmware).frs).toEqual(['26.09', 'b', '', '', '', '', '']);
});

test('supported log pages and command effects', () => {
  const out = new Uint8Array(4096).fill(0xee);
  const pages = new Map<number, number>([
    [lid.supportedLogPages, effects.logPageSupport.supported],
    [lid.discovery, 0x0004_0001],
  ]);
  effects.encodeSupportLog(pages, out);
  expect([out[0], out[0x70 * 4], out[0x70 * 4 + 2], out[1024]]).toEqual([1, 1, 4, 0xee]);
  expect(effects.decodeSupportLog(out)).toEqual(pages);

  const commands = {
    admin: new Map<number, number>([[adminOpcode.identify, 1]]),
    io: new Map<number, number>([
      [nvmOpcode.write, effects.commandEffect.supported | effects.commandEffect.lbcc],
    ]),
  };
  effects.encodeCommandEffects(commands, out);
  expect([out[6 * 4], out[1024 + 4], out[2048]]).toEqual([1, 3, 0]);
  expect(effects.decodeCommandEffects(out)).toEqual(commands);
});

test('ANA page as bytes', () => {
  const log = {
    chgcnt: 2,
    groups: [
      { anagrpid: 1, chgcnt: 1, state: ana.anaState.optimized, nsids: [1, 3] },
      { anagrpid: 2, chgcnt: 0, state: ana.anaState.change, nsids: [] },
    ],
  };
  expect(ana.anaLogSize(log.groups)).toBe(16 + 32 + 8 + 32);
  const out = new Uint8Array(100).fill(0xee);
  ana.encodeAnaLog(log, out);
  expect([
    out[0],
    out[8],
    out[16],
    out[20],
    out[24],
    out[32],
    out[48],
    out[52],
    out[56],
    out[72],
    out[88],
  ]).toEqual([2, 2, 1, 2, 1, 1, 1, 3, 2, 0xf, 0xee]);
  expect(ana.decodeAnaLog(out)).toEqual(log);
  ana.encodeAnaLog(log, out, true);
  expect(ana.decodeAnaLog(out).groups.map((group) => group.nsids)).toEqual([[], []]);
  new DataView(out.buffer).setUint32(20, 1000, true);
  expect(() => ana.decodeAnaLog(out)).toThrow('cut off');
});

test('discovery page', () => {
  const entry = {
    trtype: t.trtype.tcp,
    adrfam: t.adrfam.ipv4,
    subtype: t.discoverySubtype.nvm,
    treq: t.treq.notSpecified,
    portid: 1,
    cntlid: 0xffff,
    asqsz: 128,
    eflags: 0,
    trsvcid: '4420',
    subnqn: 'nqn.2016-06.io.spdk:cnode1',
    traddr: '127.0.0.1',
    sectype: t.tcpSecurity.none,
  };
  const page = disc.encodeDiscoveryLog(7, [entry, { ...entry, portid: 2, trsvcid: '4421' }]);
  expect(page.length).toBe(3072);
  expect([page[0], page[8], page[16]]).toEqual([7, 2, 0]);
  expect([...page.slice(1024, 1024 + 10)]).toEqual([3, 1, 2, 0, 1, 0, 0xff, 0xff, 128, 0]);
  expect(String.fromCharCode(...page.slice(1024 + 32, 1024 + 38))).toBe('4420  ');
  expect(String.fromCharCode(...page.slice(1024 + 512, 1024 + 522))).toBe('127.0.0.1 ');
  const decoded = disc.decodeDiscoveryLog(page);
  expect(decoded.entries[0]).toEqual(entry);
  expect(decoded.entries[1]?.trsvcid).toBe('4421');
  expect(() => disc.decodeDiscoveryLog(page.slice(0, 3071))).toThrow(RangeError);
  expect(disc.decodeDiscoveryLog(disc.encodeDiscoveryLog(0, []))).toEqual({ genctr: 0, entries: [] });
});

test('extended discovery records are followed by their length and attributes', () => {
  const records = [{ portid: 1, adminLabel: 'rack 7' }, { portid: 2 }];
  const page = disc.encodeDiscoveryLog(9, records, true);
  const view = new DataView(page.buffer);
  // DLPF and TDLPL of the header.
  expect([page[18], view.getUint32(20, true)]).toEqual([1, page.length]);
  const first = 1024 + 1024;
  // TEL, NUMEXAT; EXATTYPE, EXATLEN, EXATVAL.
  expect(view.getUint32(first, true)).toBe(1024 + 8 + 4 + 8);
  expect(view.getUint16(first + 4, true)).toBe(1);
  expect([view.getUint16(first + 8, true), view.getUint16(first + 10, true)]).toEqual([2, 8]);
  expect([...page.slice(first + 12, first + 20)]).toEqual([...Buffer.from('rack 7\0\0')]);
  const second = 1024 + view.getUint32(first, true);
  expect(view.getUint16(second + 4, true), 'PORTID').toBe(2);
  expect([view.getUint32(second + 1024, true), view.getUint16(second + 1028, true)]).toEqual([1032, 0]);
  expect(page.length).toBe(second + 1032);
});

test('reservation notification page', () => {
  const out = new Uint8Array(64);
  const log = { lpc: 9, type: reservationNotification.reservationPreempted, nalp: 1, nsid: 0x0102_0304 };
  reservationLog.encode(log, out);
  expect([...out.slice(0, 16)]).toEqual([9, 0, 0, 0, 0, 0, 0, 0, 3, 1, 0, 0, 4, 3, 2, 1]);
  expect(reservationLog.decode(out)).toEqual(log);
});

test('asynchronous events', () => {
  const event = { type: eventType.notice, info: noticeEvent.discoveryLogChange, lid: lid.discovery };
  expect(encodeAsyncEvent(event)).toBe(0x0070_f002);
  expect(decodeAsyncEvent(0x0070_f002)).toEqual(event);
});

test('features', () => {
  expect(f.encodeNumberOfQueues(127, 127)).toBe(0x007e_007e);
  expect(f.decodeNumberOfQueues(0xfffe_0000)).toEqual({ submission: 1, completion: 65535 });
  expect(f.decodeErrorRecovery(0x1_0005)).toEqual({ tler: 5, dulbe: true });
  expect(f.decodePowerManagement(0x25)).toEqual({ ps: 5, wh: 1 });
  expect(f.decodeInterruptCoalescing(0x0203)).toEqual({ thr: 3, time: 2 });
  expect(f.decodeInterruptVector(0x1_0004)).toEqual({ iv: 4, cd: true });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (dword) => {
      expect(f.encodeArbitration(f.decodeArbitration(dword))).toBe((dword & 0xffff_ff07) >>> 0);
      expect(f.encodeTemperatureThreshold(f.decodeTemperatureThreshold(dword))).toBe(dword & 0x3f_ffff);
    }),
  );
  const out = new Uint8Array(512);
  f.hostBehavior.encode({ acre: 1, lbafee: 1 }, out);
  expect([...out.slice(0, 4)]).toEqual([1, 0, 1, 0]);
});

test('names', () => {
  expect(adminOpcodeName(0x02)).toBe('GET LOG PAGE');
  expect(adminOpcodeName(0xc1)).toBe('0xc1');
  expect(lidName(0x0c)).toBe('ANA');
  expect(t.trtypeName(3)).toBe('TCP');
  expect(t.adrfamName(9)).toBe('9');
  expect(t.parseAdrfam('ipv6')).toBe(2);
});
