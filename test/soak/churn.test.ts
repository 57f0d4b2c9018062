/** Many hosts that come and go in every way while namespaces, listeners and referrals do too; nothing is left of it. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { Random } from '@spdk-ts/env';
import { adminOpcode, DISCOVERY_NQN, register } from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { pattern, RawHost, read, write } from '../host/index.ts';
import { NQN, TcpTarget } from '../integration/nvmf-tcp-target.ts';
import { freePort, type Json, listenAddress } from '../linux-guest/target.ts';
import { soakSeconds, soakSeed } from './duration.ts';

const HOSTS = 12;
const WANDERERS = 3;
/** Blocks that each host has to itself, and the most of them in one command. */
const BLOCKS = 512;
const BLOCKS_MAX = 64;
const CHURNED = ['Churn0', 'Churn1', 'Churn2'];
const REFERRAL = { trtype: 'TCP', adrfam: 'IPv4', traddr: '192.0.2.1', trsvcid: '8009' };

let target: TcpTarget;
let until = 0;
const goesOn = (): boolean => performance.now() < until;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

beforeAll(async () => {
  target = await TcpTarget.start();
  for (const name of CHURNED) await target.target.createMalloc(name, 1 << 20);
});
afterAll(async () => {
  await target?.stop();
});

/** A host with blocks of its own on namespace 1, which it knows the content of through all its associations. */
class ChurningHost {
  associations = 0;
  resets = 0;
  verified = 0;
  private readonly index: number;
  private readonly random: Random;
  /** The pattern of each block; -1: a write of it was cut off, so it may be the old or the new. */
  private readonly seeds = new Int32Array(BLOCKS).fill(0);
  private written = 0;

  constructor(index: number, seed: number) {
    this.index = index;
    this.random = new Random(seed + index);
  }

  private get hostnqn(): string {
    return `nqn.2014-08.org.nvmexpress:churn${this.index}`;
  }

  async run(): Promise<void> {
    const { random } = this;
    while (goesOn()) {
      const host = await target.host(1 + random.below(3), {
        ...{ hostnqn: this.hostnqn, katoMs: random.below(2) * 15_000 },
      });
      this.associations++;
      for (let i = random.below(4); i >= 0 && goesOn(); i--) {
        await this.work(host);
        if (random.below(3) === 0) await this.reset(host);
      }
      if (random.below(2) === 0) await this.cutOff(host);
      else host.close();
    }
  }

  private range(): { at: number; count: number } {
    const at = this.random.below(BLOCKS);
    return { at, count: 1 + this.random.below(Math.min(BLOCKS_MAX, BLOCKS - at)) };
  }

  private data(at: number, count: number): Buffer {
    const all = Array.from({ length: count }, (_, i) =>
      this.seeds[at + i] === 0 ? Buffer.alloc(512) : pattern(512, this.seeds[at + i]!),
    );
    return Buffer.concat(all);
  }

  private async work(host: RawHost): Promise<void> {
    for (let i = 0; i < 20; i++) {
      const queue = host.queues[this.random.below(host.queues.length)]!;
      const { at, count } = this.range();
      if (this.random.below(2) === 0) {
        this.seeds.fill(++this.written, at, at + count);
        const { status } = await write(queue, this.lba(at), this.data(at, count));
        expect(status, 'write').toBe(0);
      } else if (!this.seeds.subarray(at, at + count).includes(-1)) {
        const back = await read(queue, this.lba(at), count * 512);
        expect(back.status, 'read').toBe(0);
        expect(Buffer.compare(back.data, this.data(at, count)), `host ${this.index}, block ${at}`).toBe(0);
        this.verified++;
      }
    }
  }

  private lba(block: number): number {
    return this.index * BLOCKS + block;
  }

  /** A controller reset with reads under way; the I/O queues end, and are made anew. */
  private async reset(host: RawHost): Promise<void> {
    const queues = host.queues.splice(0);
    const cut = queues.map((queue) => read(queue, this.lba(0), BLOCKS_MAX * 512).catch(() => null));
    await host.setProperty(register.cc, 0);
    while ((await host.property(register.csts)) & 1) await pause(1);
    await Promise.all(cut);
    await Promise.all(queues.map((queue) => queue.stream.closed));
    await host.setProperty(register.cc, 0x46_0001);
    while (!((await host.property(register.csts)) & 1)) await pause(1);
    await host.openQueues(queues.length);
    this.resets++;
  }

  /** The connections break with writes, events and reads under way. */
  private async cutOff(host: RawHost): Promise<void> {
    const gone = host.queues.map((queue) => {
      const { at, count } = this.range();
      this.seeds.fill(-1, at, at + count);
      const data = pattern(count * 512, ++this.written);
      return write(queue, this.lba(at), data).catch(() => null);
    });
    gone.push(host.admin.submit({ opcode: adminOpcode.asyncEventRequest }).catch(() => null));
    if (this.random.below(2) === 0) await pause(this.random.below(5));
    host.close();
    await Promise.all(gone);
    // What was sent may still be carried out: only then may others write there.
    const mine = async () =>
      (await target.target.controllers()).some((of: Json) => of.hostnqn === this.hostnqn);
    while (await mine()) await pause(2);
  }

