// Guests that do what no driver does: the command, or the controller, fails as the specification says; the guest at the next
// endpoint reads what it wrote; and the half of its memory that a guest has not lent stays as it was.
import { closeSync, ftruncateSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Random } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import * as vu from '@spdk-ts/vfio-user';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Target } from '../linux-guest/target.ts';
import { BASE, type Completion, type Entry, MEMORY_BYTES, PciHost } from '../vfio-user-host/index.ts';

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
const LENT = MEMORY_BYTES / 2;
const SQ1 = BASE + 0x2000;
const CQ1 = BASE + 0x3000;
const LIST = BASE + 0x1_0000;
const DATA = BASE + 0x10_0000;
const BLOCK = 512;
const GUARD = 0x5a;
const CFS = 2;
/** Bytes of the largest transfer: such as takes three pages of a PRP list. */
const LARGEST = 4 << 20;

const DELETE_SQ = 0;
const DELETE_CQ = 4;
const SET_FEATURES = 9;
const AER = 12;
const DATA_BLOCK = 0x00;
const SEGMENT = 0x20;
const LAST_SEGMENT = 0x30;

const status = {
  invalidField: 0x02,
  transferError: 0x04,
  badSegment: 0x0d,
  badLength: 0x0f,
  badOffset: 0x13,
  badGranularity: 0x1e,
  cqInvalid: 0x100,
  badDeletion: 0x10c,
} as const;

const io = (opcode: number, slba: number, blocks: number, prp1: number, prp2 = 0): Entry => ({
  ...{ opcode, nsid: 1, prp1, prp2, cdw10: slba, cdw12: blocks - 1 },
});
const write = (slba: number, blocks: number, prp1: number, prp2 = 0): Entry =>
  io(1, slba, blocks, prp1, prp2);
const read = (slba: number, blocks: number, prp1: number, prp2 = 0): Entry => io(2, slba, blocks, prp1, prp2);
/** Status code and type, without DNR. */
const code = ({ status: field }: Completion): number => field & 0x7ff;
const high = (value: number): number => Math.floor(value / 2 ** 32);
/** An SGL descriptor: an address, a length, and what it is. */
type Descriptor = readonly [number, number, number];

