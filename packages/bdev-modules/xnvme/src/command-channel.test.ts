/** Commands as the specifications have them: what a channel puts into the entries of a ring that only remembers them. */
import { type BdevDescription, BdevIo, IoStatus, IoType, IoVec, ZoneReport } from '@spdk-ts/bdev';
import { RegionTable } from '@spdk-ts/env';
import { ZoneOrder } from '@spdk-ts/file-io';
import { Logger, setLogWriter } from '@spdk-ts/log';
import { type Native, native } from '@spdk-ts/native';
import type { Thread, Uring, UringHandler } from '@spdk-ts/reactor';
import { ZoneAction, ZoneState, ZoneType } from '@spdk-ts/zones';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CommandChannel } from './command-channel.ts';
import type { CommandContext } from './context.ts';

const REGION = 7;
const WORDS = 32;

/** struct nvme_uring_cmd of an entry, by its offsets in linux/nvme_ioctl.h. */
function commandOf(words: Uint32Array) {
  const view = new DataView(words.buffer, words.byteOffset, WORDS * 4);
  const at = 48;
  return {
    entry: { opcode: view.getUint8(0), fd: view.getInt32(4, true), cmd_op: view.getUint32(8, true) },
    opcode: view.getUint8(at),
    nsid: view.getUint32(at + 4, true),
    address: Number(view.getBigUint64(at + 24, true)),
    data_len: view.getUint32(at + 36, true),
    slba: Number(view.getBigUint64(at + 40, true)),
    cdw10: view.getUint32(at + 40, true),
    cdw11: view.getUint32(at + 44, true),
    cdw12: view.getUint32(at + 48, true),
    cdw13: view.getUint32(at + 52, true),
    rest: [view.getUint32(at + 56, true), view.getUint32(at + 60, true), view.getUint32(at + 64, true)],
  };
}

class MemoryRing {
  readonly words = new Uint32Array(WORDS).fill(0xffff_ffff);
  readonly buffers = { find: () => -1 };
  extraLow = 0;
  extraHigh = 0;
  handler!: UringHandler;
  tags: number[] = [];
  sent: ReturnType<typeof commandOf>[] = [];

  addHandler(handler: UringHandler): number {
    this.handler = handler;
    return 3;
  }
  removeHandler(): void {}
  prepare(
    opcode: number,
    fd: number,
    _address: number,
    _length: number,
    _handler: number,
    tag: number,
  ): number {
    this.flush();
    this.words.fill(0, 0, WORDS / 2);
    this.words[0] = opcode;
    this.words[1] = fd;
    this.tags.push(tag);
    return 0;
  }
  /** What was prepared last is complete only now. */
  private flush(): void {
    if (this.tags.length > this.sent.length) this.sent.push(commandOf(this.words.slice()));
  }
  take(): ReturnType<typeof commandOf>[] {
    this.flush();
    return this.sent;
  }
  answer(result: number, tag = this.tags.at(-1)!): void {
    this.flush();
    this.handler.uringComplete(tag, result, 0);
  }
}

interface Bed {
  readonly ring: MemoryRing;
  readonly channel: CommandChannel;
  readonly address: number;
  readonly polls: (() => number)[];
  readonly ended: [BdevIo, number][];
  io(type: number, fields?: Partial<BdevIo>): BdevIo;
}

function start(more: Partial<CommandContext> = {}, description: Partial<BdevDescription> = {}): Bed {
  const ring = new MemoryRing();
  const regions = new RegionTable();
  const memory = new Uint8Array(new ArrayBuffer(65_536));
  regions.add(REGION, memory);
  const polls: (() => number)[] = [];
  const thread = {
    registerPoller(_name: string, poll: () => number) {
      polls.push(poll);
      return { unregister: () => void polls.splice(polls.indexOf(poll), 1) };
    },
  } as unknown as Thread;
  const context = {
    ...{ filename: '/dev/ng0n1', nsid: 5, range_blocks_max: 1000, cross_reads: true, zone_gates: null },
    ...more,
  };
  const device = { name: 'X', block_size: 512, num_blocks: 2 ** 40, zone_size: 0, context, ...description };
  const target = {
    ...{ native: native as Native, ring: ring as unknown as Uring, regions, fd: 9, place: -1, fixed: false },
  };
  const channel = new CommandChannel(
    device as unknown as BdevDescription,
    target,
    thread,
    new Logger('bdev_xnvme'),
    () => {},
  );
  const ended: [BdevIo, number][] = [];
  return {
    ...{ ring, channel, polls, ended, address: regions.address(REGION, 0) },
    io(type, fields = {}) {
      const io = Object.assign(new BdevIo(0), { type, region: REGION, ...fields });
      io.complete = (status) => void ended.push([io, status]);
      channel.submit(io);
      return io;
    },
  };
}

