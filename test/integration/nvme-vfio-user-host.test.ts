/** The host library's driver of PCI controllers, against a model of one behind a vfio-user socket. */
import { readdirSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Random } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import { connect, type NvmeOptions, type PciQpair } from '@spdk-ts/nvme';
import { afterEach, describe, expect, it } from 'vitest';
import { DeviceModel, MODEL_NQN, type ModelOptions } from '../nvme-host/device-model.ts';
import { HostBed } from '../nvme-host/host-bed.ts';
import { sweep } from '../nvme-host/sweep.ts';

const SEED = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000);
const SIZES = [512, 1024, 4096, 4608, 8192, 12_288, 65_536, 131_072, 131_584, 262_144, 524_288];

// vfio-user passes descriptors of memory, which only the addon can.
describe.skipIf(native === null)('a PCI controller over vfio-user', () => {
  let bed: HostBed;
  let model: DeviceModel;
  let shareable = true;
  const begin = async (options: ModelOptions = {}, has_descriptor = true): Promise<void> => {
    shareable = has_descriptor;
    bed = await HostBed.start(undefined, shareable);
    model = new DeviceModel(options);
  };
  const attach = (options: Partial<NvmeOptions> = {}) =>
    bed.connectTo(model.transportId, { connect_timeout_ms: 3000, ...options });
  afterEach(async () => {
    await bed.stop();
    model.stop();
    expect(bed.reactor.buffers.used, 'buffers that were not given back').toBe(0);
    expect(model.queues).toBe(0);
  });

  /** The first commands may be copied, while the server is told of their memory. */
  const warmUp = async (qpair: PciQpair): Promise<void> => {
    for (let copied = -1; shareable && copied !== qpair.copied; ) {
      copied = qpair.copied;
      expect(await bed.read(qpair, 0, 0, 4096)).toBe(0);
    }
    qpair.copied = 0;
  };

  const ways: readonly (readonly [string, ModelOptions, Partial<NvmeOptions>, boolean])[] = [
    ['mapped doorbells, PRPs', {}, {}, true],
    ['mapped doorbells, SGLs', { sgl: true }, {}, true],
    ['doorbells by message', { mappable: false }, {}, true],
    ['doorbells by message though they could be mapped', {}, { doorbells: 'trapped' }, true],
    ['shadow doorbells', { mappable: false, shadow: true }, {}, true],
    ['a doorbell stride of 16 bytes', { dstrd: 2 }, {}, true],
    ['a small queue, which wraps', { mqes: 3 }, {}, true],
    ['without interrupts', {}, { interrupts: false }, true],
    ['memory without a descriptor, PRPs', {}, {}, false],
    ['memory without a descriptor, by message, SGLs there are', { sgl: true, mappable: false }, {}, false],
  ];
  it.each(ways)('%s', async (name, of, options, shareable) => {
    await begin(of, shareable);
    const controller = await attach(options);
    expect(controller.identify.subnqn).toBe(MODEL_NQN);
    expect([controller.cntlid, controller.num_io_queues, controller.namespaces.size]).toEqual([7, 4, 1]);
    expect(model.enabledInConfig).toBe(true);
    expect(model.msixEnabled).toBe(options.interrupts !== false);
    const qpairs = [];
    for (let i = 0; i < 4; i++) qpairs.push((await controller.openIoQueue()) as PciQpair);
    for (const qpair of qpairs) await warmUp(qpair);
    const random = new Random(SEED);
    await Promise.all(qpairs.map((qpair, i) => sweep(bed, qpair, SIZES, 5, random, i * 8192)));
    const sum = (of: (qpair: PciQpair) => number) => qpairs.reduce((total, one) => total + of(one), 0);
    const counted = {
      mapped: sum(({ doorbells }) => doorbells.mapped) > 0,
      trapped: sum(({ doorbells }) => doorbells.trapped) > 0,
      shadowed: sum(({ doorbells }) => doorbells.shadowed) > 0,
      copied: sum(({ copied }) => copied) > 0,
      sgls: model.sgls > 0,
    };
    const kind = qpairs[0]!.doorbellKind;
    expect(counted, `${name} (seed ${SEED})`).toEqual({
      ...{ mapped: kind === 'mapped', shadowed: kind === 'shadow' },
      trapped: kind !== 'mapped',
      copied: !shareable,
      sgls: of.sgl === true && shareable,
    });
    if (of.mappable === false) expect(kind).toBe(of.shadow === true ? 'shadow' : 'trapped');
    await controller.close();
    expect(model.shutDown).toBe(true);
  });

  it('connect() reads and writes, and sleeps in between', async () => {
    await begin();
    await using connection = await connect(model.transportId);
    const namespace = connection.namespace(1);
    const data = Uint8Array.from({ length: 512 * 700 }, (_, i) => (i * 7 + (i >> 9)) & 0xff);
    await namespace.write(300, data);
    expect(Buffer.compare(model.disk.subarray(300 * 512, 1000 * 512), data)).toBe(0);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const seen = model.interrupts;
    expect(Buffer.compare(await namespace.read(300, 700), data)).toBe(0);
    expect(model.interrupts).toBeGreaterThan(seen);
  });

  it('a connection that was closed leaves nothing behind', async () => {
    await begin();
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const left = async (times: number): Promise<number> => {
      for (let i = 0; i < times; i++) {
        const controller = await attach();
        const [one, other] = [await controller.openIoQueue(), await controller.openIoQueue()];
        expect(await bed.read(one, i, 0, 8192)).toBe(0);
        controller.closeIoQueue(other);
        await controller.close();
        await expect.poll(() => model.mapped, { timeout: 10_000 }).toBe(0);
      }
      // Memory goes when it is collected, its descriptor with it.
      for (let tries = 0; tries < 20; tries++) {
        collect();
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      return readdirSync('/proc/self/fd').length;
    };
    const first = await left(3);
    expect(await left(10)).toBe(first);
  });
});