describe.skipIf(native === null)('hostile guests (vfio-user needs the addon)', () => {
  let target: Target;
  let bystander: PciHost;
  const hosts: PciHost[] = [];
  const endpoint = (name: string): string => join(target.folder, name, 'cntrl');

  const serve = async (name: string, bdev: string): Promise<void> => {
    const nqn = `nqn.2024-01.io.spdk-ts:${name}`;
    const traddr = join(target.folder, name);
    mkdirSync(traddr);
    await target.rpc('nvmf_create_subsystem', { nqn, allow_any_host: true, serial_number: 'S1' });
    await target.rpc('nvmf_subsystem_add_ns', { nqn, namespace: { bdev_name: bdev } });
    await target.rpc('nvmf_subsystem_add_listener', { nqn, listen_address: { trtype: 'VFIOUSER', traddr } });
  };

  /** A host that lends half of its memory, with an I/O queue. */
  const ready = async (name: string): Promise<PciHost> => {
    const host = PciHost.connect(endpoint(name));
    hosts.push(host);
    await host.ask(vu.Command.version, vu.encodeVersion(0, 1, { max_msg_fds: 8 }));
    host.memory.fill(GUARD, LENT);
    await host.lend(BASE, LENT, 0);
    await host.start();
    await host.createQueue(1, SQ1, CQ1);
    return host;
  };
  /** It goes on, what it has not lent is as it was, and so are the bystander's data. */
  const unharmed = async (host: PciHost): Promise<void> => {
    expect(await host.read(0x1c)).toBe(1);
    await host.good(1, read(0, 1, DATA));
    expect(host.memory.subarray(LENT).every((byte) => byte === GUARD)).toBe(true);
    await bystander.good(1, read(0, 64, DATA, LIST));
    expect(bystander.memory.subarray(DATA - BASE, DATA - BASE + 64 * BLOCK).every((b) => b === 0xb5)).toBe(
      true,
    );
  };
  const setList = (host: PciHost, at: number, entries: readonly number[]): void => {
    for (const [i, entry] of entries.entries())
      host.words.set([entry | 0, high(entry) | 0], (at - BASE) / 4 + i * 2);
  };
  const setSgl = (host: PciHost, at: number, descriptors: readonly Descriptor[]): void => {
    for (const [i, [address, length, type]] of descriptors.entries())
      host.words.set([address | 0, high(address) | 0, length | 0, type << 24], (at - BASE) / 4 + i * 4);
  };
  /** A read whose SGL begins with this descriptor. */
  const readSgl = (blocks: number, [address, length, type]: Descriptor): Entry => ({
    ...read(0, blocks, 0),
    ...{ psdt: 1, words: { 6: address % 2 ** 32, 7: high(address), 8: length, 9: (type << 24) >>> 0 } },
  });

  beforeAll(async () => {
    console.log(`seed ${seed}`);
    const params = { large_pool_count: 8, large_bufsize: LARGEST + 4096 };
    const iobuf = { subsystem: 'iobuf', config: [{ method: 'iobuf_set_options', params }] };
    target = await Target.start({ config: { subsystems: [iobuf] } });
    await target.rpc('nvmf_create_transport', { trtype: 'VFIOUSER', max_io_size: LARGEST });
    for (const name of ['Fast', 'Other', 'Below']) await target.createMalloc(name, 8 << 20);
    const slow = { avg_read_latency: 300_000, p99_read_latency: 300_000 };
    await target.rpc('bdev_delay_create', {
      ...{ name: 'Slow', base_bdev_name: 'Below', avg_write_latency: 300_000, p99_write_latency: 300_000 },
      ...slow,
    });
    for (const [name, bdev] of [
      ['a', 'Fast'],
      ['b', 'Other'],
      ['c', 'Slow'],
    ] as const)
      await serve(name, bdev);
    bystander = await ready('b');
    hosts.pop();
    setList(
      bystander,
      LIST,
      [1, 2, 3, 4, 5, 6, 7].map((page) => DATA + page * 4096),
    );
    bystander.memory.fill(0xb5, DATA - BASE, DATA - BASE + 64 * BLOCK);
    await bystander.good(1, write(0, 64, DATA, LIST));
  });
  afterEach(() => {
    for (const host of hosts.splice(0)) host.close();
  });
  afterAll(async () => {
    bystander.close();
    expect(target.running).toBe(true);
    expect(await target.stop(), target.output).toBe(0);
    await target.dispose();
  });

  it('walk in circles: PRP lists and SGL segments that lead back', async () => {
    const host = await ready('a');
    const blocks = LARGEST / BLOCK;
    const other = LIST + 4096;
    const pages = Array.from({ length: 511 }, (_, i) => DATA + (i % 128) * 4096);
    setList(host, LIST, [...pages, other]);
    setList(host, other, [...pages, LIST]);
    // More entries than two pages have: the third is the first again. Each brings data, so that it ends.
    expect(code(await host.submit(1, write(0, blocks, DATA, LIST)))).toBe(0);
    expect(code(await host.submit(1, read(0, blocks, DATA, LIST)))).toBe(0);
    // Pages of nothing but the way to the next.
    setList(host, LIST + 0xff8, [other + 0xff8]);
    setList(host, other + 0xff8, [LIST + 0xff8]);
    expect(code(await host.submit(1, read(0, blocks, DATA, LIST + 0xff8)))).toBe(status.badOffset);
    // Segments in a circle, without data, and with a little in each.
    for (const length of [0, 4]) {
      setSgl(host, LIST, [
        [DATA, length, DATA_BLOCK],
        [other, 32, SEGMENT],
      ]);
      setSgl(host, other, [
        [DATA, length, DATA_BLOCK],
        [LIST, 32, SEGMENT],
      ]);
      expect(code(await host.submit(1, readSgl(8, [LIST, 32, SEGMENT])))).toBe(status.badSegment);
    }
    await unharmed(host);
  });

  it('wrap lengths and addresses around', async () => {
    const host = await ready('a');
    const ends = async (entry: Entry): Promise<number> => code(await host.submit(1, entry));
    const last = 2 ** 64 - 4096;
    expect(await ends(read(0, 8, last))).toBe(status.transferError);
    expect(await ends(read(0, 16, DATA, last))).toBe(status.transferError);
    expect(await ends(read(0, 64, DATA, last))).toBe(status.transferError);
    expect(await ends(read(0, 16, BASE + LENT - 4096, BASE + LENT))).toBe(status.transferError);
    expect(await ends(readSgl(16, [last, 8192, DATA_BLOCK]))).toBe(status.transferError);
    expect(await ends(readSgl(16, [2 ** 52 - 4096, 8192, DATA_BLOCK]))).toBe(status.transferError);
    expect(await ends(readSgl(16, [BASE + LENT - 4096, 8192, DATA_BLOCK]))).toBe(status.transferError);
    // Lengths whose sum is that of the data, modulo 2^32.
    setSgl(host, LIST, [
      [DATA, 0xffff_fffc, DATA_BLOCK],
      [DATA, 8192 + 4, DATA_BLOCK],
    ]);
    expect(await ends(readSgl(16, [LIST, 32, LAST_SEGMENT]))).toBe(status.badLength);
    // A segment that is longer than memory, or whose end wraps.
    for (const [address, length] of [
      [LIST, 0xffff_fff0],
      [last, 8192],
      [BASE + LENT - 16, 32],
    ] as const)
      expect([status.transferError, 0x0e]).toContain(
        await ends(readSgl(16, [address, length, LAST_SEGMENT])),
      );

    const create = (opcode: number, prp1: number, entries: number): Promise<number> =>
      host
        .submit(0, {
          opcode,
          prp1,
          cdw10: 2 | ((entries - 1) << 16),
          cdw11: opcode === 5 ? 3 : 1 | (1 << 16),
        })
        .then(code);
    for (const [address, entries] of [
      [last, 256],
      [BASE + LENT - 4096, 256],
      [BASE - 4096, 256],
    ] as const)
      expect(await create(1, address, entries)).toBe(status.invalidField);
    expect(await create(5, last, 256)).toBe(status.invalidField);
    expect(await create(5, BASE + LENT, 16)).toBe(status.invalidField);

    const errors = async (command: number, payload: Uint8Array, fds?: number[]): Promise<string> =>
      vu.errnoName((await host.request(command, payload, fds)).error);
    const map = { address: 0x4000_0000, size: 4096, offset: 0, flags: 3 };
    expect([
      await errors(vu.Command.dmaMap, vu.encodeDmaMap({ ...map, address: last, size: 8192 }), [
        host.memoryFd,
      ]),
      await errors(vu.Command.dmaMap, vu.encodeDmaMap({ ...map, address: 2 ** 52 - 4096, size: 8192 }), [
        host.memoryFd,
      ]),
      await errors(vu.Command.dmaMap, vu.encodeDmaMap({ ...map, offset: last, size: 8192 }), [host.memoryFd]),
      await errors(vu.Command.dmaMap, vu.encodeDmaMap({ ...map, size: last }), [host.memoryFd]),
      await errors(vu.Command.dmaMap, vu.encodeDmaMap({ ...map, size: 0 }), [host.memoryFd]),
      await errors(vu.Command.dmaUnmap, vu.encodeDmaUnmap({ flags: 0, address: BASE, size: last })),
      await errors(vu.Command.regionRead, vu.encodeRegionAccess(2 ** 64 - 4096, 0, 8)),
      await errors(vu.Command.regionRead, vu.encodeRegionAccess(0x1ffc, 0, 8)),
      await errors(vu.Command.regionRead, vu.encodeRegionAccess(0, 0, 0xffff_ffff)),
    ]).toEqual(Array.from({ length: 9 }, () => 'EINVAL'));
    await unharmed(host);
  });

  it('delete queues with commands in flight, in the wrong order too', async () => {
    const host = await ready('c');
    for (let round = 0; round < 2; round++) {
      const cids = Array.from({ length: 8 }, (_, i) => host.place(1, write(i, 1, DATA + i * 4096)));
      await host.ring(1, false, host.tail(1));
      expect(code(await host.submit(0, { opcode: DELETE_CQ, cdw10: 1 }))).toBe(status.badDeletion);
      await host.good(0, { opcode: DELETE_SQ, cdw10: 1 });
      // Each was carried out or aborted, and its completion was there before that of the deletion.
      const phases = cids.map((_, i) => (host.words[(CQ1 - BASE) / 4 + i * 4 + 3]! >>> 16) & 1);
      expect(phases).toEqual(cids.map(() => 1));
      for (const cid of cids) expect([0, 0x08]).toContain(code(await host.completion(1, cid)));
      await host.good(0, { opcode: DELETE_CQ, cdw10: 1 });
      expect(
        code(await host.submit(0, { opcode: 1, prp1: SQ1, cdw10: 1 | (15 << 16), cdw11: 1 | (1 << 16) })),
      ).toBe(status.cqInvalid);
      host.memory.fill(0, CQ1 - BASE, CQ1 - BASE + 4096);
      await host.createQueue(1, SQ1, CQ1);
    }
    await unharmed(host);
  });

  it('ring what they must not: they are told, and fail if their queue cannot go on', async () => {
    const host = await ready('a');
    const event = async (cid: number): Promise<number> => (await host.completion(0, cid)).dw0;
    const ask = async (): Promise<number> => {
      const cid = host.place(0, { opcode: AER });
      await host.ring(0, false, host.tail(0));
      return cid;
    };
    const log = (rae: boolean): Promise<Completion> =>
      host.good(0, { opcode: 2, nsid: 0xffff_ffff, prp1: DATA, cdw10: 1 | (15 << 16) | (rae ? 0x8000 : 0) });
    // A queue that there is not: Write to Invalid Doorbell Register, of which no configuration rids the host; the others go on.
    await host.ring(77, false, 1);
    await host.good(0, { opcode: SET_FEATURES, cdw10: 0x0b, cdw11: 0 });
    expect(await event(await ask())).toBe(0x01_00_00);
    await unharmed(host);
    // The next of its kind waits until the error log was read.
    const second = await ask();
    await host.ring(78, true, 1);
    await log(true);
    expect(host.memory[DATA - BASE]).toBe(2); // errors so far
    await log(false);
    // Out of range: Invalid Doorbell Write Value, and the controller fails.
    await host.ring(1, false, 16);
    expect(await event(second)).toBe(0x01_01_00);
    await host.status(CFS, CFS);
    await host.disable();
    await host.start();
    await host.createQueue(1, SQ1, CQ1);
    await unharmed(host);
  });

  it('close, cut and withhold descriptors', async () => {
    const host = await ready('a');
    const event = native!.eventFd();
    const set = { data: vu.IrqData.eventfd, action: vu.IrqAction.trigger, index: vu.PciIrq.msix };
    const setIrqs = (start: number, count: number, fds: number[]): Promise<string> =>
      host
        .request(vu.Command.deviceSetIrqs, vu.encodeIrqSet({ ...set, start, count }), fds)
        .then(({ error }) => vu.errnoName(error));
    expect(await setIrqs(0, 2, [event])).toBe('EINVAL'); // two are said to come
    await host.ask(vu.Command.deviceSetIrqs, vu.encodeIrqSet({ ...set, start: 0, count: 1 }), [event]);
    closeSync(event);
    // BAR0 is the target's: nobody else may cut it.
    const region = await host.ask(vu.Command.deviceGetRegionInfo, vu.encodeRegionInfoQuery(0, 4096));
    for (const fd of region.fds) {
      expect(() => ftruncateSync(fd, 0)).toThrow('EPERM');
      closeSync(fd);
    }
    for (let i = 0; i < 40; i++) await host.good(1, write(i, 1, DATA));
    await unharmed(host);
  });

  it('change SGLs while they are read', async () => {
    const host = await ready('a');
    const random = new Random(seed);
    const outside = BASE + LENT;
    const at = (LIST - BASE) / 4;
    const seen = new Set<number>();
    for (let round = 0; round < 200; round++) {
      setSgl(
        host,
        LIST,
        Array.from({ length: 8 }, (_, i): Descriptor => [DATA + i * 4096, 4096, DATA_BLOCK]),
      );
      const cid = host.place(1, readSgl(64, [LIST, 128, LAST_SEGMENT]));
      await host.ring(1, false, host.tail(1));
      // The target is another process: it reads while this writes.
      for (let i = 0; i < 2000; i++) {
        const word = at + random.below(8) * 4;
        host.words[word] = [DATA, outside, DATA + 2][random.below(3)]!;
        host.words[word + 2] = [4096, 4092, 0x7fff_fffc][random.below(3)]!;
      }
      seen.add(code(await host.completion(1, cid)));
    }
    const possible: number[] = [0, status.transferError, status.badLength, status.badGranularity];
    expect([...seen].filter((one) => !possible.includes(one))).toEqual([]);
    await unharmed(host);
  });
});
