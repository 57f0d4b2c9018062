/** The host's driver of PCI controllers against our target's VFIOUSER transport: two processes, memory that they share. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Random } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import {
  hostStatus,
  type NvmeController,
  type NvmeOptions,
  type NvmeQpair,
  type PciQpair,
} from '@spdk-ts/nvme';
import { connectUnix, type RpcClient } from '@spdk-ts/rpc';
import { afterEach, describe, expect, it } from 'vitest';
import { HostBed } from '../nvme-host/host-bed.ts';
import { sweep } from '../nvme-host/sweep.ts';
import { AppProcess, cleanUp, programs, run } from './app-process.ts';

const SEED = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000);
const NQN = 'nqn.2026-11.io.spdk-ts:vfio-user-host';
const SIZES = [512, 1024, 4096, 4608, 8192, 12_288, 65_536, 131_072, 131_584, 262_144];

/** A target with one namespace in memory. */
class Target {
  readonly folder = mkdtempSync(join(tmpdir(), 'spdk-ts-vfio-user-'));
  private readonly transport: Record<string, unknown>;
  private app: AppProcess | null = null;
  private rpc: RpcClient | null = null;

  constructor(transport: Record<string, unknown>) {
    this.transport = transport;
    mkdirSync(join(this.folder, 'endpoint'));
  }

  get traddr(): string {
    return join(this.folder, 'endpoint');
  }

  async start(): Promise<void> {
    const socket = join(this.folder, 'rpc.sock');
    this.app = new AppProcess(programs.spdkTs, ['tgt', '-r', socket, '-m', '0x3']);
    await this.app.says('listening on');
    this.rpc = await connectUnix(socket);
    const call = (method: string, params: Record<string, unknown>): Promise<unknown> =>
      this.rpc!.call(method as never, params as never);
    await call('nvmf_create_transport', { trtype: 'VFIOUSER', ...this.transport });
    await call('bdev_malloc_create', { name: 'M', num_blocks: 131_072, block_size: 512 });
    await call('nvmf_create_subsystem', { nqn: NQN, allow_any_host: true, serial_number: 'V1' });
    await call('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: 'M', nsid: 1 } });
    const listen_address = { trtype: 'VFIOUSER', traddr: this.traddr, trsvcid: '0' };
    await call('nvmf_subsystem_add_listener', { nqn: NQN, listen_address });
  }

  kill(): Promise<unknown> {
    this.rpc?.close();
    this.app!.child.kill('SIGKILL');
    return this.app!.ended;
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true });
  }
}

// vfio-user passes descriptors of memory, which only the addon can.
describe.skipIf(native === null)('our target over vfio-user', () => {
  let bed: HostBed;
  let target: Target;
  const begin = async (transport: Record<string, unknown> = {}, shareable = true): Promise<void> => {
    bed = await HostBed.start(undefined, shareable);
    target = new Target(transport);
    await target.start();
  };
  const attach = (options: Partial<NvmeOptions> = {}): Promise<NvmeController> =>
    bed.connectTo(`trtype:VFIOUSER traddr:${target.traddr} subnqn:${NQN}`, options);
  afterEach(async () => {
    await bed.stop();
    await target.stop();
    await cleanUp();
    expect(bed.reactor.buffers.used, 'buffers that were not given back').toBe(0);
  });

  it.each([
    ['mapped', {}, {}, true],
    ['mapped', {}, {}, false],
    ['trapped', {}, { doorbells: 'trapped' }, true],
    ['shadow', { disable_mappable_bar0: true }, {}, true],
    ['trapped', { disable_mappable_bar0: true, disable_shadow_doorbells: true }, { interrupts: false }, true],
  ] as const)(
    '%s doorbells, %j %j, memory that has a descriptor: %s',
    async (kind, transport, options, shareable) => {
      await begin(transport, shareable);
      const controller = await attach(options);
      expect(controller.identify.subnqn).toBe(NQN);
      for (const [depth, count] of [
        [1, 1],
        [24, 4],
        [128, 2],
      ] as const) {
        const random = new Random(SEED + depth);
        const queues: NvmeQpair[] = [];
        for (let i = 0; i < count; i++) queues.push(await controller.openIoQueue());
        expect((queues[0] as PciQpair).doorbellKind).toBe(kind);
        const sizes = depth === 128 ? SIZES.slice(0, 4) : SIZES;
        const many = Array.from({ length: Math.ceil((2 * depth) / sizes.length) }, () => sizes).flat();
        for (const [i, queue] of queues.entries()) await sweep(bed, queue, many, depth, random, i * 24_000);
        for (const queue of queues) controller.closeIoQueue(queue);
        await expect.poll(() => queues.every(({ state }) => state === 3)).toBe(true);
        bed.reuse();
      }
      await controller.close();
    },
  );

  it.each([[[]], [['--shareable-buffers']]])(
    'serves the bdev module nvme on two reactors %j',
    async (more) => {
      await begin();
      const params = { name: 'V', trtype: 'VFIOUSER', traddr: target.traddr };
      const config = [{ method: 'bdev_nvme_attach_controller', params }];
      const file = join(target.folder, 'bdevperf.json');
      writeFileSync(file, JSON.stringify({ subsystems: [{ subsystem: 'bdev', config }] }));
      for (const load of [
        ['-w', 'verify', '-q', '32', '-o', '4096'],
        ['-w', 'verify', '-q', '8', '-o', '262144'],
      ]) {
        const args = ['-c', file, '-m', '0x3', '-t', '1', ...load, ...more];
        const { code, stdout, stderr } = await run(programs.bdevperf, ...args);
        expect(code, stdout + stderr).toBe(0);
        expect(stdout).toContain('Vn1');
      }
    },
  );

  it(`is killed under load, and comes back (seed ${SEED})`, async () => {
    await begin();
    const controller = await attach({ ctrlr_loss_timeout_ms: 60_000, reconnect_delay_ms: 50, timeout_ms: 0 });
    const queues = [await controller.openIoQueue(), await controller.openIoQueue()];
    const random = new Random(SEED);
    const ends = new Set<number>();
    let running = true;
    const load = async (queue: NvmeQpair, lane: number): Promise<void> => {
      while (running) {
        const length = 512 << random.below(9);
        const read = bed.read(queue, random.below(100_000), lane * 131_072, length);
        const status = await read.catch(() => -1);
        ends.add(status);
        if (status === -1) await new Promise((resolve) => setTimeout(resolve, 2));
      }
    };
    const lanes = Promise.all(Array.from({ length: 32 }, (_, lane) => load(queues[lane % 2]!, lane)));
    for (let times = 0; times < 2; times++) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      await target.kill();
      await expect.poll(() => controller.state, { timeout: 10_000 }).toBe('reconnecting');
      await target.start();
      await expect.poll(() => controller.state, { timeout: 30_000 }).toBe('ready');
    }
    running = false;
    await lanes;
    expect(
      [...ends].filter((status) => ![0, -1, hostStatus.ABORTED, hostStatus.NO_PATH].includes(status)),
    ).toEqual([]);
    await sweep(bed, queues[1]!, SIZES, 4, random);
    await controller.close();
  });
});
