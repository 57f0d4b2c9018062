// How many I/Os a second one reactor puts through the block device layer: null, and malloc with blocks of 512 bytes.
// Build first; then: node packages/bdev/bench/bdev-loop.mjs [seconds per case]
// Cases alternate over several rounds, because two virtual cores drift; the median of a case is what to read.

import { BdevRegistry, bdevReactorEntry, getBdevService, IoStatus, IoType } from '@spdk-ts/bdev';
import malloc from '@spdk-ts/bdev-malloc';
import nullModule from '@spdk-ts/bdev-null';
import { systemClock } from '@spdk-ts/env';
import { LocalHost } from '@spdk-ts/reactor';

const seconds = Number(process.argv[2] ?? 0.5);
const only = process.argv[3];
const ROUNDS = 5;
const clock = systemClock();
const load = async (url) => (await import(url)).default;
const plugins = await Promise.all([bdevReactorEntry, nullModule.reactorEntry, malloc.reactorEntry].map(load));
const pool = { small_count: 4096, small_bytes: 8192, large_count: 32, large_bytes: 135168 };
const host = await LocalHost.start({ clock, plugins, pool });
const bdevs = new BdevRegistry(host);
const handlers = new Map();
const rpc = { register: (name, handler) => handlers.set(name, handler) };
await nullModule.setup({ host, bdevs, rpc });
await malloc.setup({ host, bdevs, rpc });
await handlers.get('bdev_null_create')({ name: 'Null0', block_size: 512, num_blocks: 2 ** 30 });
await handlers.get('bdev_malloc_create')({ name: 'Malloc0', block_size: 512, num_blocks: 2 ** 17 });

const reactor = host.local[0];
const thread = reactor.threads[0];
const service = getBdevService(reactor);

/** Keeps `depth` I/Os in flight, each starting the next, `burst` blocks apart so that caches cannot help much. */
class Load {
  constructor(name, type, depth, inPlace, reuse) {
    const description = bdevs.get(name);
    this.channel = service.getChannel(description.id, thread);
    this.blocks = description.num_blocks;
    this.type = type;
    this.inPlace = inPlace;
    this.reuse = reuse;
    this.depth = depth;
    this.done = 0;
    this.next = 0;
    this.running = false;
    this.inflight = 0;
    this.buffers = Array.from({ length: depth }, () => reactor.buffers.get(4096));
    this.bufferRegion = reactor.buffers.region;
  }
  start(index) {
    const io = this.channel.getIo();
    io.type = this.type;
    io.owner = this;
    io.ownerIndex = index;
    this.send(io, index);
  }
  send(io, index) {
    io.offset_blocks = this.next;
    io.num_blocks = 1;
    this.next = (this.next + 7919) & (this.blocks - 1);
    if (this.inPlace) io.region = -1;
    else {
      io.region = this.bufferRegion;
      io.offset = this.buffers[index];
      io.length = 512;
    }
    this.inflight++;
    if (this.channel.submit(io) !== 0) throw new Error('not submitted');
  }
  bdevIoDone(io) {
    if (io.status !== IoStatus.SUCCESS) throw new Error(`status ${io.status}`);
    this.done++;
    this.inflight--;
    const index = io.ownerIndex;
    if (this.running && this.reuse) {
      this.send(io, index);
      return;
    }
    io.free();
    if (this.running) this.start(index);
  }
  run() {
    this.done = 0;
    this.running = true;
    for (let i = 0; i < this.depth; i++) this.start(i);
    const start = clock.now();
    let now = start;
    const end = start + seconds * 1e9;
    while (now < end) {
      for (let i = 0; i < 16; i++) {
        now = clock.now();
        reactor.pollOnce(now);
      }
    }
    const rate = this.done / ((now - start) / 1e3);
    this.running = false;
    while (this.inflight > 0) reactor.pollOnce(clock.now());
    return rate;
  }
}

const cases = {
  'null read': new Load('Null0', IoType.READ, 128, false, false),
  'null read, I/O reused': new Load('Null0', IoType.READ, 128, false, true),
  'null read in place': new Load('Null0', IoType.READ, 128, true, false),
  'null read, depth 1': new Load('Null0', IoType.READ, 1, false, false),
  'malloc 512 B read': new Load('Malloc0', IoType.READ, 128, false, false),
  'malloc 512 B read in place': new Load('Malloc0', IoType.READ, 128, true, false),
  'malloc 512 B write': new Load('Malloc0', IoType.WRITE, 128, false, false),
};
const rates = Object.fromEntries(Object.keys(cases).map((name) => [name, []]));
for (let round = 0; round < ROUNDS; round++)
  for (const [name, load] of Object.entries(cases))
    if (!only || new RegExp(only).test(name)) rates[name].push(load.run());
for (const [name, list] of Object.entries(rates)) {
  if (list.length === 0) continue;
  const sorted = [...list].sort((a, b) => a - b);
  const median = sorted[sorted.length >> 1];
  console.log(
    `${name.padEnd(28)} ${median.toFixed(2).padStart(7)} M IO/s  (${sorted[0].toFixed(2)} … ${sorted.at(-1).toFixed(2)})`,
  );
}
for (const { channel } of Object.values(cases)) channel.put();
for (const { name } of bdevs.list()) await bdevs.unregister(name);
host.poll();