describe.skipIf(native === null)('commands of an xnvme bdev', () => {
  let before: (line: string) => void;
  const log: string[] = [];
  beforeAll(() => {
    before = setLogWriter((line) => void log.push(line));
  });
  afterAll(() => void setLogWriter(before));

  it('are read, write, compare and write zeroes with 64-bit addresses, lengths from 0, and FUA', () => {
    const { ring, io, address, ended } = start();
    const at = 5 * 2 ** 32 + 77;
    const data = { offset_blocks: at, num_blocks: 8, offset: 4096, length: 4096 };
    io(IoType.READ, { ...data, fua: true });
    io(IoType.WRITE, { ...data, fua: true });
    io(IoType.COMPARE, data);
    io(IoType.WRITE_ZEROES, { ...data, num_blocks: 65_536 });
    const common = { nsid: 5, slba: at, rest: [0, 0, 0], cdw13: 0 };
    const entry = { opcode: 46, fd: 9, cmd_op: 0xc048_4e80 };
    const place = { address: address + 4096, data_len: 4096 };
    expect(ring.take().map(({ cdw10, cdw11, ...rest }) => rest)).toEqual([
      { ...common, ...place, entry, opcode: 0x02, cdw12: 7 },
      { ...common, ...place, entry, opcode: 0x01, cdw12: 0x4000_0007 },
      { ...common, ...place, entry, opcode: 0x05, cdw12: 7 },
      { ...common, address: 0, data_len: 0, entry, opcode: 0x08, cdw12: 65_535 },
    ]);
    for (const tag of ring.tags) ring.answer(0, tag);
    expect(ended.map(([, status]) => status)).toEqual([1, 1, 1, 1]);
  });

  it('name the pieces of gather lists', () => {
    const { ring, io } = start();
    const iovs = new IoVec(4);
    iovs.push(REGION, 0, 100);
    iovs.push(REGION, 8192, 412);
    io(IoType.WRITE, { num_blocks: 1, iovs });
    expect(ring.take()[0]).toMatchObject({
      entry: { cmd_op: 0xc048_4e81 },
      opcode: 1,
      data_len: 2,
      cdw12: 0,
    });
  });

  it('flush, and deallocate in ranges that the controller takes', () => {
    const { ring, io, channel } = start();
    io(IoType.FLUSH, { num_blocks: 9 });
    io(IoType.UNMAP, { offset_blocks: 2 ** 33, num_blocks: 2500 });
    const [flush, unmap] = ring.take();
    expect(flush).toMatchObject({ opcode: 0, nsid: 5, data_len: 0, cdw12: 0 });
    expect(unmap).toMatchObject({ opcode: 0x09, data_len: 48, cdw10: 2, cdw11: 4, cdw12: 0 });
    const command = (channel as unknown as { commands: { scratch(n: Native): Uint32Array }[] }).commands[1]!;
    expect([...command.scratch(native!).subarray(0, 12)]).toEqual([
      0, 1000, 0, 2, 0, 1000, 1000, 2, 0, 500, 2000, 2,
    ]);
  });

  it('end with the status that the controller gave, or are tried again, or failed', () => {
    const { ring, io, ended } = start();
    const ends: [number, number, number, number][] = [
      [0x4285, IoStatus.NVME_ERROR, 2, 0x85], // DNR, compare failure
      [0x01b8, IoStatus.NVME_ERROR, 1, 0xb8],
      [-11, IoStatus.NOMEM, 0, 0],
      [-12, IoStatus.NOMEM, 0, 0],
      [-4, IoStatus.ABORTED, 0, 0],
      [-19, IoStatus.FAILED, 0, 0],
    ];
    for (const [result] of ends) {
      io(IoType.READ, { num_blocks: 1, length: 512 });
      ring.answer(result);
    }
    expect(ended.map(([{ sct, sc }, status]) => [status, sct, sc])).toEqual(ends.map(([, ...end]) => end));
    expect(log.join()).toContain('the kernel refused a command to /dev/ng0n1 (I/O type 0): ENODEV');
  });

  const ZONE = 1024;
  const zoned = (cross_reads = false): Bed =>
    start(
      { csi: 2, cross_reads, zone_gates: ZoneOrder.allocate(16) },
      { zone_size: ZONE, num_blocks: 16 * ZONE, zoned: true },
    );

  it('append, and tell where the data went', () => {
    const { ring, io } = zoned();
    const append = io(IoType.ZONE_APPEND, { offset_blocks: 2 * ZONE, num_blocks: 3, length: 1536 });
    expect(ring.take()[0]).toMatchObject({ opcode: 0x7d, slba: 2 * ZONE, cdw12: 2, data_len: 1536 });
    Object.assign(ring, { extraLow: 2 * ZONE + 40, extraHigh: 1 });
    ring.answer(0);
    expect(append.append_location).toBe(2 ** 32 + 2 * ZONE + 40);
  });

  it('read across zones in parts where the device does not', () => {
    const { ring, io, address, ended } = zoned();
    const iovs = new IoVec(4);
    iovs.push(REGION, 0, 1000);
    iovs.push(REGION, 2048, 1560);
    io(IoType.READ, { offset_blocks: ZONE - 2, num_blocks: 5, offset: 0, length: 2560 });
    ring.answer(0);
    ring.answer(0);
    io(IoType.READ, { offset_blocks: ZONE - 2, num_blocks: 5, iovs });
    ring.answer(0);
    ring.answer(0);
    const parts = ring.take().map(({ slba, cdw12, data_len, address: at }) => [slba, cdw12, data_len, at]);
    expect(parts.slice(0, 2)).toEqual([
      [ZONE - 2, 1, 1024, address],
      [ZONE, 2, 1536, address + 1024],
    ]);
    // The first part has 1000 and 24 bytes, the second what is left of the second piece.
    expect(parts.slice(2).map((part) => part.slice(0, 3))).toEqual([
      [ZONE - 2, 1, 2],
      [ZONE, 2, 1],
    ]);
    expect(ended.length).toBe(2);
  });

  it('write to a zone one at a time, in order, and keep the turn of one that is tried again', () => {
    const { ring, io, ended } = zoned();
    const write = (at: number): BdevIo => io(IoType.WRITE, { offset_blocks: at, num_blocks: 1, length: 512 });
    const waits = [write(0), write(1), write(2)][2]!;
    write(ZONE);
    expect(ring.take().map(({ slba }) => slba)).toEqual([0, ZONE]);
    ring.answer(-11, ring.tags[0]);
    expect(ring.take().map(({ slba }) => slba)).toEqual([0, ZONE, 0]);
    ring.answer(0, ring.tags[0]);
    expect(ring.take().at(-1)!.slba).toBe(1);
    expect(ended.length).toBe(1);
    const { channel } = { channel: ring.handler as unknown as CommandChannel };
    expect([channel.abort(waits), ended.at(-1)![1]]).toEqual([true, IoStatus.ABORTED]);
  });

  it('manage zones, one or all, or those of a part of the device that an action is for', () => {
    const bed = zoned();
    const { ring, io, ended } = bed;
    const manage = (action: number, zone: number, fields: Partial<BdevIo> = {}): BdevIo =>
      io(IoType.ZONE_MANAGEMENT, {
        offset_blocks: zone * ZONE,
        num_blocks: ZONE,
        zone_action: action,
        ...fields,
      });
    for (const action of [0, 1, 2, 3, 4]) manage(action, 3);
    manage(ZoneAction.RESET, 0, { zone_all: true, num_blocks: 16 * ZONE });
    expect(ring.take().map(({ opcode, slba, cdw13 }) => [opcode, slba, cdw13])).toEqual([
      ...[1, 2, 3, 4, 5].map((action) => [0x79, 3 * ZONE, action]), // close, finish, open, reset, offline
      [0x79, 0, 0x104],
    ]);
    const before = ring.sent.length;
    manage(ZoneAction.FINISH, 4, { zone_all: true, num_blocks: 2 * ZONE });
    report(bed, [{ state: 1, start: 4 * ZONE, pointer: 4 * ZONE }]); // empty: not concerned
    report(bed, [{ state: 4, start: 5 * ZONE, pointer: 5 * ZONE + 7 }]); // closed
    ring.answer(0);
    expect(
      ring
        .take()
        .slice(before)
        .map(({ opcode, slba, cdw13 }) => [opcode, slba, cdw13]),
    ).toEqual([
      [0x7a, 4 * ZONE, 0x1_0000],
      [0x7a, 5 * ZONE, 0x1_0000],
      [0x79, 5 * ZONE, 2],
    ]);
    expect(ended.at(-1)![1]).toBe(IoStatus.SUCCESS);
  });

  it('ask for zones until all are told of', () => {
    const bed = zoned();
    const { ring, io, ended } = bed;
    const zones = new ZoneReport(8);
    io(IoType.GET_ZONE_INFO, { offset_blocks: 0, num_blocks: 3 * ZONE, zones });
    expect(ring.take()[0]).toMatchObject({ opcode: 0x7a, cdw12: (64 + 3 * 64) / 4 - 1, data_len: 256 });
    report(bed, [
      { state: 14, start: 0, pointer: 2 ** 53 },
      { state: 3, start: ZONE, pointer: ZONE + 9 },
    ]);
    expect(ring.take()[1]).toMatchObject({ slba: 2 * ZONE, data_len: 128 });
    report(bed, [{ state: 15, start: 2 * ZONE, pointer: 2 ** 53 }]);
    expect(ended.length).toBe(1);
    const common = { capacity: 1000, type: ZoneType.SEQWR };
    expect([0, 1, 2].map((at) => zones.get(at))).toEqual([
      { ...common, zone_id: 0, write_pointer: 1000, state: ZoneState.FULL },
      { ...common, zone_id: ZONE, write_pointer: ZONE + 9, state: ZoneState.EXPLICIT_OPEN },
      { ...common, zone_id: 2 * ZONE, write_pointer: 2 * ZONE, state: ZoneState.OFFLINE },
    ]);
  });

  it('store, retrieve, list, find and delete keys', () => {
    const { ring, io, address, ended } = start({ csi: 1 });
    const key = { key_length: 9, key0: 0x0403_0201, key1: 0x0807_0605, key2: 9, key3: 0 };
    const words: number[][] = [];
    const send = (type: number, fields: Partial<BdevIo> = {}): BdevIo => {
      const sent = io(type, { ...key, ...fields });
      words.push([...ring.words.subarray(14, 16), ...ring.words.subarray(26, 28)]);
      return sent;
    };
    send(IoType.KV_STORE, { length: 700, kv_options: 2 });
    send(IoType.KV_STORE, { length: 0, kv_options: 1, fua: true });
    ring.answer(0);
    const retrieve = send(IoType.KV_RETRIEVE, { length: 300 });
    ring.extraLow = 700;
    ring.answer(0);
    send(IoType.KV_LIST, { length: 4096 });
    send(IoType.KV_EXIST);
    send(IoType.KV_DELETE);
    const got = ring
      .take()
      .map(({ opcode, cdw10, cdw11, data_len, address: at }) => [opcode, cdw10, cdw11, data_len, at]);
    expect(got).toEqual([
      [0x01, 700, 0x209, 700, address],
      [0x01, 0, 0x109, 0, 0],
      [0x00, 0, 0, 0, 0], // flush
      [0x02, 300, 9, 300, address],
      [0x06, 4096, 9, 4096, address],
      [0x14, 0, 9, 0, 0],
      [0x10, 0, 9, 0, 0],
    ]);
    for (const each of words) expect(each).toEqual([0x0403_0201, 0x0807_0605, 9, 0]);
    expect([retrieve.cdw0, ended.length]).toEqual([700, 1]);
    ring.answer(0x0087);
    expect([ended[1]![0].sct, ended[1]![0].sc]).toEqual([0, 0x87]);
  });

  /** The answer to a report: a header and descriptors as in the Zoned Namespace Command Set 1.1, 3.4.2.2. */
  function report({ ring, channel }: Bed, zones: { state: number; start: number; pointer: number }[]): void {
    const { commands } = channel as unknown as { commands: { scratch(n: Native): Uint32Array }[] };
    const words = commands[ring.tags.at(-1)!]!.scratch(native!);
    const view = new DataView(words.buffer);
    view.setBigUint64(0, BigInt(zones.length), true);
    for (const [index, { state, start, pointer }] of zones.entries()) {
      const at = 64 + 64 * index;
      view.setUint8(at, 2);
      view.setUint8(at + 1, state << 4);
      view.setBigUint64(at + 8, 1000n, true);
      view.setBigUint64(at + 16, BigInt(start), true);
      view.setBigUint64(at + 24, BigInt(pointer), true);
    }
    ring.answer(0);
  }
});
