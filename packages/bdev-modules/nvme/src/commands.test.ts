/** Commands as the specifications have them, also those that our own target needs no such care for. */
import { type BdevDescription, BdevIo, IoType, ZoneReport } from '@spdk-ts/bdev';
import { DifCheck } from '@spdk-ts/dif';
import { ManualClock } from '@spdk-ts/env';
import { NvmeRequest } from '@spdk-ts/nvme';
import { LocalHost } from '@spdk-ts/reactor';
import { ZoneAction, ZoneState } from '@spdk-ts/zones';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NamespaceCommands } from './commands.ts';
import type { CommandContext } from './context.ts';
import { checkProtection } from './protection.ts';
import { isRepeatable } from './repeatable.ts';

const NSID = 5;
let host: LocalHost;
beforeEach(async () => {
  host = await LocalHost.start({ clock: new ManualClock(), plugins: [] });
});
afterEach(() => host.stop());

const plain: CommandContext = {
  ...{ protects: false, range_blocks: 0xffff_ffff, copy_blocks: 65_536, zone_gates: null },
};

function start(context: Partial<CommandContext> = {}, description: Partial<BdevDescription> = {}) {
  const reactor = host.local[0]!;
  const whole = {
    ...{
      block_size: 512,
      num_blocks: 2 ** 40,
      zone_size: 0,
      dif_type: 0,
      dif_pi_format: 0,
      dif_check_types: 0,
    },
    ...description,
    context: { nsid: NSID, commands: { ...plain, ...context } },
  } as BdevDescription;
  const commands = new NamespaceCommands(whole, reactor);
  commands.grow();
  const request = new NvmeRequest();
  const io = (type: number, fields: Partial<BdevIo>): BdevIo =>
    Object.assign(new BdevIo(0), { type, ...fields });
  /** Dwords of the command, and its data. */
  const sent = () => {
    const { bytes } = reactor.buffers;
    const data = request.length === 0 ? null : bytes.slice(request.offset, request.offset + request.length);
    return { opcode: request.sqe[0]! & 0xff, sqe: [...request.sqe], data: data && new DataView(data.buffer) };
  };
  return { commands, request, io, sent, reactor, description: whole };
}

