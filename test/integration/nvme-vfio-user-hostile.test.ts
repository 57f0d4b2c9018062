/** The driver of PCI controllers against one that breaks the rules, dies, or is slow: it fails clearly, and leaves nothing behind. */
import { Random } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import {
  type ControllerEvent,
  hostStatus,
  type NvmeController,
  NvmeError,
  type NvmeOptions,
  type NvmeQpair,
} from '@spdk-ts/nvme';
import { adminOpcode, nvmOpcode, register } from '@spdk-ts/nvme-spec';
import { Command } from '@spdk-ts/vfio-user';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Completion, DeviceModel, type ModelOptions, type Script } from '../nvme-host/device-model.ts';
import { HostBed } from '../nvme-host/host-bed.ts';
import { sweep } from '../nvme-host/sweep.ts';

const SEED = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000);
const patience: Partial<NvmeOptions> = { connect_timeout_ms: 10_000, admin_timeout_ms: 10_000 };
const again: Partial<NvmeOptions> = { ctrlr_loss_timeout_ms: 20_000, reconnect_delay_ms: 10 };

// vfio-user passes descriptors of memory, which only the addon can.
describe.skipIf(native === null)('a PCI controller that breaks the rules', () => {
  let bed: HostBed;
  let model: DeviceModel;
  const open: NvmeController[] = [];
  beforeEach(async () => {
    bed = await HostBed.start(undefined, true);
    model = new DeviceModel();
  });
  afterEach(async () => {
    for (const controller of open.splice(0)) await controller.close();
    expect(bed.group.qpairs.size, 'queues that are left').toBe(0);
    await bed.stop();
    model.stop();
    expect(bed.reactor.buffers.used, 'buffers that were not given back').toBe(0);
  });

  const remodel = (options: ModelOptions): void => {
    model.stop();
    model = new DeviceModel(options);
  };
  const attach = async (options: Partial<NvmeOptions> = {}): Promise<NvmeController> => {
    const controller = await bed.connectTo(model.transportId, { ...patience, ...options });
    open.push(controller);
    return controller;
  };
  const refused = async (options: Partial<NvmeOptions> = {}): Promise<NvmeError> => {
    const error = await attach(options).then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(NvmeError);
    return error as NvmeError;
  };
  /** Changes the completion of the first I/O command. */
  const once = (change: (due: Completion) => readonly Completion[]): Script => {
    let done = false;
    return {
      complete: (due) => {
        if (due.qid === 0 || done) return [due];
        done = true;
        return change(due);
      },
    };
  };
  const failure = async (controller: NvmeController): Promise<NvmeError> => {
    for await (const event of controller.events) if (event.type === 'failed') return event.error;
    throw new Error('it has not failed');
  };

  const wrong: readonly (readonly [string, (due: Completion) => readonly Completion[], RegExp])[] = [
    [
      'a CID that is not outstanding',
      (due) => [{ ...due, cid: due.cid ^ 0x4000 }],
      /CID \d+, which is not outst/,
    ],
    ['a CID beyond the queue', (due) => [{ ...due, cid: 0xffff }], /CID 65535, which is not outstanding/],
    ['the same completion twice', (due) => [due, due], /which is not outstanding/],
    ['another submission queue', (due) => [{ ...due, sqid: 3 }], /names submission queue 3/],
    ['a head beyond the queue', (due) => [{ ...due, sqhd: 0xfff0 }], /entry 65520 of 256 is next/],
    ['a head beyond the tail', (due) => [{ ...due, sqhd: due.sqhd + 7 }], /is next: 0 was/],
  ];
  it.each(wrong)('completes with %s', async (_, change, text) => {
    const controller = await attach();
    const failed = failure(controller);
    const [one, other] = [await controller.openIoQueue(), await controller.openIoQueue()];
    model.script = once(change);
    await bed.read(one, 5, 0, 4096);
    const error = await failed;
    expect([error.code, error.message]).toEqual(['EPROTOCOL', expect.stringMatching(text)]);
    // The whole controller is given up: nothing of it touches memory any more.
    await expect(bed.read(other, 5, 0, 4096)).rejects.toThrow(text);
    expect(model.queues).toBe(0);
  });

  it('completes with the wrong phase: the command is aborted, then the controller is reset', async () => {
    const controller = await attach({ ...again, timeout_ms: 1000 });
    const events: ControllerEvent['type'][] = [];
    void (async () => {
      for await (const event of controller.events) events.push(event.type);
    })();
    const qpair = await controller.openIoQueue();
    model.script = once((due) => [{ ...due, phase: due.phase ^ 1 }]);
    expect(await bed.read(qpair, 5, 0, 4096)).toBe(hostStatus.ABORTED);
    await expect.poll(() => controller.state, { timeout: 10_000 }).toBe('ready');
    expect(events).toEqual(['disconnected', 'connected']);
    expect(await bed.read(qpair, 5, 0, 4096)).toBe(0);
  });

  it('is removed: its registers read as all ones', async () => {
    const controller = await attach();
    const qpair = await controller.openIoQueue();
    model.script = { swallow: () => true, read: () => 0xffff_ffff };
    const [error, status] = await Promise.all([failure(controller), bed.read(qpair, 5, 0, 4096)]);
    expect(error.message).toMatch(/has been removed: its registers read as all ones/);
    expect(status).toBe(hostStatus.ABORTED);
    expect((await refused()).message).toMatch(/has been removed/);
  });

  it('fails (CSTS.CFS), and is found again', async () => {
    const controller = await attach(again);
    const qpair = await controller.openIoQueue();
    model.script = {
      swallow: (qid) => qid > 0,
      read: (offset, value) => (offset === register.csts && (value & 1) !== 0 ? value | 2 : value),
    };
    const lost = (async () => {
      for await (const event of controller.events) if (event.type === 'disconnected') return event.error;
      return null;
    })();
    expect(await bed.read(qpair, 5, 0, 4096)).toBe(hostStatus.ABORTED);
    expect((await lost)?.message).toMatch(/CSTS.CFS/);
    model.script = {};
    await expect.poll(() => controller.state, { timeout: 10_000 }).toBe('ready');
    expect(await bed.read(qpair, 5, 0, 4096)).toBe(0);
  });

  it('never becomes ready', async () => {
    model.script = { read: (offset, value) => (offset === register.csts ? value & ~1 : value) };
    expect(await refused()).toMatchObject({
      code: 'ETIMEOUT',
      message: expect.stringMatching(/2000 ms \(CAP.TO\)/),
    });
  });

  const commands = [Command.version, Command.deviceGetRegionInfo, Command.dmaMap, Command.regionRead];
  it.each(commands)('answers no message %i', async (muted) => {
    model.script = { mute: (command) => command === muted };
    const error = await refused({ connect_timeout_ms: 200 });
    expect(error).toMatchObject({
      code: 'ETIMEOUT',
      message: expect.stringMatching(/does not answer in 200 ms|map the/),
    });
  });

  it('answers no Admin command', async () => {
    model.script = { swallow: (qid) => qid === 0 };
    expect((await refused({ connect_timeout_ms: 200 })).message).toMatch(/Admin command 06h takes longer/);
  });

  it('maps no memory of the queues, or none of the data', async () => {
    model.script = { refuseMap: () => true };
    expect((await refused()).message).toMatch(/cannot map the memory of the queue/);
    model.script = { refuseMap: (_, size) => size >= 64 * 1024 * 1024 };
    const controller = await attach();
    const qpair = await controller.openIoQueue();
    await sweep(bed, qpair, [512, 4096, 131_072, 262_144], 3, new Random(SEED));
  });

  it('creates no queue', async () => {
    const controller = await attach();
    model.script = { refuse: (_, opcode) => (opcode === adminOpcode.createIoSq ? 0x102 : 0) };
    await expect(controller.openIoQueue()).rejects.toMatchObject({ code: 'ESTATUS', status: 0x102 });
    model.script = {};
    expect(model.queues).toBe(2); // only the admin queue's
    const qpair = await controller.openIoQueue();
    expect(await bed.read(qpair, 5, 0, 4096)).toBe(0);
  });

  it('is no NVMe controller, or of another subsystem, or not there', async () => {
    expect(
      (await bed.connectTo(`${model.transportId}/none`).catch((error: Error) => error)) as Error,
    ).toMatchObject({
      code: 'ECONNECT',
      message: expect.stringMatching(/none\/cntrl: .*No such file/),
    });
    const other = await bed
      .connectTo(`${model.transportId} subnqn:nqn.2026-11.io.spdk-ts:other`)
      .catch((error: Error) => error);
    expect(other).toMatchObject({
      code: 'EINVAL',
      message: expect.stringMatching(/one of .*:model, not of .*:other/),
    });
    await expect(attach({ doorbells: 'shadow' })).rejects.toThrow('no Doorbell Buffer Config');
    remodel({ mappable: false });
    await expect(attach({ doorbells: 'mapped' })).rejects.toThrow('lets no doorbells be mapped');
  });

  it('events arrive, and are asked for again', async () => {
    const controller = await attach();
    const events = controller.events[Symbol.asyncIterator]();
    for (const info of [0, 1, 2, 3, 4]) {
      await expect.poll(() => model.waitingForEvents, { timeout: 10_000 }).toBe(4);
      model.event(0x1_0001 | (info << 8));
      expect((await events.next()).value).toMatchObject({ type: 'async-event', event: { type: 1, info } });
    }
  });

  it(`dies under load, and comes back (seed ${SEED})`, async () => {
    const controller = await attach(again);
    const queues: NvmeQpair[] = [];
    for (let i = 0; i < 4; i++) queues.push(await controller.openIoQueue());
    const random = new Random(SEED);
    const ends = new Map<number, number>();
    let [running, times] = [true, 0];
    const load = async (qpair: NvmeQpair, lane: number): Promise<void> => {
      while (running) {
        const opcode = random.below(2) === 0 ? nvmOpcode.read : nvmOpcode.write;
        const status = await bed
          .io(qpair, opcode, random.below(60_000), lane * 65_536, 512 << random.below(8))
          .catch(() => -1);
        ends.set(status, (ends.get(status) ?? 0) + 1);
        if (status === -1) await new Promise((resolve) => setTimeout(resolve, 2));
      }
    };
    const lanes = Promise.all(Array.from({ length: 64 }, (_, lane) => load(queues[lane % 4]!, lane)));
    for (; times < 8; times++) {
      await new Promise((resolve) => setTimeout(resolve, 5 + random.below(40)));
      await expect.poll(() => controller.state, { timeout: 10_000 }).toBe('ready');
      const { connections } = model;
      model.drop();
      await expect.poll(() => model.connections, { timeout: 10_000 }).toBeGreaterThan(connections);
    }
    await expect.poll(() => controller.state, { timeout: 10_000 }).toBe('ready');
    running = false;
    await lanes;
    expect([...ends.keys()].sort()).toEqual([...new Set([-1, 0, hostStatus.ABORTED, ...ends.keys()])].sort());
    expect(new Set(ends.keys()).size, JSON.stringify([...ends])).toBeLessThanOrEqual(4);
    await sweep(bed, queues[0]!, [512, 65_536, 131_072], 4, random);
    expect([times, model.connections]).toEqual([8, 9]);
  });

  it(`changes completions at random (seed ${SEED})`, async () => {
    const random = new Random(SEED);
    for (let round = 0; round < 25; round++) {
      model.script = {};
      const controller = await attach({ timeout_ms: 200 });
      const qpair = await controller.openIoQueue();
      model.script = once((due) => {
        const changed = { ...due };
        const field = (['cid', 'sqid', 'sqhd', 'status', 'phase', 'dw0'] as const)[random.below(6)]!;
        changed[field] = field === 'phase' ? due.phase ^ 1 : due[field] ^ (1 << random.below(15));
        return [changed];
      });
      const reads = Array.from({ length: 8 }, (_, i) => bed.read(qpair, i, i * 4096, 4096).catch(() => -1));
      for (const status of await Promise.all(reads)) expect(status).toBeGreaterThanOrEqual(-1);
      await controller.close();
      open.length = 0;
    }
  });
});
