/**
 * A path that is cut by the network: no byte comes through, and no end of a connection. Both sides find out by their
 * timeouts, give up what they held for it, and go on with others.
 */
import { Random } from '@spdk-ts/env';
import type { NvmeController } from '@spdk-ts/nvme';
import { adminOpcode, nvmOpcode, pduHeaderLength, sglId } from '@spdk-ts/nvme-spec';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CutRelay, Load, pattern, RawHost as Raw, type RawHost, read } from '../host/index.ts';
import { eventually, type Json } from '../linux-guest/target.ts';
import { HostBed, implementations } from '../nvme-host/host-bed.ts';
import { NQN, TcpTarget } from './nvmf-tcp-target.ts';

const SEED = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000);
const KATO_MS = 4000;
const STALL_MS = 2000;
/** More than sockets and relay take, so that something is still to be sent when the network is cut. */
const READS = 120;
const READ_BYTES = 128 * 1024;

let target: TcpTarget;
let relay: CutRelay;
let witness: RawHost;
let load: Load;

beforeAll(async () => {
  target = await TcpTarget.start({ kas: 10, min_kato: KATO_MS });
});
afterAll(() => target?.stop());

/** A host beside the one that is cut off, whose I/O goes on all the time. */
beforeEach(async () => {
  relay = await CutRelay.start(target.port);
  witness = await target.host(2);
  load = new Load(witness.queues, { depth: 4, bytes_max: 16_384, seed: SEED });
  load.start();
});
afterEach(async () => {
  const before = load.verified;
  await load.until(() => load.verified > before + 50);
  await load.stop();
  witness.close();
  await relay.stop();
  await eventually(20, 'nobody is there any more', async () => (await used('connections')) === 0);
  await target.expectService();
});

const limits = (): Promise<Json> => target.target.rpc('spdk_ts_nvmf_get_limits');
const used = async (name: string): Promise<number> =>
  (await limits()).limits.find((line: Json) => line.name === name).current;
const mine = async (hostnqn: string): Promise<Json[]> =>
  (await target.target.controllers()).filter((controller: Json) => controller.hostnqn === hostnqn);

/** A host behind the relay that leaves the target with work of every kind: data owed, data to be sent, parked events. */
async function burdened(hostnqn: string, katoMs: number): Promise<RawHost> {
  const host = await Raw.connect({ port: relay.port, subnqn: NQN, hostnqn, katoMs });
  await host.setQueueCount(3);
  const [owing, taking] = await host.openQueues(3, { entries: 128 });
  host.admin.submit({ opcode: adminOpcode.asyncEventRequest }).catch(() => {});
  const asked = new Promise<void>((resolve) => {
    owing!.tap = () => resolve();
  });
  const cid = owing!.newCid();
  owing!.expect(cid).catch(() => {});
  const sgl1 = { identifier: sglId.transportDataBlock, address: 0, length: READ_BYTES };
  const cdw12 = READ_BYTES / 512 - 1;
  owing!.stream.send(
    owing!.capsule({ opcode: nvmOpcode.write, nsid: 1, psdt: 1, cid, sgl1, cdw10: 60_000, cdw12 }),
  );
  await asked;
  relay.cutToHost();
  const passed = relay.passedToTarget + READS * pduHeaderLength.capsuleCmd;
  for (let i = 0; i < READS; i++) read(taking!, 60_000, READ_BYTES).catch(() => {});
  await eventually(20, 'the reads have arrived', () => relay.passedToTarget >= passed);
  return host;
}