  /** At the end: what is known is there, read through another association. */
  async check(): Promise<void> {
    const host = await target.host();
    for (let block = 0; block < BLOCKS; block++) {
      if (this.seeds[block] === -1) continue;
      const { data } = await read(host.queues[0]!, this.lba(block), 512);
      expect(Buffer.compare(data, this.data(block, 1)), `host ${this.index}, block ${block}`).toBe(0);
    }
    host.close();
  }
}

/** Discovery controllers that wait for events, and connections that stop at any byte of their first words. */
async function wander(random: Random): Promise<void> {
  while (goesOn()) {
    const socket = connect(target.port, '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.write(Buffer.from([0, 0, 128, 0, 128, 0, 0, 0]).subarray(0, random.below(9)));
    const host = await RawHost.connect({ port: target.port, subnqn: DISCOVERY_NQN });
    const told = host.admin.submit({ opcode: adminOpcode.asyncEventRequest }).catch(() => null);
    for (let i = random.below(5); i >= 0; i--) {
      const cdw10 = 0x70 | (255 << 16);
      const page = await host.admin.submitRead({ opcode: adminOpcode.getLogPage, cdw10, psdt: 1 }, 1024);
      expect([page.status, page.data.readUInt32LE(8) >= 1]).toEqual([0, true]);
      await Promise.race([told, pause(random.below(50))]);
    }
    host.close();
    await told;
    socket.destroy();
  }
}

/** Namespaces, a second listener and a referral that come and go. Returns how often. */
async function rearrange(random: Random, secondPort: number): Promise<number> {
  const { target: process } = target;
  const there = new Map<string, number>();
  const second = { nqn: NQN, listen_address: listenAddress(secondPort) };
  let listens = false;
  let refers = false;
  let changes = 0;
  const change = async (what: number): Promise<void> => {
    changes++;
    const name = CHURNED[what];
    if (name !== undefined) {
      const nsid = there.get(name);
      if (nsid === undefined)
        there.set(
          name,
          await process.rpc('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: name } }),
        );
      else {
        await process.rpc('nvmf_subsystem_remove_ns', { nqn: NQN, nsid });
        there.delete(name);
      }
    } else if (what === CHURNED.length) {
      await process.rpc(`nvmf_subsystem_${listens ? 'remove' : 'add'}_listener`, second);
      listens = !listens;
    } else {
      await process.rpc(`nvmf_discovery_${refers ? 'remove' : 'add'}_referral`, { address: REFERRAL });
      refers = !refers;
    }
  };
  while (goesOn()) {
    await change(random.below(CHURNED.length + 2));
    await pause(random.below(40));
  }
  for (const name of [...there.keys()]) await change(CHURNED.indexOf(name));
  if (listens) await change(CHURNED.length);
  if (refers) await change(CHURNED.length + 1);
  return changes;
}

/** Every counter of what there is now that is not zero, but for what stands still. */
async function leftovers(): Promise<string[]> {
  const { limits, waiting } = await target.target.rpc('spdk_ts_nvmf_get_limits');
  const stats = await target.target.rpc('nvmf_get_stats');
  const standing = new Set(['subsystems', 'listeners', 'namespaces', 'hosts']);
  const found = limits
    .filter(({ name, current }: { name: string; current: number }) => current !== 0 && !standing.has(name))
    .map(({ name, current }: { name: string; current: number }) => `${name} ${current}`);
  for (const [name, value] of Object.entries(waiting))
    if (value !== 0) found.push(`waiting ${name} ${value}`);
  for (const group of stats.poll_groups)
    for (const name of [
      'current_admin_qpairs',
      'current_io_qpairs',
      'current_unassociated_qpairs',
      'pending_bdev_io',
    ])
      if (group[name]) found.push(`${name} ${group[name]} of ${group.name}`);
  return found;
}

it('leaves no counter, descriptor or byte behind', { timeout: (soakSeconds + 120) * 1000 }, async () => {
  const seed = soakSeed;
  console.log(`LOAD_SEED=${seed}`);
  await target.expectService();
  const descriptors = target.descriptors;
  const secondPort = await freePort();
  const hosts = Array.from({ length: HOSTS }, (_, i) => new ChurningHost(i, seed));
  const rounds = async (seconds: number): Promise<number> => {
    until = performance.now() + seconds * 1000;
    const wanderers = Array.from({ length: WANDERERS }, (_, i) => wander(new Random(seed + 1000 + i)));
    const rearranging = rearrange(new Random(seed + 2000), secondPort);
    await Promise.all([...hosts.map((host) => host.run()), ...wanderers]);
    return await rearranging;
  };
  // Half of the time first: what is warm then must not grow any more.
  await rounds(soakSeconds / 2);
  const before = target.resident;
  const changes = await rounds(soakSeconds / 2);
  for (const host of hosts) await host.check();
  let left = await leftovers();
  for (let i = 0; i < 200 && left.length > 0; i++) {
    await pause(50);
    left = await leftovers();
  }
  expect(left).toEqual([]);
  expect(await target.target.controllers()).toEqual([]);
  expect(target.descriptors).toBeLessThanOrEqual(descriptors);
  expect(target.resident).toBeLessThan(before + 48 * 1024 * 1024);
  const sum = (key: 'associations' | 'resets' | 'verified'): number =>
    hosts.reduce((total, host) => total + host[key], 0);
  console.log(
    `${sum('associations')} associations, ${sum('resets')} resets, ${changes} changes, ${sum('verified')} reads verified`,
  );
  expect(Math.min(sum('associations'), sum('resets'), changes, sum('verified'))).toBeGreaterThan(HOSTS);
});
