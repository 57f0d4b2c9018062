/** The bdev module nvme: a target that exports namespaces of another target, which is killed under load. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { eventually, freePort, type Json, Target } from '../linux-guest/target.ts';
import { HostBed } from '../nvme-host/host-bed.ts';
import { VerifiedLoad } from '../nvme-host/verified-load.ts';

const SEED = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000);
const BACK = 'nqn.2026-11.io.spdk-ts:back';
const FRONT = 'nqn.2026-11.io.spdk-ts:front';
const BLOCK = 512;

let back: Target;
let front: Target;
let backPort: number;
let frontPort: number;
beforeAll(async () => {
  [back, front] = [await Target.start(), await Target.start()];
  backPort = await freePort();
  frontPort = await freePort();
  await back.createFileBdev('File0', 32 * 1024 * 1024, BLOCK);
  await back.export(BACK, ['File0'], backPort);
});
afterAll(async () => {
  for (const target of [front, back]) {
    await target?.stop();
    await target?.dispose();
  }
});

const attach = (more: object = {}) => ({
  ...{
    name: 'Nvme0',
    trtype: 'TCP',
    adrfam: 'IPv4',
    traddr: '127.0.0.1',
    trsvcid: String(backPort),
    subnqn: BACK,
  },
  ...more,
});

it('attaches, tells, resets, saves and detaches', async () => {
  const patience = { ctrlr_loss_timeout_sec: 30, reconnect_delay_sec: 1 };
  expect(await front.rpc('bdev_nvme_attach_controller', attach(patience))).toEqual(['Nvme0n1']);
  const [bdev] = await front.rpc('bdev_get_bdevs', { name: 'Nvme0n1' });
  const [theirs] = await back.rpc('bdev_get_bdevs', { name: 'File0' });
  expect(bdev).toMatchObject({
    ...{ product_name: 'NVMe disk', block_size: BLOCK, num_blocks: theirs.num_blocks, uuid: theirs.uuid },
    driver_specific: { nvme: [{ trid: { subnqn: BACK }, ns_data: { id: 1 } }] },
    supported_io_types: {
      read: true,
      write: true,
      unmap: true,
      write_zeroes: true,
      flush: true,
      compare: true,
    },
  });
  const [controller] = await front.rpc('bdev_nvme_get_controllers', { name: 'Nvme0' });
  expect(controller).toMatchObject({
    name: 'Nvme0',
    ctrlrs: [{ state: 'enabled', trid: { trsvcid: String(backPort) } }],
  });
  expect(await front.rpc('bdev_nvme_reset_controller', { name: 'Nvme0' })).toBe(true);
  const { config } = (await front.config()).subsystems.find(({ subsystem }: Json) => subsystem === 'bdev');
  expect(config).toContainEqual({ method: 'bdev_nvme_attach_controller', params: attach(patience) });

  await expect(front.rpc('bdev_nvme_attach_controller', attach())).rejects.toMatchObject({ code: -114 });
  await expect(
    front.rpc('bdev_nvme_attach_controller', attach({ name: 'N', trtype: 'RDMA' })),
  ).rejects.toThrow('no RDMA');
  await expect(
    front.rpc('bdev_nvme_attach_controller', attach({ name: 'N', subnqn: `${BACK}x` })),
  ).rejects.toThrow(/Input\/output error: .*Connect to .* failed/);
  const wrong = attach({ name: 'N', ctrlr_loss_timeout_sec: 5 });
  await expect(front.rpc('bdev_nvme_attach_controller', wrong)).rejects.toThrow(
    'needs a reconnect_delay_sec above 0',
  );
  await expect(front.rpc('bdev_nvme_detach_controller', { name: 'N' })).rejects.toMatchObject({ code: -19 });

  await front.rpc('bdev_nvme_detach_controller', { name: 'Nvme0' });
  expect(await front.rpc('bdev_get_bdevs')).toEqual([]);
  expect(await back.controllers()).toEqual([]);
});

it('namespaces come, grow and go', async () => {
  await front.rpc('bdev_nvme_attach_controller', attach());
  await back.rpc('bdev_null_create', { name: 'Null0', num_blocks: 2048, block_size: BLOCK });
  await back.rpc('nvmf_subsystem_add_ns', { nqn: BACK, namespace: { bdev_name: 'Null0', nsid: 7 } });
  const size = async (): Promise<number> =>
    (await front.rpc('bdev_get_bdevs', { name: 'Nvme0n7' }))[0].num_blocks;
  await eventually(10, 'the namespace is a bdev', async () => (await size()) === 2048);
  await back.rpc('bdev_null_resize', { name: 'Null0', new_size: 2 });
  await eventually(10, 'the bdev has grown', async () => (await size()) === 4096);
  await back.rpc('nvmf_subsystem_remove_ns', { nqn: BACK, nsid: 7 });
  await eventually(10, 'the bdev is gone', async () => (await front.rpc('bdev_get_bdevs')).length === 1);
  await front.rpc('bdev_nvme_detach_controller', { name: 'Nvme0' });
});

it(`a proxy: what is written through it is what is read, and nothing is lost when its target is killed (seed ${SEED})`, async () => {
  const patience = { ctrlr_loss_timeout_sec: 60, reconnect_delay_sec: 1 };
  await front.rpc('bdev_nvme_attach_controller', attach({ ...patience, hdgst: true, ddgst: true }));
  await front.export(FRONT, ['Nvme0n1'], frontPort);
  const bed = await HostBed.start();
  try {
    const controller = await bed.connect(frontPort, FRONT);
    const queues = [await controller.openIoQueue(), await controller.openIoQueue()];
    const load = new VerifiedLoad(bed, queues, SEED);
    await load.goesOn();
    const config = await back.config();
    for (let kill = 0; kill < 2; kill++) {
      back = await back.replaceBy(config);
      await load.goesOn();
    }
    await load.stop();
    await controller.close();
  } finally {
    await bed.stop();
  }
  await front.rpc('nvmf_delete_subsystem', { nqn: FRONT });
  await front.rpc('bdev_nvme_detach_controller', { name: 'Nvme0' });
});

it('without patience, a controller that is lost takes its bdevs with it', async () => {
  await front.rpc('bdev_nvme_attach_controller', attach());
  await back.kill();
  await eventually(20, 'the bdev is gone', async () => (await front.rpc('bdev_get_bdevs')).length === 0);
  expect(await front.rpc('bdev_nvme_get_controllers')).toEqual([]);
});
