/** The host library against our target: data of every size, digests, deep queues, a target that is killed. */
import { Random } from '@spdk-ts/env';
import {
  Commands,
  hostStatus,
  type NvmeController,
  type NvmeOptions,
  type NvmeQpair,
  readDiscoveryLog,
  recordTransportId,
} from '@spdk-ts/nvme';
import { cns, crc32c, DISCOVERY_NQN, nvmOpcode } from '@spdk-ts/nvme-spec';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Json } from '../linux-guest/target.ts';
import { HostBed, implementations } from '../nvme-host/host-bed.ts';
import { fill, sweep } from '../nvme-host/sweep.ts';
import { DISK_BYTES, NQN, TcpTarget } from './nvmf-tcp-target.ts';

const SEED = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000);
const BLOCK = 512;

let target: TcpTarget;
let bed: HostBed;
beforeAll(async () => {
  target = await TcpTarget.start();
});
afterAll(() => target?.stop());
afterEach(async () => {
  await bed.stop();
  expect(bed.reactor.buffers.used).toBe(0);
});

const ways: readonly (readonly [name: string, options: Partial<NvmeOptions>])[] = [
  ['as they are', {}],
  ['with a header digest', { header_digest: true }],
  ['with a data digest', { data_digest: true }],
  [
    'with both digests and no SQ flow control',
    { header_digest: true, data_digest: true, disable_sq_flow_control: true },
  ],
  ['in a short queue', { io_queue_size: 4 }],
];

describe.each(implementations)('over %s sockets', (implementation) => {
  it.each(ways)(`all sizes from 512 B to 1 MiB, %s (seed ${SEED})`, async (_, options) => {
    bed = await HostBed.start(implementation);
    const controller = await bed.connect(target.port, NQN, options);
    const qpair = await controller.openIoQueue();
    const random = new Random(SEED);
    const sizes = Array.from({ length: 128 }, (_, i) => (i + 1) * BLOCK);
    for (let i = 0; i < 64; i++) sizes.push((1 + random.below(2048)) * BLOCK);
    sizes.push(128 * 1024 - BLOCK, 128 * 1024, 128 * 1024 + BLOCK, 1024 * 1024);
    await sweep(bed, qpair, sizes, 16, random);
    await controller.close();
  });
});

const loads = [1, 2, 4, 8].flatMap((queues) => [1, 16, 128].map((depth) => [depth, queues] as const));

it.each(loads)(`%i commands at once on each of %i queue pairs (seed ${SEED})`, async (depth, queues) => {
  bed = await HostBed.start();
  const controller = await bed.connect(target.port, NQN);
  const random = new Random(SEED);
  const sizes = Array.from({ length: 2 * depth }, () => (1 + random.below(8)) * BLOCK);
  sizes.push(8 * BLOCK);
  const all = [];
  for (let i = 0; i < queues; i++)
    all.push(sweep(bed, await controller.openIoQueue(), sizes, depth, random, i * 128 * 8));
  await Promise.all(all);
  await controller.close();
});

it('four queues with more commands than each takes', async () => {
  bed = await HostBed.start();
  const controller = await bed.connect(target.port, NQN);
  const random = new Random(SEED);
  const to = bed.place(BLOCK);
  const from = bed.place(BLOCK);
  for (let i = 0; i < 4; i++) {
    const qpair = await controller.openIoQueue();
    const base = 50_000 + i * 400;
    fill(bed, random, from, BLOCK);
    const written = await Promise.all(
      Array.from({ length: 300 }, (_, lba) => bed.write(qpair, base + lba, from, BLOCK)),
    );
    expect(new Set(written)).toEqual(new Set([0]));
    expect(qpair.waited).toBeGreaterThan(0);
    expect(await bed.read(qpair, base + 299, to, BLOCK)).toBe(0);
    expect(Buffer.compare(bed.memory.subarray(to, to + BLOCK), bed.memory.subarray(from, from + BLOCK))).toBe(
      0,
    );
  }
  expect(controller.num_io_queues).toBeGreaterThanOrEqual(4);
  await controller.close();
});