describe('the target', () => {
  it('ends the association of a host when its keep alive timeout has passed', async () => {
    const descriptors = target.descriptors;
    const buffers = await used('buffers');
    const host = await burdened('nqn.2026-11.io.spdk-ts:cut', KATO_MS);
    expect(await mine('nqn.2026-11.io.spdk-ts:cut')).toHaveLength(1);
    const from = target.target.output.length;
    relay.cut();
    await eventually(20, 'the controller has ended', async () => {
      return (await mine('nqn.2026-11.io.spdk-ts:cut')).length === 0;
    });
    expect(target.target.output.slice(from)).toMatch(/nqn.2026-11.io.spdk-ts:cut.* keep alive timeout/);
    // The witness has three connections and what its commands hold.
    await eventually(20, 'its connections are gone', async () => (await used('connections')) === 3);
    await load.stop();
    await eventually(5, 'its buffers are free', async () => (await used('buffers')) <= buffers);
    const { waiting } = await limits();
    expect(waiting).toEqual({ buffers: 0, bdev_io: 0 });
    await eventually(5, 'its descriptors are closed', () => target.descriptors <= descriptors);
    load.start();
    host.close();
  });

  it('drops a host without keep alive that owes data or takes none, by its stall timeout', async () => {
    const { stall_timeout_ms } = await limits();
    await target.target.rpc('spdk_ts_nvmf_set_limits', { stall_timeout_ms: STALL_MS });
    try {
      const before = (await limits()).dropped_connections;
      const host = await burdened('nqn.2026-11.io.spdk-ts:owing', 0);
      relay.cut();
      // The queue that owes data and the one that takes none; the third owes nothing, and nobody can know that it is cut.
      await eventually(30, 'both are dropped', async () => {
        return (await limits()).dropped_connections === before + 2;
      });
      expect(await used('connections')).toBe(3 + 2);
      await relay.stop();
      host.close();
    } finally {
      await target.target.rpc('spdk_ts_nvmf_set_limits', { stall_timeout_ms });
    }
  });
});

describe.each(implementations)('our host over %s sockets', (implementation) => {
  let bed: HostBed;
  let controller: NvmeController;
  let events: AsyncIterator<{ type: string }>;
  const next = async (): Promise<string | undefined> => {
    let event = (await events.next()).value;
    while (event?.type === 'async-event') event = (await events.next()).value;
    return event?.type;
  };
  const connect = async (options: object): Promise<void> => {
    bed = await HostBed.start(implementation);
    controller = await bed.connect(relay.port, NQN, {
      ...{
        ctrlr_loss_timeout_ms: 60_000,
        reconnect_delay_ms: 50,
        connect_timeout_ms: 1000,
        num_io_queues: 2,
      },
      ...{ hostnqn: 'nqn.2026-11.io.spdk-ts:host', keep_alive_timeout_ms: KATO_MS, ...options },
    });
    events = controller.events[Symbol.asyncIterator]() as AsyncIterator<{ type: string }>;
  };
  const finish = async (): Promise<void> => {
    await controller.close();
    await bed.stop();
    expect(bed.reactor.buffers.used).toBe(0);
  };

  it('that has nothing to do finds out by keep alive, and connects anew when it can', async () => {
    await connect({});
    relay.cut();
    expect(await next()).toBe('disconnected');
    const made = relay.made;
    await eventually(20, 'it tries again', () => relay.made > made + 1);
    relay.mend();
    expect(await next()).toBe('connected');
    expect((await controller.admin.succeed({ opcode: adminOpcode.keepAlive }, {})).status).toBe(0);
    await eventually(20, 'the target has the new association only', async () => {
      return (await mine('nqn.2026-11.io.spdk-ts:host')).length === 1;
    });
    await finish();
  });

  it(`with I/O under way finds out by its timeout, and carries it out when it can (seed ${SEED})`, async () => {
    await connect({ timeout_ms: 500, keep_alive_timeout_ms: 60_000, admin_timeout_ms: 1000 });
    const random = new Random(SEED);
    const qpair = await controller.openIoQueue();
    const from = bed.place(READ_BYTES);
    const to = bed.place(READ_BYTES);
    const data = pattern(READ_BYTES, random.below(1000) + 1);
    bed.memory.set(data, from);
    expect(await bed.write(qpair, 70_000, from, READ_BYTES)).toBe(0);
    relay.cut();
    const [read1, write1] = [
      bed.read(qpair, 70_000, to, READ_BYTES),
      bed.write(qpair, 70_000, from, READ_BYTES),
    ];
    expect(await next()).toBe('disconnected');
    // What was under way has ended, whether or not it was carried out; none of it ends well.
    expect((await Promise.all([read1, write1])).every((status) => status !== 0)).toBe(true);
    relay.mend();
    expect(await next()).toBe('connected');
    await eventually(20, 'the queue takes I/O again', async () => {
      return (await bed.write(qpair, 70_000, from, READ_BYTES)) === 0;
    });
    expect(await bed.read(qpair, 70_000, to, READ_BYTES)).toBe(0);
    expect(Buffer.compare(bed.memory.subarray(to, to + READ_BYTES), data)).toBe(0);
    await finish();
  });
});
