// vfio-user endpoints from a PCI host without a virtual machine: what works, what is refused, and what one that misbehaves
// gets, while another at the next endpoint notices nothing.
import { closeSync, ftruncateSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import * as vu from '@spdk-ts/vfio-user';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { fillAndBlock } from '../host/blocking-event.ts';
import { eventually, type Json, Target } from '../linux-guest/target.ts';
import { BASE, type Entry, MEMORY_BYTES, PciHost } from '../vfio-user-host/index.ts';

const SQ1 = BASE + 0x2000;
const CQ1 = BASE + 0x3000;
const SQ2 = BASE + 0x4000;
const CQ2 = BASE + 0x5000;
const LIST = BASE + 0x1_0000;
const DATA = BASE + 0x10_0000;
const OUTSIDE = 0x8000_0000;
const CFS = 2;
const BAD_PRP = 0x13;
const TRANSFER_ERROR = 0x04;

const io = (opcode: number, slba: number, blocks: number, prp1: number, prp2 = 0): Entry => ({
  ...{ opcode, nsid: 1, prp1, prp2, cdw10: slba, cdw12: blocks - 1 },
});
const write = (slba: number, blocks: number, prp1: number, prp2 = 0): Entry =>
  io(1, slba, blocks, prp1, prp2);
const read = (slba: number, blocks: number, prp1: number, prp2 = 0): Entry => io(2, slba, blocks, prp1, prp2);
/** Status code and type, without DNR. */
const code = ({ status }: { status: number }): number => status & 0x7ff;

describe.skipIf(native === null)('endpoints (they need the addon)', () => {
  let target: Target;
  const hosts: PciHost[] = [];
  const endpoint = (name: string): string => join(target.folder, name, 'cntrl');
  const open = async (name: string): Promise<PciHost> => {
    const host = await PciHost.open(endpoint(name));
    hosts.push(host);
    return host;
  };
  const end = async (host: PciHost): Promise<void> => {
    host.close();
    hosts.splice(hosts.indexOf(host), 1);
  };
  /** A host with an I/O queue. */
  const ready = async (name: string): Promise<PciHost> => {
    const host = await open(name);
    await host.start();
    await host.createQueue(1, SQ1, CQ1);
    return host;
  };
  const serve = async (name: string): Promise<void> => {
    const nqn = `nqn.2024-01.io.spdk-ts:${name}`;
    mkdirSync(join(target.folder, name));
    await target.createMalloc(name, 4 << 20);
    await target.rpc('nvmf_create_subsystem', {
      nqn,
      allow_any_host: true,
      serial_number: 'S1',
      enable_nssr: true,
    });
    await target.rpc('nvmf_subsystem_add_ns', { nqn, namespace: { bdev_name: name } });
    const listen_address = { trtype: 'vfiouser', traddr: join(target.folder, name) };
    await target.rpc('nvmf_subsystem_add_listener', { nqn, listen_address });
  };

  beforeAll(async () => {
    target = await Target.start();
    await target.rpc('nvmf_create_transport', { trtype: 'VFIOUSER' });
    for (const name of ['a', 'b']) await serve(name);
  });
  afterEach(() => {
    for (const host of hosts.splice(0)) host.close();
  });
  afterAll(async () => {
    expect(target.running).toBe(true);
    expect(await target.stop(), target.output).toBe(0);
    await target.dispose();
  });

  it('show an NVMe controller: configuration space, regions, interrupts', async () => {
    const host = await open('a');
    const config = Buffer.from(await host.readRegion(vu.PciRegion.config, 0, 256));
    expect([config.readUInt16LE(0), config.readUInt16LE(2), config.readUInt32LE(8) >>> 8]).toEqual([
      ...[0x4e58, 1, 0x01_0802],
    ]);
    const capabilities = [];
    for (let at = config[0x34]!; at !== 0; at = config[at + 1]!) capabilities.push(config[at]);
    expect(capabilities).toEqual([1, 0x11, 0x10]);
    const info = vu.parseDeviceInfo(
      (await host.ask(vu.Command.deviceGetInfo, vu.encodeDeviceInfoQuery())).payload,
    );
    expect(info).toEqual({ flags: 3, regions: 9, irqs: 5 });
    const region = await host.ask(vu.Command.deviceGetRegionInfo, vu.encodeRegionInfoQuery(0, 64));
    expect(vu.parseRegionInfo(region.payload)).toMatchObject({
      ...{ size: 0x2000, flags: 15, areas: [{ offset: 0x1000, size: 0x1000 }] },
    });
    expect(region.fds.length).toBe(1);
    for (const fd of region.fds) closeSync(fd);
    const irq = vu.parseIrqInfo(
      (await host.ask(vu.Command.deviceGetIrqInfo, vu.encodeIrqInfoQuery(vu.PciIrq.msix))).payload,
    );
    expect(irq.count).toBe((config.readUInt16LE(config[0x41]! + 2) & 0x7ff) + 1);
    expect(await host.read(0x08)).toBe(0x2_0000);
    await end(host);
  });

  it('read and write through PRPs and SGLs, into memory that is not in one piece, and interrupt by eventfd', async () => {
    const host = await ready('a');
    const event = native!.eventFd();
    const set = { data: vu.IrqData.eventfd, action: vu.IrqAction.trigger, index: vu.PciIrq.msix };
    await host.ask(vu.Command.deviceSetIrqs, vu.encodeIrqSet({ ...set, start: 0, count: 1 }), [event]);
    for (let i = 0; i < 64 * 1024; i++) host.memory[DATA - BASE + i] = (i * 7) ^ (i >> 9);
    const bytes = host.memory.slice(DATA - BASE, DATA - BASE + 64 * 1024);
    // 64 KiB from an offset in the first page: sixteen entries, and one more for the last bytes.
    host.memory.fill(0, LIST - BASE, LIST - BASE + 4096);
    for (let i = 0; i < 16; i++) host.words[(LIST - BASE) / 4 + i * 2] = DATA + 4096 * (i + 1);
    await host.good(1, write(0, 127, DATA + 512, LIST));
    expect(native!.drainEventFd(event)).toBe(true);
    // The same, read through an SGL of blocks in any order, in two segments.
    const sgl = (at: number, address: number, length: number, type: number): void => {
      host.words.set([address, 0, length, type << 24], (at - BASE) / 4);
    };
    const out = DATA + 0x8_0000;
    sgl(LIST, out + 0x2_0000, 1024, 0);
    sgl(LIST + 16, out, 2048, 0);
    sgl(LIST + 32, LIST + 0x800, 32, 0x30);
    sgl(LIST + 0x800, out + 0x1004, 508, 0);
    sgl(LIST + 0x810, out + 0x4000, 127 * 512 - 3580, 0);
    await host.good(1, { ...read(0, 127, 0), psdt: 1, words: { 6: LIST, 7: 0, 8: 48, 9: 0x20 << 24 } });
    const back = Buffer.concat(
      [
        [0x2_0000, 1024],
        [0, 2048],
        [0x1004, 508],
        [0x4000, 127 * 512 - 3580],
      ].map(([at, length]) => Buffer.from(host.memory.slice(out - BASE + at!, out - BASE + at! + length!))),
    );
    expect(back.equals(Buffer.from(bytes.subarray(512, 512 + 127 * 512)))).toBe(true);
    closeSync(event);
    await end(host);
  });

  it('interrupt as they are told: INTx until it is taken, vectors unless masked, fewer if put together', async () => {
    const host = await ready('a');
    const event = native!.eventFd();
    const set = (index: number, data: number, action: number, fds: number[] = []): Promise<unknown> =>
      host.ask(
        vu.Command.deviceSetIrqs,
        vu.encodeIrqSet({ data, action, index, start: index === 2 ? 1 : 0, count: 1 }),
        fds,
      );
    const { eventfd, none } = vu.IrqData;
    const { trigger, mask, unmask } = vu.IrqAction;
    const interrupted = async (): Promise<boolean> => {
      await host.good(1, read(0, 1, DATA));
      await sleep(20);
      return native!.drainEventFd(event);
    };
    await set(0, eventfd, trigger, [event]);
    expect([await interrupted(), await interrupted()]).toEqual([true, false]);
    await set(0, none, unmask);
    expect(native!.drainEventFd(event)).toBe(true);
    await host.write(0x0c, 1); // INTMS
    await set(0, none, unmask);
    expect(await interrupted()).toBe(false);
    await host.write(0x10, 1); // INTMC
    expect(native!.drainEventFd(event)).toBe(true);
    await set(0, eventfd, trigger);
    // Vector 1 is the queue's if it was made with it.
    await host.good(0, { opcode: 0, cdw10: 1 });
    await host.good(0, { opcode: 4, cdw10: 1 });
    await host.createQueue(1, SQ1, CQ1, 16, 1);
    await set(2, eventfd, trigger, [event]);
    expect([await interrupted(), await interrupted()]).toEqual([true, true]);
    await set(2, none, mask);
    expect(await interrupted()).toBe(false);
    expect((await host.readRegion(5, 0, 8))[0]! & 2).toBe(2);
    await set(2, none, unmask);
    expect(native!.drainEventFd(event)).toBe(true);
    expect((await host.readRegion(5, 0, 8))[0]! & 2).toBe(0);
    await host.writeRegion(4, 16 + 12, Uint8Array.of(1, 0, 0, 0));
    expect(await interrupted()).toBe(false);
    await host.writeRegion(4, 16 + 12, Uint8Array.of(0, 0, 0, 0));
    expect(native!.drainEventFd(event)).toBe(true);
    // Interrupt Coalescing: four completions, or 25.5 ms; and not for this vector.
    await host.good(0, { opcode: 9, cdw10: 8, cdw11: 0xff03 });
    expect((await host.good(0, { opcode: 10, cdw10: 8 })).dw0).toBe(0xff03);
    for (let i = 0; i < 4; i++) host.place(1, read(0, 1, DATA));
    await host.ring(1, false, host.tail(1));
    await eventually(5, 'an interrupt', () => native!.drainEventFd(event));
    await host.good(0, { opcode: 9, cdw10: 9, cdw11: 0x1_0001 });
    expect((await host.good(0, { opcode: 10, cdw10: 9, cdw11: 1 })).dw0).toBe(0x1_0001);
    expect(code(await host.submit(0, { opcode: 10, cdw10: 9, cdw11: 999 }))).toBe(0x02);
    closeSync(event);
    await end(host);
  });

  it('refuse what the protocol, or the device, does not have', async () => {
    const host = await open('a');
    const errors = async (command: number, payload?: Uint8Array, fds?: number[]): Promise<string> =>
      vu.errnoName((await host.request(command, payload, fds)).error);
    const map = { address: BASE, size: 4096, offset: 0, flags: 3 };
    const event = native!.eventFd();
    const irqs = (change: object): Uint8Array =>
      vu.encodeIrqSet({ data: 4, action: 32, index: 2, start: 0, count: 1, ...change });
    expect([
      await errors(99),
      await errors(vu.Command.dmaRead),
      await errors(vu.Command.deviceFeature, vu.encodeDeviceFeature(vu.DeviceFeatureFlag.get | 1)),
      await errors(vu.Command.migDataRead, new Uint8Array(8)),
      await errors(vu.Command.deviceGetRegionIoFds, vu.encodeDeviceInfoQuery()),
      await errors(vu.Command.dmaMap, vu.encodeDmaMap(map), [host.memoryFd]),
      await errors(vu.Command.dmaMap, vu.encodeDmaMap({ ...map, address: 0x100 }), [host.memoryFd]),
      await errors(vu.Command.dmaMap, vu.encodeDmaMap({ ...map, address: 1 << 30, size: 1 << 30 }), [
        host.memoryFd,
      ]),
      await errors(vu.Command.dmaMap, vu.encodeDmaMap({ ...map, address: 0, flags: 0 }), [host.memoryFd]),
      await errors(vu.Command.dmaMap, vu.encodeDmaMap({ ...map, address: 0 }), [event]),
      await errors(vu.Command.dmaUnmap, vu.encodeDmaUnmap({ flags: 0, address: BASE, size: 4096 })),
      await errors(vu.Command.regionRead, vu.encodeRegionAccess(0x1fff, 0, 2)),
      await errors(vu.Command.regionRead, vu.encodeRegionAccess(0, 2, 4)),
      await errors(vu.Command.regionWrite, vu.encodeRegionAccess(0x14, 0, 1, new Uint8Array(1))),
      await errors(vu.Command.deviceSetIrqs, irqs({ start: 999 }), [event]),
      await errors(vu.Command.deviceSetIrqs, irqs({}), [host.memoryFd]),
      await errors(vu.Command.deviceReset, new Uint8Array(1)),
    ]).toEqual([
      ...['EINVAL', 'EINVAL', 'ENOTTY', 'EOPNOTSUPP', 'EOPNOTSUPP', 'EEXIST', 'EINVAL', 'EINVAL', 'EINVAL'],
      ...['EINVAL', 'ENOENT', 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL'],
    ]);
    closeSync(event);
    await host.start();
    await end(host);
  });

  it('close a connection that begins otherwise, or whose messages cannot be', async () => {
    const early = PciHost.connect(endpoint('a'));
    hosts.push(early);
    expect((await early.request(vu.Command.deviceGetInfo, vu.encodeDeviceInfoQuery())).error).toBe(
      vu.Errno.ESHUTDOWN,
    );
    const other = PciHost.connect(endpoint('a'));
    hosts.push(other);
    const { error } = await other.request(vu.Command.version, vu.encodeVersion(7, 0, {}));
    expect(error).toBe(vu.Errno.EINVAL);
    await eventually(5, 'it is closed', () => other.ended);
    const third = await open('a');
    third.channel.send(vu.encodeMessage({ id: 1, command: 1, flags: 7 }));
    await eventually(5, 'it is closed', () => third.ended);
    for (const host of [early, other, third]) await end(host);
  });

  it('fail a controller whose queues are not in its memory, until it is reset', async () => {
    const host = await open('a');
    for (const [asq, acq] of [
      [OUTSIDE, BASE + 0x1000],
      [BASE, 2 ** 60],
      [BASE, BASE + MEMORY_BYTES],
    ] as const) {
      await host.enable(asq, acq);
      expect((await host.read(0x1c)) & 3).toBe(CFS);
      await host.disable();
      expect((await host.read(0x1c)) & CFS).toBe(0);
    }
    await host.start();
    const create = (opcode: number, prp1: number, cdw10: number, cdw11: number): Promise<number> =>
      host.submit(0, { opcode, prp1, cdw10, cdw11 }).then(code);
    expect([
      await create(5, OUTSIDE, 1 | (15 << 16), 3), // outside of memory
      await create(5, CQ1 + 8, 1 | (15 << 16), 3), // no page
      await create(5, CQ1, 1 | (15 << 16), 2), // not contiguous
      await create(5, CQ1, 0 | (15 << 16), 3), // the admin queue's id
      await create(5, CQ1, 500 | (15 << 16), 3), // beyond the last
      await create(5, CQ1, 1, 3), // one entry
      await create(5, CQ1, 1 | (4095 << 16), 3), // more than MQES
      await create(5, CQ1, 1 | (15 << 16), 3 | (500 << 16)), // vector
      await create(1, SQ1, 1 | (15 << 16), 1 | (1 << 16)), // no such completion queue
      await create(1, SQ1, 1 | (15 << 16), 1), // completion queue 0
      await create(0, 0, 1, 0), // deletion of what is not there
      await create(4, 0, 1, 0),
    ]).toEqual([...[0x02, 0x13, 0x02, 0x101, 0x101, 0x102, 0x102, 0x108, 0x100, 0x101, 0x101, 0x101]]);
    await host.createQueue(1, SQ1, CQ1);
    expect(await create(5, CQ1, 1 | (15 << 16), 3)).toBe(0x101); // in use
    expect(await create(4, 0, 1, 0)).toBe(0x10c); // a submission queue uses it
    expect(await create(0, 0, 1, 0)).toBe(0);
    expect(await create(4, 0, 1, 0)).toBe(0);
    await host.createQueue(1, SQ1, CQ1);
    await host.good(1, write(0, 8, DATA));
    await end(host);
  });

  it('end commands whose data are not in memory, and touch nothing', async () => {
    const host = await ready('a');
    const list = (...entries: number[]): void => {
      host.memory.fill(0, LIST - BASE, LIST - BASE + 0x2000);
      const words = new Uint32Array(
        entries.flatMap((entry) => [entry % 2 ** 32, Math.floor(entry / 2 ** 32)]),
      );
      host.words.set(new Int32Array(words.buffer), (LIST - BASE) / 4);
    };
    const ends = async (entry: Entry): Promise<number> => code(await host.submit(1, entry));
    const sgl = (words: Record<number, number>): Entry => ({ ...read(0, 16, 0), psdt: 1, words });
    expect(await ends(write(0, 8, OUTSIDE))).toBe(TRANSFER_ERROR);
    expect(await ends(write(0, 8, 2 ** 63))).toBe(TRANSFER_ERROR);
    expect(await ends(read(0, 8, BASE + MEMORY_BYTES - 512))).toBe(TRANSFER_ERROR);
    expect(await ends(write(0, 8, DATA + 2))).toBe(BAD_PRP);
    expect(await ends(write(0, 16, DATA, DATA + 8))).toBe(BAD_PRP);
    expect(await ends(write(0, 64, DATA, LIST + 4))).toBe(BAD_PRP);
    expect(await ends(write(0, 64, DATA, OUTSIDE))).toBe(TRANSFER_ERROR);
    list(DATA, DATA + 512, DATA);
    expect(await ends(write(0, 64, DATA, LIST))).toBe(BAD_PRP);
    list(DATA, OUTSIDE, DATA);
    expect(await ends(write(0, 64, DATA, LIST))).toBe(TRANSFER_ERROR);
    // A list that begins with the last entry of its page, which leads to the next; and one that leads to itself.
    host.memory.fill(0, LIST - BASE, LIST - BASE + 0x2000);
    host.words[(LIST - BASE + 0xff8) / 4] = LIST + 0x1000;
    for (let i = 0; i < 7; i++) host.words[(LIST - BASE + 0x1000) / 4 + i * 2] = DATA + 4096 * i;
    expect(await ends(write(0, 64, DATA, LIST + 0xff8))).toBe(0);
    host.words[(LIST - BASE + 0xff8) / 4] = LIST + 0xff8;
    expect(await ends(write(0, 64, DATA, LIST + 0xff8))).toBe(BAD_PRP);
    expect(await ends(sgl({ 6: DATA, 7: 0, 8: 4096, 9: 0 }))).toBe(0x0f); // too short
    expect(await ends(sgl({ 6: DATA, 7: 0, 8: 8192, 9: 0x10 << 24 }))).toBe(0x11); // bit bucket
    expect(await ends(sgl({ 6: DATA + 1, 7: 0, 8: 8192, 9: 0 }))).toBe(0x1e);
    expect(await ends(sgl({ 6: LIST, 7: 0, 8: 24, 9: 0x30 << 24 }))).toBe(0x0d);
    expect(await ends(sgl({ 6: OUTSIDE, 7: 0, 8: 32, 9: 0x30 << 24 }))).toBe(TRANSFER_ERROR);
    host.words.set([LIST, 0, 16, 0x20 << 24], (LIST - BASE) / 4); // a segment that leads to itself
    expect(await ends(sgl({ 6: LIST, 7: 0, 8: 16, 9: 0x20 << 24 }))).toBe(0x0d);
    expect(await ends({ opcode: 0x7f, nsid: 4, cdw11: 0x14 })).toBe(0x01); // Fabrics
    expect(code(await host.submit(0, { opcode: 0x7f, nsid: 0, cdw11: 0x14, cdw12: 0 }))).toBe(0x01);
    expect(await ends(read(0, 8, DATA))).toBe(0);
    await end(host);
  });

  it('entries and lists that change under way are used as they were when they were read', async () => {
    const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
    console.log(`seed ${seed}`);
    const random = new Random(seed);
    const [host, bystander] = [await ready('a'), await ready('b')];
    await host.mapBar0();
    const guard = DATA + 0x10_0000;
    host.memory.fill(0x5a, guard - BASE, guard - BASE + 0x1_0000);
    const at = (address: number): number => (address - BASE) / 4;
    const seen = new Set<number>();
    for (let round = 0; round < 300; round++) {
      for (let i = 0; i < 7; i++) host.words.set([DATA + 4096 * (i + 1), 0], at(LIST) + i * 2);
      const slot = at(SQ1) + host.tail(1) * 16;
      const cid = host.place(1, read(0, 64, DATA, LIST));
      await host.ring(1, false, host.tail(1));
      // The target is another process: it reads while this writes.
      for (let i = 0; i < 2000; i++) {
        host.words[at(LIST) + random.below(7) * 2] = [DATA, OUTSIDE | 0, DATA + 2][random.below(3)]!;
        host.words[slot + 8] = random.below(2) === 0 ? LIST : OUTSIDE | 0;
        host.words[slot + 12] = random.below(2) === 0 ? 63 : 0xffff;
      }
      seen.add(code(await host.completion(1, cid)));
    }
    // Longer than a transfer may be, or than the namespace is, if the length was changed before it was read.
    const possible = [0, 0x02, 0x80, BAD_PRP, TRANSFER_ERROR];
    expect([...seen].filter((status) => !possible.includes(status))).toEqual([]);
    expect(host.memory.subarray(guard - BASE, guard - BASE + 0x1_0000).every((byte) => byte === 0x5a)).toBe(
      true,
    );
    expect(await host.read(0x1c)).toBe(1);
    await host.good(1, read(0, 1, DATA));
    await bystander.good(1, read(0, 1, DATA));
    await end(host);
    await end(bystander);
  });

  it('a client that writes impossible doorbells fails, and nobody else does', async () => {
    const bystander = await ready('b');
    await bystander.good(1, write(5, 1, DATA));
    const host = await ready('a');
    for (const [qid, completion, value] of [
      [1, false, 16],
      [1, false, 0xffff_ffff],
      [0, false, 32],
      [1, true, 16],
    ] as const) {
      await host.ring(qid, completion, value);
      if (completion) {
        // The head is looked at when the queue seems full.
        for (let i = 0; i < 15; i++) host.place(1, read(0, 1, DATA));
        await host.ring(1, false, host.tail(1));
      }
      await host.status(CFS, CFS);
      await host.disable();
      await host.start();
      await host.createQueue(1, SQ1, CQ1);
      await host.good(1, read(0, 1, DATA));
    }
    await bystander.good(1, read(5, 1, DATA + 4096));
    await end(host);
    await end(bystander);
  });

  it('queues are deleted and functions are reset with commands in flight', async () => {
    const host = await ready('a');
    await host.createQueue(2, SQ2, CQ2);
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 12; i++) host.place(2, write(i * 8, 8, DATA + i * 4096));
      await host.ring(2, false, host.tail(2));
      await host.good(0, { opcode: 0, cdw10: 2 });
      await host.good(0, { opcode: 4, cdw10: 2 });
      await host.createQueue(2, SQ2, CQ2);
    }
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 12; i++) host.place(2, write(i * 8, 8, DATA + i * 4096));
      await host.ring(2, false, host.tail(2));
      if (round % 2 === 0) await host.ask(vu.Command.deviceReset);
      else await host.writeRegion(vu.PciRegion.config, 0x69, Uint8Array.of(0x80)); // Initiate Function Level Reset
      expect(await host.read(0x14)).toBe(0);
      expect(await host.read(0x1c)).toBe(0);
      await host.start();
      await host.createQueue(1, SQ1, CQ1);
      await host.createQueue(2, SQ2, CQ2);
      await host.good(2, write(0, 8, DATA));
    }
    await end(host);
  });

  it('memory is taken back when nothing uses it any more, and queues wait for theirs', async () => {
    const host = await ready('a');
    for (let i = 0; i < 12; i++) host.place(1, write(i * 8, 8, DATA + i * 4096));
    await host.ring(1, false, host.tail(1));
    await host.takeBack(BASE, MEMORY_BYTES);
    const last = host.place(1, read(0, 8, DATA));
    await host.ring(1, false, host.tail(1));
    await sleep(20);
    await host.lend(BASE, MEMORY_BYTES, 0);
    expect((await host.completion(1, last)).status).toBe(0);
    // A part that may only be read takes no data, and a part without descriptor none at all.
    await host.lend(0x1000_0000, 0x10_0000, 0, 1);
    expect(code(await host.submit(1, read(0, 8, 0x1000_0000)))).toBe(TRANSFER_ERROR);
    expect(code(await host.submit(1, write(0, 8, 0x1000_0000)))).toBe(0);
    await host.ask(
      vu.Command.dmaMap,
      vu.encodeDmaMap({ address: 0x2000_0000, size: 4096, offset: 0, flags: 3 }),
    );
    expect(code(await host.submit(1, write(0, 8, 0x2000_0000)))).toBe(TRANSFER_ERROR);
    await host.ask(vu.Command.dmaUnmap, vu.encodeDmaUnmap({ flags: 2, address: 0, size: 0 }));
    await end(host);
  });

  it('half of a fused operation holds no memory that is taken back, and ends without the other if its data were there', async () => {
    const FUSE_FIRST = 0x100;
    const FUSE_SECOND = 0x200;
    const [ABORTED_FAILED, ABORTED_MISSING] = [0x09, 0x0a];
    const ELSEWHERE = 0x1000_0000;
    const OTHER = 0x2000_0000;
    const host = await ready('a');
    await host.lend(ELSEWHERE, 0x10_0000, 0);
    await host.lend(OTHER, 0x10_0000, 0);
    await host.good(1, write(0, 1, DATA));
    const half = async (opcode: number, prp1: number): Promise<number> => {
      const cid = host.place(1, io(opcode, 0, 1, prp1));
      await host.ring(1, false, host.tail(1));
      // it has been taken from its queue when this has been answered
      await host.good(0, { opcode: 10, cdw10: 7 });
      return cid;
    };
    // What is taken back is not its own: it waits on, and goes well.
    const compare = await half(5 | FUSE_FIRST, DATA);
    await host.takeBack(OTHER, 0x10_0000);
    const second = await half(1 | FUSE_SECOND, DATA);
    expect((await host.completion(1, compare)).status).toBe(0);
    expect((await host.completion(1, second)).status).toBe(0);
    // Its own.
    const lost = await half(5 | FUSE_FIRST, ELSEWHERE);
    await host.takeBack(ELSEWHERE, 0x10_0000);
    expect(code(await host.completion(1, lost))).toBe(ABORTED_MISSING);
    const late = await half(1 | FUSE_SECOND, DATA);
    expect(code(await host.completion(1, late))).toBe(ABORTED_FAILED);
    await host.good(1, read(0, 1, DATA));
    await end(host);
  });

  it('interrupt without waiting for a client whose eventfd is full and blocks', async () => {
    const bystander = await ready('b');
    const host = await open('a');
    const event = native!.eventFd();
    const set = { data: vu.IrqData.eventfd, action: vu.IrqAction.trigger, index: vu.PciIrq.msix };
    await host.ask(vu.Command.deviceSetIrqs, vu.encodeIrqSet({ ...set, start: 0, count: 1 }), [event]);
    fillAndBlock(event);
    await host.start();
    await host.createQueue(1, SQ1, CQ1);
    for (let i = 0; i < 10; i++) await host.good(1, read(i, 1, DATA));
    await bystander.good(1, read(0, 1, DATA));
    closeSync(event);
    await end(host);
    await end(bystander);
  });

  it('a client that cuts its memory, or dies with commands in flight, harms nobody, and another takes its place', async () => {
    const bystander = await ready('b');
    const open_descriptors = (): number => readdirSync(`/proc/${target.pid}/fd`).length;
    const cutter = await ready('a');
    ftruncateSync(cutter.memoryFd, 0);
    await bystander.good(1, read(0, 1, DATA));
    await end(cutter);
    let before = 0;
    for (let round = 0; round < 6; round++) {
      const host = await ready('a');
      for (let i = 0; i < 12; i++) host.place(1, write(i * 8, 8, DATA + i * 4096));
      await host.ring(1, false, host.tail(1));
      await end(host);
      const nqn = 'nqn.2024-01.io.spdk-ts:a';
      await eventually(5, 'its controller is gone', async () => {
        return (await target.rpc('nvmf_subsystem_get_controllers', { nqn })).length === 0;
      });
      if (round === 2) before = open_descriptors();
    }
    await eventually(5, 'nothing stays open', () => open_descriptors() <= before);
    await bystander.good(1, read(0, 1, DATA));
    await end(bystander);
  });

  it('a subsystem reset gives each client a new controller', async () => {
    const host = await ready('a');
    await host.write(0x20, 0x4e56_4d65);
    await eventually(
      5,
      'it is as new',
      async () => (await host.read(0x14)) === 0 && (await host.read(0x1c)) === 0,
    );
    await host.start();
    await host.createQueue(1, SQ1, CQ1);
    await host.good(1, read(0, 1, DATA));
    await end(host);
  });

  it('fill no completion queue that is not emptied, and go on when it is', async () => {
    const host = await ready('a');
    await host.mapBar0();
    const cids = [];
    for (let i = 0; i < 15; i++) cids.push(host.place(1, read(i, 1, DATA)));
    await host.ring(1, false, host.tail(1));
    await sleep(50);
    for (let i = 0; i < 10; i++) cids.push(host.place(1, read(i, 1, DATA)));
    await host.ring(1, false, host.tail(1));
    await sleep(50);
    for (const cid of cids) expect((await host.completion(1, cid)).status).toBe(0);
    await end(host);
  });

  it('bear any bytes', async () => {
    const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
    console.log(`seed ${seed}`);
    const random = new Random(seed);
    const bystander = await ready('b');
    for (let round = 0; round < 30; round++) {
      const host = await ready('a');
      await host.mapBar0();
      for (let step = 0; step < 30 && !host.ended; step++) {
        const what = random.below(4);
        if (what === 0)
          for (let i = 0; i < 64; i++)
            host.words[(SQ1 - BASE) / 4 + random.below(256)] = random.below(2 ** 32) | 0;
        else if (what === 1) host.bar0![0x400 + random.below(6)] = random.below(32);
        else if (what === 2) {
          const payload = new Uint8Array(random.below(64)).map(() => random.below(256));
          const fds = random.below(4) === 0 ? [host.memoryFd] : [];
          host.channel.send(vu.encodeCommand(9, 2 + random.below(17), payload), Int32Array.from(fds));
        } else {
          const command = vu.encodeRegionAccess(
            random.below(0x40) * 4,
            0,
            4,
            new Uint8Array(4).map(() => random.below(256)),
          );
          host.channel.send(vu.encodeCommand(9, vu.Command.regionWrite, command));
        }
      }
      await end(host);
    }
    await bystander.good(1, read(0, 1, DATA));
    await end(bystander);
  });

  it('are refused where they cannot be, and come back after a target that was killed', async () => {
    const add = (nqn: string, traddr: string): Promise<Json> =>
      target.rpc('nvmf_subsystem_add_listener', { nqn, listen_address: { trtype: 'VFIOUSER', traddr } });
    const a = 'nqn.2024-01.io.spdk-ts:a';
    await expect(add('nqn.2024-01.io.spdk-ts:b', join(target.folder, 'a'))).rejects.toThrow('one only');
    await expect(add(a, 'relative')).rejects.toThrow('absolute path');
    await expect(add(a, '/nonexistent')).rejects.toThrow('no folder');
    await expect(add('nqn.2014-08.org.nvmexpress.discovery', target.folder)).rejects.toThrow('discovery');
    const saved = await target.config();
    target = await target.replaceBy(saved);
    expect(await target.config()).toEqual(saved);
    const host = await ready('a');
    await host.good(1, read(0, 1, DATA));
    await end(host);
  });
});