it.each(implementations)(
  'connects from the address that was given, over %s sockets',
  async (implementation) => {
    bed = await HostBed.start(implementation);
    const to = `trtype:TCP traddr:127.0.0.1 trsvcid:${target.port} subnqn:${NQN}`;
    const controller = await bed.connectTo(`${to} hostaddr:127.0.0.7`);
    await controller.openIoQueue();
    const qpairs = await target.target.rpc('nvmf_subsystem_get_qpairs', { nqn: NQN });
    expect(qpairs.map(({ peer_address }: Json) => peer_address.traddr)).toEqual(['127.0.0.7', '127.0.0.7']);
    await controller.close();
    await expect(bed.connectTo(`${to} hostaddr:192.0.2.7`)).rejects.toMatchObject({
      code: 'ECONNECT',
      message: expect.stringMatching(/EADDRNOTAVAIL|Cannot assign requested address/),
    });
  },
);

it('identifies controller and namespaces', async () => {
  bed = await HostBed.start();
  const controller = await bed.connect(target.port, NQN);
  expect(controller.identify.subnqn).toBe(NQN);
  expect(controller.identify.mn.trim()).toBe('spdk-ts bdev Controller');
  expect(controller.transfer_bytes).toBe(128 * 1024);
  expect([...controller.namespaces.keys()]).toEqual([1]);
  expect(controller.namespaces.get(1)).toMatchObject({
    ...{ num_blocks: DISK_BYTES / BLOCK, block_size: BLOCK, md_size: 0, csi: 0, unusable: '' },
  });
  await controller.close();
});

it('a status other than success is told in words', async () => {
  bed = await HostBed.start();
  const controller = await bed.connect(target.port, NQN);
  const fields = { opcode: 0x06, nsid: 99, cdw10: cns.namespace };
  await expect(controller.admin.succeed(fields, { in: 4096, what: 'Identify' })).rejects.toMatchObject({
    code: 'ESTATUS',
    message: expect.stringMatching(/Identify failed: Invalid Namespace or Format \(sct 0, sc 0bh\)/),
  });
  const commands = new Commands(await controller.openIoQueue());
  const { status } = await commands.run({ opcode: nvmOpcode.read, nsid: 1, cdw11: 1 }, { in: BLOCK });
  expect(status & 0x7ff).toBe(0x80);
  await controller.close();
  await expect(commands.run({ opcode: nvmOpcode.flush, nsid: 1 })).rejects.toMatchObject({ code: 'ECLOSED' });
});

