/**
 * The target is killed with -9 under load, again and again, and started anew on the same file. What a flush was
 * acknowledged for must be there; of what came later, each block is old or new, never anything else.
 */
import { Random } from '@spdk-ts/env';
import { nvmOpcode } from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { RawHost, type RawQueue, read, write } from '../host/index.ts';
import { freePort, type Json, Target } from '../linux-guest/target.ts';
import { soakKills, soakSeed } from './duration.ts';

const NQN = 'nqn.2026-11.io.spdk-ts:kill';
const BLOCK = 512;
const SLOT_BLOCKS = 8;
const SLOTS = 64;
const QUEUES = 4;
/** Commands outstanding on a queue. */
const LANES = 4;

/** One place of the disk: versions that were sent, and the last that was acknowledged, and flushed. */
interface Slot {
  issued: number;
  acknowledged: number;
  flushed: number;
}
const slots: Slot[] = Array.from({ length: SLOTS }, () => ({ issued: 0, acknowledged: 0, flushed: 0 }));

const random = new Random(soakSeed);
let target: Target;
let config: Json;
let port: number;
const totals = { writes: 0, flushes: 0, kills: 0 };

beforeAll(async () => {
  console.log(`LOAD_SEED=${soakSeed}`);
  target = await Target.start();
  port = await freePort();
  await target.createFileBdev('Disk', SLOTS * SLOT_BLOCKS * BLOCK, BLOCK);
  await target.export(NQN, ['Disk'], port);
  config = await target.config();
});
afterAll(async () => {
  console.log(`${totals.kills} kills, ${totals.writes} writes, ${totals.flushes} flushes`);
  await target?.dispose();
});

/** A version's data: every block tells where it belongs and which version it is of. */
function content(slot: number, version: number): Buffer {
  const data = Buffer.alloc(SLOT_BLOCKS * BLOCK, version & 0xff);
  for (let block = 0; block < SLOT_BLOCKS; block++) {
    data.writeUInt32LE(slot * SLOT_BLOCKS + block, block * BLOCK);
    data.writeUInt32LE(version, block * BLOCK + 4);
  }
  return data;
}

/** Writes slots that are its own and flushes now and then, until the connection breaks. */
async function lane(queue: RawQueue, own: number[]): Promise<void> {
  for (;;) {
    const index = own[random.below(own.length)]!;
    const slot = slots[index]!;
    const version = ++slot.issued;
    const written = await write(queue, index * SLOT_BLOCKS, content(index, version));
    expect(written.status).toBe(0);
    slot.acknowledged = version;
    totals.writes++;
    if (random.below(8) !== 0) continue;
    // A flush covers what was acknowledged before it was sent.
    const covered = own.map((one) => slots[one]!.acknowledged);
    const flushed = await queue.submit({ opcode: nvmOpcode.flush, nsid: 1, psdt: 1 });
    expect(flushed.status).toBe(0);
    own.forEach((one, i) => {
      slots[one]!.flushed = covered[i]!;
    });
    totals.flushes++;
  }
}

async function connectHost(): Promise<RawHost> {
  const host = await RawHost.connect({ port, subnqn: NQN });
  await host.setQueueCount(QUEUES);
  await host.openQueues(QUEUES);
  return host;
}

/** Load until the target is killed, after a random time. Resolves when every lane has noticed. */
async function loadUntilKilled(): Promise<void> {
  const host = await connectHost();
  const lanes = host.queues.flatMap((queue, q) =>
    Array.from({ length: LANES }, (_, i) => {
      const first = q * LANES + i;
      const own = slots.map((_, index) => index).filter((index) => index % (QUEUES * LANES) === first);
      return lane(queue, own);
    }),
  );
  const ended = Promise.allSettled(lanes);
  const before = totals.writes;
  while (totals.writes - before < 20) await new Promise((resolve) => setTimeout(resolve, 1));
  await new Promise((resolve) => setTimeout(resolve, random.below(150)));
  await target.kill();
  for (const result of await ended)
    expect(String((result as PromiseRejectedResult).reason)).toContain('connection closed');
  host.close();
}

async function verify(): Promise<void> {
  const host = await connectHost();
  for (const [index, slot] of slots.entries()) {
    const { data, status } = await read(host.queues[0]!, index * SLOT_BLOCKS, SLOT_BLOCKS * BLOCK);
    expect(status).toBe(0);
    for (let block = 0; block < SLOT_BLOCKS; block++) {
      const one = data.subarray(block * BLOCK, (block + 1) * BLOCK);
      const version = one.readUInt32LE(4);
      const where = `slot ${index}, block ${block}, after kill ${totals.kills}`;
      expect(version, where).toBeGreaterThanOrEqual(slot.flushed);
      expect(version, where).toBeLessThanOrEqual(slot.issued);
      const wanted = version === 0 ? Buffer.alloc(BLOCK) : content(index, version);
      const at = version === 0 ? 0 : block * BLOCK;
      expect(Buffer.compare(one, wanted.subarray(at, at + BLOCK)), where).toBe(0);
    }
    // What is not flushed may be of any version since: write it anew, so that the next round starts clean.
    const version = ++slot.issued;
    expect((await write(host.queues[0]!, index * SLOT_BLOCKS, content(index, version))).status).toBe(0);
    slot.acknowledged = version;
  }
  host.close();
}

it(`keeps what was flushed through ${soakKills} kills`, { timeout: soakKills * 20_000 }, async () => {
  for (let round = 0; round < soakKills; round++) {
    await loadUntilKilled();
    totals.kills++;
    target = await target.replaceBy(config);
    await verify();
  }
  expect(totals.flushes).toBeGreaterThan(0);
  expect(await target.stop(), target.output).toBe(0);
});
