// The target is killed while requests are under way, started again from its saved configuration, and takes them up again: every
// request comes back once, and every block holds what was written last. VHOST_SEED replays a run.
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Random } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import { afterEach, describe, expect, it } from 'vitest';
import { FrontEnd, type Made, Status, Type, until } from '../vhost/front-end.ts';
import { pattern, startVhostTarget, type VhostTarget } from '../vhost/setup.ts';
import { cleanUp, temporaryDirectory } from './app-process.ts';

const BLOCK = 4096;
const SLOTS = 200;
const DEPTH = 20;
const seed = Number(process.env['VHOST_SEED'] ?? (Math.random() * 2 ** 31) | 0);

/** A write that is under way: the slot that it is for, and what it brings. */
interface Write {
  readonly made: Made;
  readonly slot: number;
  readonly version: number;
}

/** Writes to slots of a block each, many at once, never two to the same, and knows what each must hold. */
class Load {
  readonly vm: FrontEnd;
  readonly random: Random;
  readonly outstanding = new Map<number, Write>();
  readonly versions = new Array<number>(SLOTS).fill(0);
  completed = 0;
  private readonly buffers: number[] = [];
  private version = 0;
  private area: DataView | null = null;

  constructor(vm: FrontEnd, random: Random) {
    this.vm = vm;
    this.random = random;
    for (let i = 0; i < DEPTH; i++) this.buffers.push(vm.ram.allocate(BLOCK + 4096, 4096));
  }

  private begin(): void {
    const busy = new Set([...this.outstanding.values()].map(({ slot }) => slot));
    let slot = this.random.below(SLOTS);
    while (busy.has(slot)) slot = (slot + 1) % SLOTS;
    const at = this.buffers.pop()!;
    const { ram, rings } = this.vm;
    const version = ++this.version;
    ram.bytes.set(pattern(version, BLOCK), at);
    ram.view.setUint32(at + BLOCK, Type.OUT, true);
    ram.setU64(at + BLOCK + 8, slot * (BLOCK / 512));
    const status = at + BLOCK + 16;
    ram.bytes[status] = 0xff;
    const chain = [
      { address: ram.address(at + BLOCK), length: 16, write: false },
      { address: ram.address(at), length: BLOCK, write: false },
      { address: ram.address(status), length: 1, write: true },
    ];
    const id = rings[0]!.driver.push(chain, false);
    const made = { ring: rings[0]!, id, data: at, bytes: BLOCK, status };
    this.outstanding.set(id, { made, slot, version });
  }

  /** Takes what has come back, and makes as many new ones if `more`. */
  step(more: boolean): void {
    const [ring] = this.vm.rings;
    for (const { id } of ring!.driver.take()) {
      const write = this.outstanding.get(id);
      if (write === undefined) throw new Error(`chain ${id} came back, and is not under way: it came twice`);
      this.outstanding.delete(id);
      expect(this.vm.ram.bytes[write.made.status]).toBe(Status.OK);
      this.versions[write.slot] = write.version;
      this.buffers.push(write.made.data);
      this.completed++;
    }
    if (!more) return;
    while (this.outstanding.size < DEPTH) this.begin();
    this.vm.kick(ring!);
  }

  /** Requests that the target has noted as under way. */
  noted(packed: boolean): number {
    const entry = packed ? 32 : 16; // as long as the header before them
    this.area ??= new DataView(native!.mapDescriptor(this.vm.inflight!.fd, 0, entry * 65, 1));
    let count = 0;
    for (let i = 1; i <= 64; i++) count += this.area.getUint8(entry * i);
    return count;
  }
}

afterEach(cleanUp);

describe.skipIf(native === null)('a target that is killed (needs the addon)', () => {
  it.each([
    ['split', false],
    ['packed', true],
  ])('takes up again what was under way (%s rings)', async (_, packed) => {
    console.log(`VHOST_SEED=${seed}`);
    const random = new Random(seed);
    const directory = temporaryDirectory();
    const file = join(directory, 'data');
    writeFileSync(file, '');
    truncateSync(file, SLOTS * BLOCK);
    const config = join(directory, 'config.json');
    let target = await startVhostTarget([], directory);
    const { rpc } = target;
    await rpc.call('bdev_aio_create', { name: 'File', filename: file, block_size: 512 });
    // A while in the target for each request: some are always under way.
    const latency = {
      avg_read_latency: 0,
      p99_read_latency: 0,
      avg_write_latency: 2000,
      p99_write_latency: 6000,
    };
    await rpc.call('bdev_delay_create', { name: 'Slow', base_bdev_name: 'File', ...latency });
    await rpc.call('vhost_create_blk_controller', { ctrlr: 'disk', dev_name: 'Slow', packed_ring: packed });
    const subsystems = await Promise.all(
      ['bdev', 'vhost_blk'].map(async (name) => ({
        subsystem: name,
        config: await rpc.call('framework_get_config', { name }),
      })),
    );
    writeFileSync(config, JSON.stringify({ subsystems }));
    const vm = await FrontEnd.start(target.socket('disk'), { packed, inflight: true });
    const load = new Load(vm, random);

    let recovered = 0;
    for (let kill = 0; kill < 6; kill++) {
      const goal = load.completed + 30 + random.below(200);
      await until('requests come back', () => {
        load.step(true);
        return (load.completed >= goal && load.noted(packed) > 4) || undefined;
      });
      target.process.child.kill('SIGKILL');
      await target.process.ended;
      load.step(false);
      recovered += load.noted(packed);
      target = await restart(target, config);
      await vm.reconnect(target.socket('disk'));
      // Without new ones: those from before the kill come back by themselves.
      if (kill % 2 === 0)
        await until('all come back', () => {
          load.step(false);
          return load.outstanding.size === 0 || undefined;
        });
    }
    await until('all come back', () => {
      load.step(false);
      return load.outstanding.size === 0 || undefined;
    });
    expect(recovered).toBeGreaterThan(0);
    for (const [slot, version] of load.versions.entries()) {
      if (version === 0) continue;
      const { data, status } = await vm.io(Type.IN, slot * (BLOCK / 512), BLOCK, { indirect: false });
      expect([slot, status, Buffer.compare(data, pattern(version, BLOCK))]).toEqual([slot, Status.OK, 0]);
    }
    vm.close();
  });
});

async function restart(old: VhostTarget, config: string): Promise<VhostTarget> {
  old.rpc.close();
  return await startVhostTarget(['--json', config], old.directory);
}