describe('commands', () => {
  it('deallocate in as many ranges as the controller takes blocks in one', () => {
    const { commands, request, io, sent, reactor } = start({ range_blocks: 1000 });
    const free = reactor.buffers.smallFree;
    commands.begin(request, io(IoType.UNMAP, { offset_blocks: 2 ** 33 + 1, num_blocks: 2500 }));
    const { opcode, sqe, data } = sent();
    expect([opcode, sqe[1], sqe[10], sqe[11]]).toEqual([0x09, NSID, 2, 4]);
    const ranges = [0, 16, 32].map((at) => [
      data!.getUint32(at + 4, true),
      Number(data!.getBigUint64(at + 8, true)),
    ]);
    expect(ranges).toEqual([
      [1000, 2 ** 33 + 1],
      [1000, 2 ** 33 + 1001],
      [500, 2 ** 33 + 2001],
    ]);
    commands.release(0);
    expect(reactor.buffers.smallFree).toBe(free);
  });

  it('copy in pieces of what the controller takes', () => {
    const { commands, request, io, sent } = start({ copy_blocks: 16 });
    const copy = io(IoType.COPY, { offset_blocks: 100, src_offset_blocks: 500, num_blocks: 20 });
    commands.begin(request, copy);
    const steps: number[][] = [];
    do {
      const { opcode, sqe, data } = sent();
      // One range, format 0.
      expect([opcode, sqe[12]]).toEqual([0x19, 0]);
      steps.push([sqe[10]!, Number(data!.getBigUint64(8, true)), data!.getUint16(16, true) + 1]);
    } while (commands.goesOn(request, copy));
    expect(steps).toEqual([
      [100, 500, 16],
      [116, 516, 4],
    ]);
    expect(isRepeatable(copy, false)).toBe(true);
  });

  it.each([
    ['upwards, from the end', 103, 100, [5, 2, 0]],
    ['downwards, from the beginning', 100, 103, [0, 3, 6]],
  ])('copy over itself by reading and writing: %s', (_, to, from, places) => {
    const { commands, request, io, sent } = start({}, { max_rw_size: 3 });
    const copy = io(IoType.COPY, { offset_blocks: to, src_offset_blocks: from, num_blocks: 8 });
    commands.begin(request, copy);
    const steps: number[][] = [];
    do {
      const { opcode, sqe } = sent();
      steps.push([opcode, sqe[10]!, sqe[12]! + 1]);
    } while (commands.goesOn(request, copy));
    expect(steps).toEqual(
      places.flatMap((place, i) => [
        [0x02, from + place, i === 2 ? 2 : 3],
        [0x01, to + place, i === 2 ? 2 : 3],
      ]),
    );
    expect(isRepeatable(copy, false)).toBe(false);
  });

  it('say what is to be checked, and count reference tags from where the I/O says', () => {
    const bed = start(
      { protects: true },
      { dif_type: 1, dif_pi_format: 2, dif_check_types: DifCheck.GUARD | DifCheck.REFTAG },
    );
    const { request, io, description } = bed;
    const read = io(IoType.READ, { offset_blocks: 2 ** 33 + 7, num_blocks: 2 });
    request.begin(0x02, NSID);
    request.range(read.offset_blocks, 2);
    checkProtection(description, request, read);
    // PRCHK: guard 4, application tag 2, reference tag 1, from bit 26 on.
    expect([request.sqe[12], request.sqe[14], request.sqe[3]]).toEqual([1 | (5 << 26), 7, 2]);
    Object.assign(read, {
      dif_exclude: DifCheck.REFTAG,
      dif_ref_tag: 9,
      dif_app_tag: 0x1234,
      dif_app_tag_mask: 0xff00,
    });
    request.begin(0x02, NSID);
    request.range(read.offset_blocks, 2);
    checkProtection(description, request, read);
    expect([request.sqe[12], request.sqe[14], request.sqe[3]]).toEqual([1 | (6 << 26), 9, 0]);
    expect(request.sqe[15]).toBe(0xff00_1234);
  });

  it('write zeroes with protection information that the controller makes, 65536 blocks at a time', () => {
    const { commands, request, io, sent } = start({ protects: true }, { dif_type: 2 });
    const zeroes = io(IoType.WRITE_ZEROES, { offset_blocks: 10, num_blocks: 65_537, fua: true });
    commands.begin(request, zeroes);
    const steps: number[][] = [];
    do {
      const { opcode, sqe } = sent();
      steps.push([opcode, sqe[10]!, sqe[12]!, sqe[14]!]);
    } while (commands.goesOn(request, zeroes));
    const flags = 0x6000_0000; // FUA, PRACT
    expect(steps).toEqual([
      [0x08, 10, flags + 65_535, 10],
      [0x08, 65_546, flags, 65_546],
    ]);
  });

  it('ask for zones until all are told of, and manage those of a part that an action is for', () => {
    const ZONE = 64;
    const bed = start({}, { zone_size: ZONE, num_blocks: 16 * ZONE });
    const { commands, request, io, sent, reactor } = bed;
    const answer = (zones: readonly [number, number, number][]): void => {
      const view = new DataView(
        reactor.buffers.bytes.buffer,
        reactor.buffers.bytes.byteOffset + request.offset,
      );
      view.setBigUint64(0, BigInt(zones.length), true);
      zones.forEach(([zs, start_block, pointer], i) => {
        const at = 64 + 64 * i;
        view.setUint8(at, 2);
        view.setUint8(at + 1, zs << 4);
        view.setBigUint64(at + 8, 48n, true);
        view.setBigUint64(at + 16, BigInt(start_block), true);
        view.setBigUint64(at + 24, BigInt(pointer), true);
      });
      request.received = 64 + 64 * zones.length;
    };
    const zones = new ZoneReport(8);
    const report = io(IoType.GET_ZONE_INFO, { offset_blocks: 0, num_blocks: 3 * ZONE, zones });
    commands.begin(request, report);
    expect(sent().sqe.slice(10, 14)).toEqual([0, 0, (64 + 3 * 64) / 4 - 1, 0x1_0000]);
    answer([
      [14, 0, 2 ** 40],
      [2, ZONE, ZONE + 9],
    ]);
    expect(commands.goesOn(request, report)).toBe(true);
    expect(sent().sqe[10]).toBe(2 * ZONE);
    answer([[15, 2 * ZONE, 0]]);
    expect(commands.goesOn(request, report)).toBe(false);
    expect([0, 1, 2].map((at) => [zones.get(at).write_pointer, zones.get(at).state])).toEqual([
      [48, ZoneState.FULL],
      [ZONE + 9, ZoneState.IMPLICIT_OPEN],
      [2 * ZONE, ZoneState.OFFLINE],
    ]);
    commands.release(0);

    const finish = io(IoType.ZONE_MANAGEMENT, {
      ...{ offset_blocks: 4 * ZONE, num_blocks: 2 * ZONE, zone_action: ZoneAction.FINISH, zone_all: true },
    });
    const steps: number[][] = [];
    const note = (): void => {
      const { opcode, sqe } = sent();
      steps.push([opcode, sqe[10]!, sqe[13]!]);
    };
    commands.begin(request, finish);
    note();
    answer([[1, 4 * ZONE, 4 * ZONE]]); // empty: not concerned
    for (let more = commands.goesOn(request, finish); more; more = commands.goesOn(request, finish)) {
      note();
      if (steps.at(-1)![0] === 0x7a) answer([[4, 5 * ZONE, 5 * ZONE + 7]]); // closed
    }
    expect(steps).toEqual([
      [0x7a, 4 * ZONE, 0x1_0000],
      [0x7a, 5 * ZONE, 0x1_0000],
      [0x79, 5 * ZONE, 2],
    ]);
  });

  it('are handed on as they are, but for what is the queue’s and the namespace’s', () => {
    const { commands, request, io, reactor } = start();
    const command = Uint32Array.from({ length: 16 }, (_, i) => 0xaaaa_0000 + i);
    command[0] = 0x82;
    const { region } = reactor.buffers;
    const read = io(IoType.NVME_IO, { command, region, offset: 4096, length: 512 });
    commands.begin(request, read);
    expect([...request.sqe]).toEqual([
      ...[0x4082, NSID, ...command.slice(2, 4)],
      ...[0, 0, 0, 0, 0, 0],
      ...command.slice(10),
    ]);
    expect([request.transfer, request.length, request.may_be_short]).toEqual([2, 512, true]);
    request.dw0 = 0xfeed;
    expect([commands.goesOn(request, read), read.cdw0, isRepeatable(read, false)]).toEqual([
      false,
      0xfeed,
      false,
    ]);
    // All of a Read's data must come.
    command[0] = 0x02;
    commands.begin(request, read);
    expect(request.may_be_short).toBe(false);
    command[0] = 0x81;
    commands.begin(request, read);
    expect(request.transfer).toBe(1);
  });
});
