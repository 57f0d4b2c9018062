// Virtual disks over vhost-user, driven by a small front-end: what a virtual machine sees, and what becomes of it.
import { closeSync, existsSync, writeFileSync } from 'node:fs';
import { native } from '@spdk-ts/native';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FrontEnd, Req, Status, Type, u32, u64, until } from '../vhost/front-end.ts';
import { GuestRam } from '../vhost/guest-ram.ts';
import type { SplitDriver } from '../vhost/rings.ts';
import { pattern, startVhostTarget, type VhostTarget } from '../vhost/setup.ts';
import { cleanUp } from './app-process.ts';

const MiB = 1 << 20;
const segment = (sector: number, sectors: number, flags = 0): Uint8Array =>
  new Uint8Array([...u64(sector), ...u32(sectors, flags)]);

describe.skipIf(native === null)('a vhost-user-blk controller (needs the addon)', () => {
  let target: VhostTarget;
  const ends: FrontEnd[] = [];
  const attach = async (name: string, options = {}): Promise<FrontEnd> => {
    const frontEnd = await FrontEnd.start(target.socket(name), options);
    ends.push(frontEnd);
    return frontEnd;
  };
  const detach = async (): Promise<void> => {
    for (const frontEnd of ends.splice(0)) frontEnd.close();
    for (let left = 1; left > 0; ) {
      const all = await target.rpc.call('vhost_get_controllers', {});
      left = all.reduce((sum, { sessions }) => sum + sessions.length, 0);
    }
  };

  beforeAll(async () => {
    target = await startVhostTarget(['-m', '0x3']);
    const { rpc } = target;
    await rpc.call('bdev_malloc_create', { name: 'Disk', num_blocks: 65_536, block_size: 512 });
    await rpc.call('bdev_malloc_create', { name: 'Large', num_blocks: 8192, block_size: 4096 });
    await rpc.call('vhost_create_blk_controller', { ctrlr: 'split', dev_name: 'Disk' });
    await rpc.call('vhost_create_blk_controller', { ctrlr: 'packed', dev_name: 'Disk', packed_ring: true });
    await rpc.call('vhost_create_blk_controller', { ctrlr: 'readonly', dev_name: 'Disk', readonly: true });
    await rpc.call('vhost_create_blk_controller', { ctrlr: 'large', dev_name: 'Large', packed_ring: true });
  });
  afterAll(async () => {
    for (const frontEnd of ends) frontEnd.close();
    await cleanUp();
  });

  describe.each([
    ['split', {}],
    ['split with event indices', { features: [29] }],
    ['packed', { packed: true }],
    ['packed with event indices', { packed: true, features: [29] }],
  ])('with rings that are %s', (_, options) => {
    const name = 'packed' in options ? 'packed' : 'split';

    it.each([
      ['descriptors in the ring', false],
      ['indirect descriptors', true],
    ])('reads what was written, by %s', async (_, indirect) => {
      const vm = await attach(name, options);
      const how = { indirect };
      for (const [i, [bytes, pieces]] of (
        [
          [512, 1],
          [4096, 1],
          [65_536, 7],
          [MiB, 16],
        ] as const
      ).entries()) {
        const data = pattern(i + 1, bytes);
        const sector = 100 + i * 3000;
        const written = await vm.io(Type.OUT, sector, data, { ...how, pieces });
        expect([written.status, written.length]).toEqual([Status.OK, 1]);
        const back = await vm.io(Type.IN, sector, bytes, { ...how, pieces: pieces + 1 });
        expect([back.status, back.length]).toEqual([Status.OK, bytes + 1]);
        expect(Buffer.compare(back.data, data)).toBe(0);
      }
      await detach();
    });

    it('goes round its rings many times, and calls the driver', async () => {
      const vm = await attach(name, { ...options, size: 8, queues: 2 });
      for (let round = 0; round < 40; round++) {
        const { mark } = vm.ram;
        const made = vm.rings.flatMap((ring, i) =>
          [0, 1].map((j) =>
            vm.submit(Type.OUT, 8 * (2 * i + j), pattern(round, 4096), { ring, indirect: false }),
          ),
        );
        for (const one of made) expect((await vm.finished(one)).status).toBe(Status.OK);
        vm.ram.release(mark);
      }
      for (const { call } of vm.rings) expect(native!.drainEventFd(call)).toBe(true);
      await detach();
    });
  });

  it('carries out the other requests, and refuses what it does not have', async () => {
    const vm = await attach('split');
    await vm.io(Type.OUT, 0, pattern(1, 8192));
    expect((await vm.io(Type.FLUSH, 0, 0)).status).toBe(Status.OK);
    expect((await vm.io(Type.FLUSH, 1, 0)).status).toBe(Status.IOERR);
    expect((await vm.io(Type.WRITE_ZEROES, 0, segment(2, 4))).status).toBe(Status.OK);
    const zeroed = (await vm.io(Type.IN, 0, 8192)).data;
    const wanted = pattern(1, 8192).fill(0, 1024, 3072);
    expect(Buffer.compare(zeroed, wanted)).toBe(0);
    expect((await vm.io(Type.DISCARD, 0, segment(8, 8))).status).toBe(Status.OK);
    expect(Buffer.compare((await vm.io(Type.IN, 8, 4096)).data, new Uint8Array(4096))).toBe(0);
    const id = await vm.io(Type.GET_ID, 0, 20);
    expect([id.status, id.length, Buffer.from(id.data).toString()]).toEqual([0, 21, 'Disk'.padEnd(20, '\0')]);
    for (const [type, sector, data, status] of [
      [99, 0, 0, Status.UNSUPP],
      [Type.IN, 65_536, 512, Status.IOERR],
      [Type.IN, 65_535, 1024, Status.IOERR],
      [Type.IN, 2 ** 50, 512, Status.IOERR],
      [Type.OUT, 2 ** 52, pattern(1, 512), Status.IOERR],
      [Type.IN, 0, 500, Status.UNSUPP],
      [Type.IN, 0, pattern(1, 512), Status.UNSUPP],
      [Type.OUT, 0, 512, Status.UNSUPP],
      [Type.DISCARD, 0, segment(0, 32_769), Status.IOERR],
      [Type.DISCARD, 0, segment(65_530, 10), Status.IOERR],
      [Type.DISCARD, 0, segment(0, 8, 1), Status.UNSUPP],
      [Type.WRITE_ZEROES, 0, segment(0, 8, 2), Status.UNSUPP],
      [Type.WRITE_ZEROES, 0, new Uint8Array(15), Status.IOERR],
    ] as const)
      expect([type, (await vm.io(type, sector, data)).status]).toEqual([type, status]);
    await detach();
  });

  it('is as large as its bdev, and says what it can do', async () => {
    const large = await attach('large', { packed: true });
    const config = await large.config();
    expect(config.getBigUint64(0, true)).toBe(65_536n);
    expect([config.getUint32(12, true), config.getUint32(20, true)]).toEqual([126, 4096]);
    expect([config.getUint32(36, true), config.getUint32(44, true)]).toEqual([32_768, 8]);
    expect((await large.io(Type.OUT, 8, pattern(3, 4096))).status).toBe(Status.OK);
    expect((await large.io(Type.IN, 4, 4096)).status).toBe(Status.IOERR);
    expect((await large.io(Type.IN, 8, 512)).status).toBe(Status.IOERR);
    const queues = await large.socket.ask(Req.GET_QUEUE_NUM);
    expect(queues.view.getUint32(0, true)).toBe(256);
    await detach();
  });

  it('cannot be written where it is read only', async () => {
    const vm = await attach('readonly', { features: [5] });
    expect((await vm.io(Type.OUT, 0, pattern(1, 512))).status).toBe(Status.IOERR);
    expect((await vm.io(Type.DISCARD, 0, segment(0, 8))).status).toBe(Status.IOERR);
    expect((await vm.io(Type.IN, 0, 512)).status).toBe(Status.OK);
    await detach();
  });

  it('stops and starts rings where they were', async () => {
    const vm = await attach('split', { size: 16 });
    for (let i = 0; i < 20; i++) await vm.io(Type.OUT, i, pattern(i, 512));
    const base = await vm.getBase(0);
    expect(base).toBe(20);
    const made = vm.submit(Type.IN, 7, 512);
    await vm.setUp(vm.rings[0]!, base);
    const { status, data } = await vm.finished(made);
    expect([status, Buffer.compare(data, pattern(7, 512))]).toEqual([Status.OK, 0]);
    await detach();
  });

  it('takes memory that comes later, and forgets what is taken away', async () => {
    const vm = await attach('split');
    const more = new GuestRam(MiB);
    const region = new Uint8Array([...u64(0), ...u64(0x4000_0000, MiB, 0x7e00_0000_0000, 0)]);
    await vm.expectAck(Req.ADD_MEM_REG, region, [more.fd]);
    more.bytes.set(pattern(9, 4096), 512);
    const status = vm.ram.allocate(1, 1);
    const chain = (): { address: number; length: number; write: boolean }[] => [
      vm.header(Type.OUT, 64),
      { address: 0x4000_0000 + 512, length: 4096, write: false },
      { address: vm.ram.address(status), length: 1, write: true },
    ];
    const push = async (): Promise<number> => {
      vm.ram.bytes[status] = 0xff;
      const id = vm.rings[0]!.driver.push(chain());
      vm.kick(vm.rings[0]!);
      await vm.used(vm.rings[0]!, id);
      return vm.ram.bytes[status]!;
    };
    expect(await push()).toBe(Status.OK);
    expect(Buffer.compare((await vm.io(Type.IN, 64, 4096)).data, pattern(9, 4096))).toBe(0);
    expect(await vm.socket.ack(Req.ADD_MEM_REG, region, [more.fd])).toBe(1);
    await vm.expectAck(Req.REM_MEM_REG, region);
    expect(await push()).toBe(Status.IOERR);
    expect(await vm.socket.ack(Req.REM_MEM_REG, region)).toBe(1);
    const slots = await vm.socket.ask(Req.GET_MAX_MEM_SLOTS);
    expect(slots.view.getUint32(0, true)).toBe(256);
    more.close();
    await detach();
  });

  it('tells the front-end of another size, and serves the new blocks', async () => {
    const { rpc } = target;
    await rpc.call('bdev_null_create', { name: 'Growing', num_blocks: 2048, block_size: 512 });
    await rpc.call('vhost_create_blk_controller', { ctrlr: 'growing', dev_name: 'Growing' });
    const vm = await attach('growing');
    const [ours, theirs] = native!.socketPair();
    await vm.expectAck(Req.SET_BACKEND_REQ_FD, new Uint8Array(0), [theirs]);
    expect((await vm.io(Type.IN, 2048, 512)).status).toBe(Status.IOERR);
    await rpc.call('bdev_null_resize', { name: 'Growing', new_size: 2 });
    const bytes = new Uint8Array(64);
    const got = await until('a message', () => native!.receiveDescriptors(ours, bytes) ?? undefined);
    expect([got.bytes, ...new Uint32Array(bytes.buffer, 0, 3)]).toEqual([12, 2, 1, 0]);
    expect((await vm.config()).getBigUint64(0, true)).toBe(4096n);
    expect((await vm.io(Type.IN, 4095, 512)).status).toBe(Status.OK);

    // its bdev goes while it is in use
    await rpc.call('bdev_null_delete', { name: 'Growing' });
    await until('a message', () => native!.receiveDescriptors(ours, bytes) ?? undefined);
    expect((await vm.config()).getBigUint64(0, true)).toBe(0n);
    expect((await vm.io(Type.IN, 0, 512)).status).toBe(Status.IOERR);
    const [shown] = await rpc.call('vhost_get_controllers', { name: 'growing' });
    expect(shown!.backend_specific.block!.bdev).toBe(null);
    for (const fd of [ours, theirs]) closeSync(fd);
    await detach();
    await rpc.call('vhost_delete_controller', { ctrlr: 'growing' });
  });

  describe('in front of a slow bdev', () => {
    beforeAll(async () => {
      const { rpc } = target;
      await rpc.call('bdev_null_create', { name: 'Base', num_blocks: 2048, block_size: 512 });
      const latency = { avg_read_latency: 100_000, p99_read_latency: 100_000 };
      const writes = { avg_write_latency: 100_000, p99_write_latency: 100_000 };
      await rpc.call('bdev_delay_create', { name: 'Slow', base_bdev_name: 'Base', ...latency, ...writes });
      await rpc.call('vhost_create_blk_controller', { ctrlr: 'slow', dev_name: 'Slow', packed_ring: true });
    });
    const inflight = async (): Promise<number> => {
      const [{ sessions }] = (await target.rpc.call('vhost_get_controllers', { name: 'slow' })) as [
        { sessions: { inflight_task_cnt: number }[] },
      ];
      return sessions.reduce((sum, { inflight_task_cnt }) => sum + inflight_task_cnt, 0);
    };

    it.each([false, true])('a ring stops when what is under way has ended (packed: %s)', async (packed) => {
      const vm = await attach('slow', { packed });
      const made = [0, 1, 2].map(() => vm.submit(Type.OUT, 0, pattern(1, 512)));
      while ((await inflight()) < 3);
      const base = await vm.getBase(0);
      const used = vm.rings[0]!.driver.take();
      expect(used.map(({ id }) => id).sort()).toEqual(made.map(({ id }) => id).sort());
      expect(base).toBe(packed ? 0x8003_8003 : 3);
      await detach();
    });

    it('memory changes when what is under way has ended, and rings go on in the new one', async () => {
      const vm = await attach('slow');
      const made = [0, 1, 2].map(() => vm.submit(Type.IN, 0, 512));
      while ((await inflight()) < 3);
      await vm.expectAck(Req.SET_MEM_TABLE, vm.table(), [vm.ram.fd]);
      for (const one of made) expect((await vm.finished(one)).status).toBe(Status.OK);
      expect((await vm.io(Type.IN, 0, 512)).status).toBe(Status.OK);
      // too little for the buffers: those fail, the rings go on
      await vm.expectAck(Req.SET_MEM_TABLE, vm.table(8192), [vm.ram.fd]);
      vm.ram.allocate(16_384);
      const outside = vm.submit(Type.IN, 0, 512, { indirect: false });
      expect((await vm.finished(outside)).length).toBe(0);
      await detach();
    });

    it('a ring that broke with something under way holds up neither memory nor the end', async () => {
      const vm = await attach('slow');
      const made = vm.submit(Type.IN, 0, 512);
      while ((await inflight()) < 1);
      (vm.rings[0]!.driver as SplitDriver).setAvailableIndex(30_000);
      native!.signalEventFd(vm.rings[0]!.kick);
      await until('the error is signalled', () => native!.drainEventFd(vm.rings[0]!.err) || undefined);
      await vm.expectAck(Req.SET_MEM_TABLE, vm.table(), [vm.ram.fd]);
      expect((await vm.finished(made)).status).toBe(Status.OK);
      await detach();
    });

    it('a front-end that goes with requests under way leaves nothing behind', async () => {
      const vm = await attach('slow');
      for (let i = 0; i < 3; i++) vm.submit(Type.OUT, 0, pattern(1, 512));
      while ((await inflight()) < 3);
      vm.socket.close();
      const next = await attach('slow');
      expect(await inflight()).toBe(0);
      expect((await next.io(Type.IN, 0, 512)).status).toBe(Status.OK);
      await detach();
    });

    it('goes with its bdev, whose I/O ends first', async () => {
      const vm = await attach('slow');
      const made = [0, 1, 2].map(() => vm.submit(Type.OUT, 0, pattern(1, 512)));
      while ((await inflight()) < 3);
      await target.rpc.call('bdev_delay_delete', { name: 'Slow' });
      for (const one of made) expect((await vm.finished(one)).status).toBeLessThanOrEqual(Status.IOERR);
      expect((await vm.io(Type.IN, 0, 512)).status).toBe(Status.IOERR);
      await detach();
    });
  });

  it.each([[['--interrupt-mode']], [['--no-uring']], [['--reactor-mode', 'poll']]])(
    'is served by reactors of another kind, which end with a guest connected: %s',
    async (args) => {
      const other = await startVhostTarget(args);
      await other.rpc.call('bdev_malloc_create', { name: 'Disk', num_blocks: 1024, block_size: 512 });
      await other.rpc.call('vhost_create_blk_controller', { ctrlr: 'disk', dev_name: 'Disk' });
      const vm = await FrontEnd.start(other.socket('disk'), { queues: 2, features: [29] });
      for (let i = 0; i < 50; i++) {
        const ring = vm.rings[i % 2]!;
        expect((await vm.io(Type.OUT, i, pattern(i, 512), { ring })).status).toBe(Status.OK);
        if (i % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 20)); // it falls asleep
        const { data } = await vm.io(Type.IN, i, 512, { ring });
        expect(Buffer.compare(data, pattern(i, 512))).toBe(0);
      }
      expect((await other.process.stop()).code).toBe(0);
      expect(await vm.socket.ended()).toBe(true);
      expect(existsSync(other.socket('disk'))).toBe(false);
      vm.close();
    },
  );

  it('is shown, saved and deleted', async () => {
    const { rpc } = target;
    const vm = await attach('packed', { packed: true, queues: 3 });
    const [shown] = await rpc.call('vhost_get_controllers', { name: 'packed' });
    const { vid } = shown!.sessions[0]!;
    expect(shown).toEqual({
      ...{ ctrlr: 'packed', cpumask: '0x3', delay_base_us: 0, iops_threshold: 60_000 },
      socket: target.socket('packed'),
      sessions: [
        {
          vid,
          id: expect.any(Number),
          name: `packeds${vid}`,
          started: true,
          max_queues: 3,
          inflight_task_cnt: 0,
        },
      ],
      backend_specific: { block: { readonly: false, bdev: 'Disk', transport: 'vhost_user_blk' } },
    });
    await expect(rpc.call('vhost_delete_controller', { ctrlr: 'packed' })).rejects.toThrow(
      /Device or resource busy: .*connected/,
    );
    expect((await vm.io(Type.IN, 0, 512)).status).toBe(Status.OK);
    await detach();

    await rpc.call('vhost_controller_set_coalescing', {
      ctrlr: 'packed',
      delay_base_us: 10,
      iops_threshold: 1000,
    });
    const saved = await rpc.call('framework_get_config', { name: 'vhost_blk' });
    expect(saved).toContainEqual({
      method: 'vhost_create_blk_controller',
      params: {
        ...{ ctrlr: 'packed', dev_name: 'Disk', cpumask: '0x3', readonly: false },
        ...{ packed_ring: true, transport: 'vhost_user_blk' },
      },
    });
    expect(saved).toContainEqual({
      method: 'vhost_controller_set_coalescing',
      params: { ctrlr: 'packed', delay_base_us: 10, iops_threshold: 1000 },
    });
    const coalesced = await attach('packed', { packed: true });
    for (let i = 0; i < 200; i++) expect((await coalesced.io(Type.IN, i, 512)).status).toBe(Status.OK);
    await until('a call', () => native!.drainEventFd(coalesced.rings[0]!.call) || undefined);
    await detach();

    await rpc.call('vhost_create_blk_controller', { ctrlr: 'gone', dev_name: 'Disk', cpumask: '[1]' });
    expect(existsSync(target.socket('gone'))).toBe(true);
    await rpc.call('vhost_delete_controller', { ctrlr: 'gone' });
    expect(existsSync(target.socket('gone'))).toBe(false);
  });

  it.each([
    [{ ctrlr: 'split', dev_name: 'Disk' }, /File exists: ctrlr/],
    [{ ctrlr: 'new', dev_name: 'Nothing' }, /No such device: dev_name/],
    [{ ctrlr: 'new', dev_name: 'Disk', cpumask: '0x4' }, /Invalid argument: cpumask/],
    [{ ctrlr: 'a/b', dev_name: 'Disk' }, /Invalid argument: ctrlr/],
    [{ ctrlr: 'new', dev_name: 'Disk', transport: 'vfio' }, /Invalid argument: transport/],
    [{ ctrlr: 'x'.repeat(100), dev_name: 'Disk' }, /Invalid argument: .*107 bytes/],
    [{ ctrlr: 'file', dev_name: 'Disk' }, /Input\/output error: .*not a socket/],
    [{ ctrlr: 'rpc.sock', dev_name: 'Disk' }, /Device or resource busy: .*listens/],
  ])('is refused with the reason: %j', async (params, text) => {
    writeFileSync(target.socket('file'), '');
    await expect(target.rpc.call('vhost_create_blk_controller', params)).rejects.toThrow(text);
    await expect(target.rpc.call('vhost_create_blk_controller', params)).rejects.toMatchObject({
      code: -32602,
    });
  });

  it('shares its bdev with a namespace that comes later, also when it is started with what was saved', async () => {
    const one = await startVhostTarget();
    const nqn = 'nqn.2024-01.io.spdk-ts:shared';
    await one.rpc.call('bdev_malloc_create', { name: 'Disk', num_blocks: 1024, block_size: 512 });
    await one.rpc.call('vhost_create_blk_controller', { ctrlr: 'first', dev_name: 'Disk' });
    await one.rpc.call('nvmf_create_subsystem', { nqn });
    await one.rpc.call('nvmf_subsystem_add_ns', { nqn, namespace: { bdev_name: 'Disk' } });
    const late = { ctrlr: 'late', dev_name: 'Disk' };
    await expect(one.rpc.call('vhost_create_blk_controller', late)).rejects.toThrow(/claimed/);
    await one.rpc.call('vhost_create_blk_controller', { ...late, readonly: true });

    const subsystems: object[] = [];
    for (const { subsystem } of await one.rpc.call('framework_get_subsystems', {}))
      subsystems.push({ subsystem, config: await one.rpc.call('framework_get_config', { name: subsystem }) });
    const file = `${one.directory}/saved.json`;
    writeFileSync(file, JSON.stringify({ subsystems }));
    const other = await startVhostTarget(['--json', file]);
    const names = (await other.rpc.call('vhost_get_controllers', {})).map(({ ctrlr }) => ctrlr);
    expect(names).toEqual(['first', 'late']);
    expect(await other.rpc.call('nvmf_get_subsystems', {})).toContainEqual(
      expect.objectContaining({ nqn, namespaces: [expect.objectContaining({ bdev_name: 'Disk' })] }),
    );
    for (const { process } of [one, other]) expect((await process.stop()).code).toBe(0);
  });

  it('that is not there is no controller', async () => {
    const { rpc } = target;
    await expect(rpc.call('vhost_get_controllers', { name: 'x' })).rejects.toMatchObject({ code: -32603 });
    for (const method of ['vhost_delete_controller', 'vhost_controller_set_coalescing'] as const)
      await expect(
        rpc.call(method, { ctrlr: 'x', delay_base_us: 1, iops_threshold: 1000 } as never),
      ).rejects.toThrow(/No such device|Invalid param/);
    await expect(
      rpc.call('vhost_controller_set_coalescing', { ctrlr: 'split', delay_base_us: 1, iops_threshold: 99 }),
    ).rejects.toThrow(/Invalid argument: iops_threshold/);
  });
});

describe.skipIf(native !== null)('a vhost-user-blk controller without the addon', () => {
  afterAll(cleanUp);

  it('is refused with the reason', async () => {
    const { rpc } = await startVhostTarget();
    await rpc.call('bdev_malloc_create', { name: 'Disk', num_blocks: 1024, block_size: 512 });
    await expect(
      rpc.call('vhost_create_blk_controller', { ctrlr: 'split', dev_name: 'Disk' }),
    ).rejects.toThrow(/Operation not supported: .*native addon/);
    expect(await rpc.call('vhost_get_controllers', {})).toEqual([]);
  });
});
