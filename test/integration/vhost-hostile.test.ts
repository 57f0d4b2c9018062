// Front-ends and guests that do what they must not: the ring or the connection concerned is not served any more, and nobody
// else notices. VHOST_SEED replays the random part.
import { closeSync, readdirSync, truncateSync } from 'node:fs';
import { Random } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Bystander } from '../vhost/bystander.ts';
import { FrontEnd, Req, Socket, Status, Type, u32, u64, until } from '../vhost/front-end.ts';
import { GUEST_BASE, GuestRam, USER_BASE } from '../vhost/guest-ram.ts';
import type { PackedDriver, SplitDriver } from '../vhost/rings.ts';
import { pattern, startVhostTarget, type VhostTarget } from '../vhost/setup.ts';
import { cleanUp } from './app-process.ts';

const seed = Number(process.env['VHOST_SEED'] ?? (Math.random() * 2 ** 31) | 0);
const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

describe.skipIf(native === null)('hostile front-ends (needs the addon)', () => {
  let target: VhostTarget;
  let bystander: Bystander;
  const ends: FrontEnd[] = [];
  const attach = async (options = {}): Promise<FrontEnd> => {
    const packed = 'packed' in options;
    const vm = await FrontEnd.start(target.socket(packed ? 'packed' : 'split'), options);
    ends.push(vm);
    return vm;
  };

  beforeAll(async () => {
    target = await startVhostTarget();
    const { rpc } = target;
    for (const name of ['Theirs', 'Ours'])
      await rpc.call('bdev_malloc_create', { name, num_blocks: 32_768, block_size: 512 });
    await rpc.call('vhost_create_blk_controller', { ctrlr: 'split', dev_name: 'Theirs' });
    await rpc.call('vhost_create_blk_controller', { ctrlr: 'packed', dev_name: 'Theirs', packed_ring: true });
    await rpc.call('vhost_create_blk_controller', { ctrlr: 'other', dev_name: 'Ours' });
    bystander = await Bystander.start(target, 'other');
  });
  afterEach(async () => {
    for (const vm of ends.splice(0)) vm.close();
    await bystander.check();
  });
  afterAll(async () => {
    bystander.close();
    await cleanUp();
  });

  /** A ring that broke is told by its error descriptor; the session goes on. */
  const broke = (vm: FrontEnd, ring = 0): Promise<true> =>
    until('the error is signalled', () => native!.drainEventFd(vm.rings[ring]!.err) || undefined);

  it.each([
    [
      'a cycle',
      (d: SplitDriver) => [
        d.describe(0, { address: GUEST_BASE, length: 16 }, NEXT, 1),
        d.describe(1, { address: GUEST_BASE, length: 16 }, NEXT, 0),
      ],
    ],
    [
      'a descriptor that is its own successor',
      (d: SplitDriver) => [d.describe(0, { address: GUEST_BASE, length: 16 }, NEXT, 0)],
    ],
    [
      'a successor beyond the table',
      (d: SplitDriver) => [d.describe(0, { address: GUEST_BASE, length: 16 }, NEXT, 64)],
    ],
    ['an address nowhere', (d: SplitDriver) => [d.describe(0, { address: 2 ** 45, length: 4096 }, WRITE, 0)]],
    [
      'an address beyond 2^52',
      (d: SplitDriver) => [d.describe(0, { address: 2 ** 60, length: 4096 }, WRITE, 0)],
    ],
    [
      'a length that wraps',
      (d: SplitDriver) => [d.describe(0, { address: GUEST_BASE + 4096, length: 0xffff_ffff }, WRITE, 0)],
    ],
    ['no bytes', (d: SplitDriver) => [d.describe(0, { address: GUEST_BASE, length: 0 }, WRITE, 0)]],
    [
      'an empty indirect table',
      (d: SplitDriver) => [d.describe(0, { address: GUEST_BASE, length: 0 }, INDIRECT, 0)],
    ],
    [
      'an indirect table of a broken size',
      (d: SplitDriver) => [d.describe(0, { address: GUEST_BASE, length: 24 }, INDIRECT, 0)],
    ],
    [
      'a huge indirect table',
      (d: SplitDriver) => [d.describe(0, { address: GUEST_BASE, length: 0xffff_fff0 }, INDIRECT, 0)],
    ],
    [
      'an indirect table nowhere',
      (d: SplitDriver) => [d.describe(0, { address: 2 ** 45, length: 48 }, INDIRECT, 0)],
    ],
    [
      'an indirect table that goes on',
      (d: SplitDriver) => [d.describe(0, { address: GUEST_BASE, length: 48 }, INDIRECT | NEXT, 1)],
    ],
  ])('a chain with %s comes back without a byte written', async (_, prepare) => {
    const vm = await attach({ features: [29] });
    const [ring] = vm.rings;
    prepare(ring!.driver as SplitDriver);
    (ring!.driver as SplitDriver).offer(0);
    native!.signalEventFd(ring!.kick);
    expect(await vm.used(ring!, 0)).toEqual({ id: 0, length: 0 });
    expect((await vm.io(Type.IN, 0, 512)).status).toBe(Status.OK);
  });

  it.each([
    ['split', {}],
    ['packed', { packed: true }],
  ])('indirect tables in indirect tables, or that go round, are refused (%s)', async (_, options) => {
    const vm = await attach(options);
    const [ring] = vm.rings;
    const table = vm.ram.allocate(64);
    const entry = (at: number, flags: number, next: number): void => {
      vm.ram.setU64(at, vm.ram.address(table));
      vm.ram.view.setUint32(at + 8, 32, true);
      vm.ram.view.setUint16(at + 12, 'packed' in options ? 0 : flags, true);
      vm.ram.view.setUint16(at + 14, 'packed' in options ? flags : next, true);
    };
    for (const [first, second] of [
      [INDIRECT, 0],
      [NEXT, NEXT],
      [NEXT | WRITE, NEXT],
    ] as const) {
      entry(table, first, 1);
      entry(table + 16, second, 0);
      const list = { address: vm.ram.address(table), length: 32, flags: INDIRECT };
      let id = 0;
      if ('packed' in options) (ring!.driver as PackedDriver).offer(0, [list]);
      else {
        (ring!.driver as SplitDriver).describe(0, list, INDIRECT, 0);
        (ring!.driver as SplitDriver).offer(0);
        id = 0;
      }
      native!.signalEventFd(ring!.kick);
      expect((await vm.used(ring!, id)).length).toBeLessThanOrEqual(1);
    }
    expect((await vm.io(Type.IN, 0, 512)).status).toBe(Status.OK);
  });

  it('a request with a status and data nowhere is failed there', async () => {
    const vm = await attach();
    const status = vm.ram.allocate(1, 1);
    vm.ram.bytes[status] = 0xff;
    const [ring] = vm.rings;
    const id = ring!.driver.push([
      vm.header(Type.IN, 0),
      { address: 2 ** 45, length: 4096, write: true },
      { address: vm.ram.address(status), length: 1, write: true },
    ]);
    vm.kick(ring!);
    expect((await vm.used(ring!, id)).length).toBe(1);
    expect(vm.ram.bytes[status]).toBe(Status.IOERR);
  });

  it('more pieces than a request may have are failed', async () => {
    const vm = await attach({ size: 256 });
    const made = vm.submit(Type.OUT, 0, pattern(1, 512 * 140), { pieces: 140 });
    expect((await vm.finished(made)).status).toBe(Status.IOERR);
    const most = vm.submit(Type.OUT, 0, pattern(1, 512 * 126), { pieces: 126 });
    expect((await vm.finished(most)).status).toBe(Status.OK);
  });

  it.each([
    ['an available index far ahead', (d: SplitDriver) => d.setAvailableIndex(30_000)],
    ['a head beyond the table', (d: SplitDriver) => d.offer(64)],
  ])('a ring with %s is given up, and the others of its guest go on', async (_, prepare) => {
    const vm = await attach({ queues: 2 });
    prepare(vm.rings[0]!.driver as SplitDriver);
    native!.signalEventFd(vm.rings[0]!.kick);
    await broke(vm);
    const ring = vm.rings[1]!;
    expect((await vm.io(Type.IN, 0, 512, { ring })).status).toBe(Status.OK);
    // set up anew, it works again
    await vm.getBase(0);
    const fresh = await vm.startRing(0);
    expect((await vm.io(Type.IN, 0, 512, { ring: fresh })).status).toBe(Status.OK);
  });

  it('a packed chain longer than its ring is given up', async () => {
    const vm = await attach({ packed: true, size: 8 });
    const buffer = { address: GUEST_BASE, length: 16, flags: NEXT };
    (vm.rings[0]!.driver as PackedDriver).offer(0, Array(8).fill(buffer));
    native!.signalEventFd(vm.rings[0]!.kick);
    await broke(vm);
  });

  it.each([
    ['split', {}],
    ['packed', { packed: true }],
  ])('rings that change under its feet harm nobody (%s)', async (_, options) => {
    console.log(`VHOST_SEED=${seed}`);
    const random = new Random(seed);
    for (let round = 0; round < 25; round++) {
      const vm = await attach(options);
      const { driver, kick } = vm.rings[0]!;
      const { mark } = vm.ram;
      for (let i = 0; i < 8; i++)
        vm.submit(random.below(2) ? Type.IN : 99, 0, 4096, { indirect: random.below(2) === 1 });
      // Everything that the target looks at is overwritten at random while it looks.
      for (let step = 0; step < 400; step++) {
        const part = [driver.place.descriptor, driver.place.available, driver.place.used, mark][
          random.below(4)
        ]!;
        const at = part + random.below(part === driver.place.available ? 134 : 512);
        const interesting = [0, 1, 2, 4, 7, 0x80, 0xff, random.below(256)];
        vm.ram.bytes[at] = interesting[random.below(interesting.length)]!;
        if (step % 10 === 0) native!.signalEventFd(kick);
        if (step % 100 === 0) await bystander.look();
      }
      vm.close();
      ends.splice(ends.indexOf(vm), 1);
    }
  });

  it('memory that is cut off ends the connection', async () => {
    const vm = await attach();
    truncateSync(`/proc/self/fd/${vm.ram.fd}`, 0);
    native!.signalEventFd(vm.rings[0]!.kick);
    expect(await vm.socket.ended()).toBe(true);
  });

  it('descriptors that its front-end has closed do not matter', async () => {
    const vm = await attach();
    const { driver } = vm.rings[0]!;
    for (const fd of [vm.rings[0]!.call, vm.rings[0]!.err]) closeSync(fd);
    const made = vm.submit(Type.IN, 0, 512);
    expect((await vm.finished(made)).status).toBe(Status.OK);
    expect(driver.take()).toEqual([]);
    Object.assign(vm.rings[0]!, { call: native!.eventFd(), err: native!.eventFd() });
  });

  /** Resolves when nobody is connected to the controllers under attack. */
  const alone = async (): Promise<void> => {
    for (let left = 1; left > 0; ) {
      const all = await target.rpc.call('vhost_get_controllers', {});
      left = all.reduce((sum, { ctrlr, sessions }) => sum + (ctrlr === 'other' ? 0 : sessions.length), 0);
    }
  };

  // --- messages ---

  const open = (): Socket => new Socket(target.socket('split'));

  it.each([
    ['another version', u32(Req.GET_FEATURES, 2, 0)],
    ['an answer', u32(Req.GET_FEATURES, 5, 0)],
    ['a payload that is too long', u32(Req.SET_MEM_TABLE, 1, 513)],
    ['a huge payload', u32(Req.SET_MEM_TABLE, 1, 0xffff_ffff)],
    ['a request that is not there', u32(999, 1, 0)],
    ['SET_FEATURES without a payload', u32(Req.SET_FEATURES, 1, 0)],
    ['features that were not offered', new Uint8Array([...u32(Req.SET_FEATURES, 1, 8), ...u64(1n << 50n)])],
    ['a ring that is not there', new Uint8Array([...u32(Req.SET_VRING_NUM, 1, 8), ...u32(256, 64)])],
    ['a ring of no entries', new Uint8Array([...u32(Req.SET_VRING_NUM, 1, 8), ...u32(0, 0)])],
    ['a ring of too many', new Uint8Array([...u32(Req.SET_VRING_NUM, 1, 8), ...u32(0, 2048)])],
    [
      'a memory table without descriptors',
      new Uint8Array([...u32(Req.SET_MEM_TABLE, 1, 40), ...u32(1, 0), ...u64(0, 4096, 0, 0)]),
    ],
    [
      'a memory table of many regions',
      new Uint8Array([...u32(Req.SET_MEM_TABLE, 1, 8), ...u32(0xffff_ffff, 0)]),
    ],
    ['a kick without a descriptor', new Uint8Array([...u32(Req.SET_VRING_KICK, 1, 8), ...u64(0)])],
    ['a config beyond its end', new Uint8Array([...u32(Req.GET_CONFIG, 1, 12), ...u32(250, 7, 0)])],
    ['a config that is written', new Uint8Array([...u32(Req.SET_CONFIG, 1, 13), ...u32(0, 1, 0), 0])],
  ])('a message with %s ends its connection', async (_, bytes) => {
    const socket = open();
    socket.sendRaw(bytes);
    expect(await socket.ended()).toBe(true);
    socket.close();
  });

  it.each([
    [
      'overlaps',
      () =>
        new Uint8Array([...u32(2, 0), ...u64(0, 8192, USER_BASE, 0), ...u64(4096, 8192, 2 * USER_BASE, 0)]),
    ],
    ['wraps', () => new Uint8Array([...u32(1, 0), ...u64(2n ** 64n - 4096n, 8192, USER_BASE, 0)])],
    ['is beyond its file', () => new Uint8Array([...u32(1, 0), ...u64(0, 1 << 30, USER_BASE, 0)])],
    ['is not whole pages', () => new Uint8Array([...u32(1, 0), ...u64(100, 4096, USER_BASE, 0)])],
    ['is empty', () => new Uint8Array([...u32(1, 0), ...u64(0, 0, USER_BASE, 0)])],
  ])('a memory table that %s is refused, and its descriptors are closed', async (_, table) => {
    const vm = await attach();
    const ram = new GuestRam(65_536);
    const payload = table();
    const fds = Array(new DataView(payload.buffer).getUint32(0, true)).fill(ram.fd);
    const before = readdirSync(`/proc/${target.process.pid}/fd`).length;
    expect(await vm.socket.ack(Req.SET_MEM_TABLE, payload, fds)).toBe(1);
    expect(readdirSync(`/proc/${target.process.pid}/fd`).length).toBe(before);
    ram.close();
  });

  it('rings outside the memory are refused', async () => {
    const vm = await attach();
    const { socket } = vm;
    const kick = native!.eventFd();
    await vm.expectAck(Req.SET_VRING_NUM, u32(1, 64));
    for (const places of [
      [USER_BASE - 4096, USER_BASE, USER_BASE],
      [USER_BASE + vm.ram.size - 16, USER_BASE, USER_BASE],
      [USER_BASE + 8, USER_BASE, USER_BASE],
      [USER_BASE, USER_BASE + 2, USER_BASE],
      [USER_BASE, USER_BASE, USER_BASE + 1],
    ]) {
      await vm.expectAck(Req.SET_VRING_ADDR, new Uint8Array([...u32(1, 0), ...u64(...places, 0)]));
      expect(await socket.ack(Req.SET_VRING_KICK, u64(1), [kick])).toBe(1);
    }
    await vm.expectAck(Req.SET_VRING_NUM, u32(1, 63));
    expect(await socket.ack(Req.SET_VRING_KICK, u64(1), [kick])).toBe(1);
    expect(await socket.ack(Req.SET_VRING_NUM, u32(0, 32))).toBe(1);
    expect(await socket.ack(Req.SET_VRING_CALL, u64(0), [vm.ram.fd])).toBe(1);
    expect((await vm.io(Type.IN, 0, 512)).status).toBe(Status.OK);
    closeSync(kick);
  });

  it('in-flight areas that cannot be are refused', async () => {
    const vm = await attach();
    const describe = (size: number, offset: number, queues: number, entries: number): Uint8Array => {
      const payload = new Uint8Array([...u64(size, offset), ...new Uint8Array(8)]);
      new DataView(payload.buffer).setUint16(16, queues, true);
      new DataView(payload.buffer).setUint16(18, entries, true);
      return payload;
    };
    await vm.getBase(0);
    const ram = new GuestRam(65_536);
    for (const payload of [
      describe(65_536, 0, 0, 64),
      describe(65_536, 0, 257, 64),
      describe(65_536, 0, 1, 0xffff),
      describe(64, 0, 1, 64),
      describe(1 << 20, 0, 16, 1024),
      describe(65_536, 4096 * 1000, 1, 64),
      describe(65_536, 1, 1, 64),
    ])
      expect(await vm.socket.ack(Req.SET_INFLIGHT_FD, payload, [ram.fd])).toBe(1);
    ram.close();
  });

  it('connections that say nothing, or half of something, are many and harmless', async () => {
    const sockets = Array.from({ length: 31 }, open);
    for (const [i, socket] of sockets.entries()) socket.sendRaw(u32(1, 1, 0).subarray(0, 1 + (i % 11)));
    await expect(target.rpc.call('vhost_get_controllers', { name: 'split' })).resolves.toHaveLength(1);
    for (const socket of sockets) socket.close();
    await alone();
    const vm = await attach();
    expect((await vm.io(Type.IN, 0, 512)).status).toBe(Status.OK);
  });

  it('random messages harm nobody, and leave no descriptor', async () => {
    console.log(`VHOST_SEED=${seed}`);
    const random = new Random(seed);
    const ram = new GuestRam(65_536);
    const event = native!.eventFd();
    const requests = Object.values(Req);
    await alone();
    const before = readdirSync(`/proc/${target.process.pid}/fd`).length;
    for (let round = 0; round < 60; round++) {
      const socket = open();
      try {
        for (let i = 0; i < 40; i++) {
          const request = random.below(8) === 0 ? random.below(64) : requests[random.below(requests.length)]!;
          const payload = new Uint8Array([0, 8, 8, 12, 40, 40, 24, random.below(300)][random.below(8)]!);
          for (let at = 0; at < payload.length; at++) payload[at] = random.below(4) ? 0 : random.below(256);
          const fds = [[], [], [ram.fd], [event], [ram.fd, event]][random.below(5)]!;
          socket.send(request, payload, fds, random.below(2) * 8);
        }
      } catch {
        // the target has ended the connection
      }
      socket.close();
    }
    await alone();
    expect(readdirSync(`/proc/${target.process.pid}/fd`).length).toBe(before);
    closeSync(event);
    ram.close();
  });
});