it('tells of namespaces that come and go', async () => {
  bed = await HostBed.start();
  const controller = await bed.connect(target.port, NQN);
  const seen: unknown[] = [];
  const reading = (async () => {
    for await (const event of controller.events) {
      if (event.type === 'async-event') continue;
      seen.push(event);
      if (event.type === 'namespace-removed') break;
    }
  })();
  await target.target.createMalloc('Second', 4 * 1024 * 1024);
  await target.target.rpc('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: 'Second', nsid: 5 } });
  await until(() => controller.namespaces.has(5));
  await target.target.rpc('nvmf_subsystem_remove_ns', { nqn: NQN, nsid: 5 });
  await reading;
  expect(seen).toEqual([
    { type: 'namespace-added', nsid: 5 },
    { type: 'namespace-removed', nsid: 5 },
  ]);
  await target.target.rpc('bdev_malloc_delete', { name: 'Second' });
  await controller.close();
});

it('reads the discovery log', async () => {
  bed = await HostBed.start();
  const controller = await bed.connect(target.port, DISCOVERY_NQN);
  const { entries } = await readDiscoveryLog(controller.admin);
  const found = entries.filter(({ subnqn }) => subnqn === NQN).map(recordTransportId);
  expect(found).toEqual([
    expect.objectContaining({
      trtype: 'TCP',
      traddr: '127.0.0.1',
      trsvcid: String(target.port),
      subnqn: NQN,
    }),
  ]);
  await controller.close();
});

it('a host that is not allowed is told why', async () => {
  bed = await HostBed.start();
  await expect(bed.connect(target.port, 'nqn.2026-11.io.spdk-ts:none')).rejects.toMatchObject({
    code: 'ESTATUS',
    message: expect.stringMatching(/Connect to nqn.2026-11.io.spdk-ts:none failed: /),
  });
});

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Loads a controller until `stop`: every write that succeeded is what is read later. */
class Load {
  /** For each lane, the CRCs that its block may have. */
  private readonly possible: Set<number>[] = [];
  private readonly lanes: Promise<void>[] = [];
  private stopping = false;
  readonly seen: number[] = [];

  start(qpair: NvmeQpair, lanes: number, random: Random): void {
    for (let i = 0; i < lanes; i++) {
      const lane = this.possible.push(new Set()) - 1;
      this.seen.push(0);
      const running = this.run(qpair, lane, random);
      running.catch(() => {}); // told by goesOn and stop
      this.lanes.push(running);
    }
  }

  /** Resolves when every lane has read what it wrote once more. Rejects if one read anything else. */
  async goesOn(): Promise<void> {
    const before = [...this.seen];
    const failed = Promise.all(this.lanes);
    await Promise.race([failed, until(() => this.seen.every((count, lane) => count > before[lane]!))]);
  }

  private async run(qpair: NvmeQpair, lane: number, random: Random): Promise<void> {
    const length = 8192;
    const from = bed.place(length);
    const to = bed.place(length);
    const lba = 20_000 + lane * 16;
    while (!this.stopping) {
      const crc = fill(bed, random, from, length);
      const written = await bed.write(qpair, lba, from, length).catch(() => hostStatus.NO_PATH);
      // One that was aborted may have been carried out, or not.
      if (written === 0) this.possible[lane]!.clear();
      if (written === 0 || written === hostStatus.ABORTED) this.possible[lane]!.add(crc);
      if (written !== 0) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        continue;
      }
      const read = await bed.read(qpair, lba, to, length).catch(() => hostStatus.NO_PATH);
      if (read !== 0) continue;
      const found = crc32c(bed.memory, to, to + length);
      expect([...this.possible[lane]!], `lane ${lane} (seed ${SEED})`).toContain(found);
      this.seen[lane]!++;
    }
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.lanes);
  }
}

it(`a target that is killed under load and started again: no write is lost (seed ${SEED})`, async () => {
  bed = await HostBed.start();
  const { folder } = target.target;
  const disk = await target.target.createFileBdev('File0', 32 * 1024 * 1024, BLOCK);
  expect(disk).toContain(folder);
  const nqn = 'nqn.2026-11.io.spdk-ts:file';
  await target.target.export(nqn, ['File0'], target.port, 'SPDKTS0000000000002');
  const config = await target.target.config();
  const options = { ctrlr_loss_timeout_ms: 30_000, reconnect_delay_ms: 20, num_io_queues: 4 };
  const controller: NvmeController = await bed.connect(target.port, nqn, options);
  const load = new Load();
  const random = new Random(SEED);
  for (let i = 0; i < 2; i++) load.start(await controller.openIoQueue(), 8, random);
  let process = target.target;
  const events = controller.events[Symbol.asyncIterator]();
  for (let round = 0; round < 3; round++) {
    await load.goesOn();
    process = await process.replaceBy(config);
    for (const type of ['disconnected', 'connected']) {
      let event = (await events.next()).value;
      while (event?.type === 'async-event') event = (await events.next()).value;
      expect(event).toMatchObject({ type });
    }
  }
  await load.goesOn();
  await load.stop();
  await controller.close();
  await process.stop();
  await process.dispose();
  target = await TcpTarget.start();
});
