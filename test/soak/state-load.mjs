/**
 * A process that keeps state in a file until it is killed: `node state-load.mjs OPTIONS`, JSON of
 * `{ kind: 'kv' | 'zones', filename, log, seed, uring }`. First it writes down what it finds, then what it does: each
 * operation before it is submitted and when it has ended. The log is a file, of which a kill takes nothing back.
 */
import { openSync, writeSync } from 'node:fs';
import {
  BdevRegistry,
  bdevReactorEntry,
  getBdevService,
  getZoneInfo,
  IoStatus,
  IoType,
  KvStatus,
  ZoneReport,
  zoneAppend,
  zoneManagement,
} from '@spdk-ts/bdev';
import file from '@spdk-ts/bdev-file';
import kv from '@spdk-ts/bdev-kv';
import zoneBlock from '@spdk-ts/bdev-zone-block';
import { Random, systemClock } from '@spdk-ts/env';
import { LocalHost } from '@spdk-ts/reactor';
import { RpcServer } from '@spdk-ts/rpc';
import { registerSchema } from '@spdk-ts/rpc-schema';
import { ZoneAction } from '@spdk-ts/zones';

const { kind, filename, log, seed, uring } = JSON.parse(process.argv[2]);
const random = new Random(seed);
const logFile = openSync(log, 'a');
const say = (...words) => void writeSync(logFile, `${words.join(' ')}\n`);

const BLOCK = 512;
const DEPTH = 12;
const AREA_BYTES = 16 * 1024;
const modules = [file, kv, zoneBlock];

const plugins = [];
for (const entry of [bdevReactorEntry, ...modules.map(({ reactorEntry }) => reactorEntry)])
  plugins.push((await import(entry)).default);
const host = await LocalHost.start({ clock: systemClock(), plugins, uring, count: 2 });
const bdevs = new BdevRegistry(host, { bdev_io_pool_size: 1024 });
const rpc = new RpcServer();
for (const module of modules) {
  registerSchema(...module.methods);
  await module.setup({ host, bdevs, rpc });
}

async function poll() {
  for (let i = 0; i < 4; i++) host.poll();
  await new Promise((resolve) => setImmediate(resolve));
}
async function call(method, params) {
  let over = false;
  const answer = rpc.call(method, params).finally(() => {
    over = true;
  });
  answer.catch(() => {});
  while (!over) await poll();
  return await answer;
}

await call('bdev_file_create', { name: 'Disk', filename, block_size: BLOCK });
if (kind === 'kv') await call('bdev_kv_create', { name: 'Top', base_bdev_name: 'Disk', max_value_len: 3000 });
else
  await call('bdev_zone_block_create', {
    ...{ name: 'Top', base_bdev: 'Disk', zone_capacity: 24, optimal_open_zones: 1 },
  });

const description = bdevs.get('Top');
const channels = host.local.map((reactor, index) => {
  const thread = reactor.threads[0] ?? reactor.createThread(`load_${index}`);
  return getBdevService(reactor).getChannel(description.id, thread);
});
const region = host.allocateRegionId();
const memory = new Uint8Array(new SharedArrayBuffer(DEPTH * AREA_BYTES));
for (const reactor of host.local) reactor.regions.add(region, memory);
const areas = Array.from({ length: DEPTH }, (_, at) => at * AREA_BYTES);
const words = new Int32Array(memory.buffer);

let inflight = 0;
let operations = 0;
/** Submits with `submit(channel, owner)`, which returns an errno; `ended` has the I/O for a moment. */
function start(submit, ended) {
  const owner = {
    bdevIoDone(io) {
      inflight--;
      ended(io);
      io.free();
    },
  };
  inflight++;
  const result = submit(channels[random.below(2)], owner);
  if (result !== 0) throw new Error(`an I/O was refused with errno ${result}`);
}
async function finished() {
  while (inflight > 0) await poll();
}
function flush(ended) {
  start((channel, owner) => channel.flushBlocks(0, kind === 'kv' ? 0 : channel.num_blocks, owner), ended);
}

// --- keys: the value of number id has id in its first 4 bytes, and the rest follows from it ---

const KEYS = 40;
const VALUE_BYTES_MAX = 3000;

function fill(at, id, bytes) {
  for (let i = 0; i < bytes; i++) memory[at + i] = (id >>> ((i & 3) * 8)) ^ (i >>> 2);
  for (let i = 0; i < 4; i++) memory[at + i] = id >>> (i * 8);
}
function holds(at, id, bytes) {
  const found = memory.slice(at, at + bytes);
  fill(at, id, bytes);
  return Buffer.compare(found, memory.subarray(at, at + bytes)) === 0;
}
function keyIo(channel, owner, key) {
  const io = channel.getIo();
  const name = Buffer.from(`key${key}`);
  io.setKey(name, 0, name.length);
  io.owner = owner;
  return io;
}

async function tellKeys() {
  for (let key = 0; key < KEYS; key++) {
    const [at] = areas;
    start(
      (channel, owner) => channel.kvRetrieve(keyIo(channel, owner, key), region, at, AREA_BYTES),
      ({ status, sc, cdw0 }) => {
        if (status === IoStatus.NVME_ERROR && sc === KvStatus.KEY_DOES_NOT_EXIST) say('v', key, 0, 0);
        else if (status !== IoStatus.SUCCESS) say('wrong', `key ${key}: status ${status}, sc ${sc}`);
        else {
          const id = words[at / 4];
          if (holds(at, id, cdw0)) say('v', key, id, cdw0);
          else say('wrong', `key ${key} holds a torn value of ${cdw0} bytes`);
        }
      },
    );
    await finished();
  }
}

const busy = new Set();
function changeKey(ids) {
  const key = random.below(KEYS);
  if (busy.has(key)) return;
  busy.add(key);
  const removes = random.below(5) === 0;
  const id = removes ? 0 : ids.next();
  const bytes = removes ? 0 : 4 + random.below(VALUE_BYTES_MAX - 4);
  const at = areas.pop();
  if (!removes) fill(at, id, bytes);
  const number = ++operations;
  say('b', number, key, id, bytes);
  start(
    (channel, owner) => {
      const io = keyIo(channel, owner, key);
      io.fua = random.below(6) === 0;
      return removes ? channel.kvDelete(io) : channel.kvStore(io, region, at, bytes);
    },
    ({ status, sc }) => {
      say('e', number, status, status === IoStatus.NVME_ERROR ? sc : 0);
      areas.push(at);
      busy.delete(key);
    },
  );
}

// --- zones: every word of a block is the block's number ---

const ZONES = 6;
const SIZE = 32;

async function tellZones() {
  const report = new ZoneReport(ZONES);
  start(
    (channel, owner) => getZoneInfo(channel, 0, ZONES, report, owner),
    ({ status }) => status !== IoStatus.SUCCESS && say('wrong', `the report ended with ${status}`),
  );
  await finished();
  for (let zone = 0; zone < ZONES; zone++) {
    const [at] = areas;
    start(
      (channel, owner) => channel.readBlocks(region, at, zone * SIZE, SIZE, owner),
      ({ status }) => status !== IoStatus.SUCCESS && say('wrong', `a read ended with ${status}`),
    );
    await finished();
    const blocks = Array.from({ length: SIZE }, (_, block) => {
      const first = (at + block * BLOCK) / 4;
      const all = words.subarray(first, first + BLOCK / 4);
      return all.every((word) => word === all[0]) ? all[0] : -1;
    });
    const { state, write_pointer } = report.get(zone);
    say('z', zone, state, write_pointer - zone * SIZE, ...blocks);
  }
}

/** What is under way in each zone. */
const zones = Array.from({ length: ZONES }, () => ({ writes: 0, changing: false }));
function append(at, zone, ids) {
  const blocks = 1 + random.below(6);
  const area = areas.pop();
  const number = ++operations;
  const first = ids.next();
  for (let i = 1; i < blocks; i++) ids.next();
  for (let i = 0; i < blocks; i++)
    words.fill(first + i, (area + i * BLOCK) / 4, (area + (i + 1) * BLOCK) / 4);
  const fua = random.below(4) === 0;
  zone.writes++;
  say('a', number, at, first, blocks, fua ? 1 : 0);
  start(
    (channel, owner) => {
      if (!fua) return zoneAppend(channel, region, area, at * SIZE, blocks, owner);
      const io = channel.getIo();
      Object.assign(io, { type: IoType.ZONE_APPEND, offset_blocks: at * SIZE, num_blocks: blocks });
      Object.assign(io, { region, offset: area, length: blocks * BLOCK, fua, owner });
      return channel.submit(io);
    },
    ({ status, append_location }) => {
      say('e', number, status, append_location - at * SIZE);
      zone.writes--;
      areas.push(area);
    },
  );
}
function change(at, zone) {
  const what = random.below(4) === 0 ? 'finish' : 'reset';
  const number = ++operations;
  zone.changing = true;
  say('c', number, at, what);
  const action = what === 'finish' ? ZoneAction.FINISH : ZoneAction.RESET;
  start(
    (channel, owner) => zoneManagement(channel, at * SIZE, action, owner),
    ({ status }) => {
      say('e', number, status, 0);
      zone.changing = false;
    },
  );
}
function changeZone(ids) {
  const at = random.below(ZONES);
  const zone = zones[at];
  if (zone.changing) return;
  if (random.below(8) > 0) append(at, zone, ids);
  else if (zone.writes === 0) change(at, zone);
}

// --- the process's life ---

say('found');
await (kind === 'kv' ? tellKeys() : tellZones());
say('ready');
const ids = { last: JSON.parse(process.argv[2]).first_id, next: () => ++ids.last };
for (;;) {
  while (inflight >= DEPTH - 1) await poll();
  if (random.below(10) === 0) {
    const number = ++operations;
    say('f', number);
    flush(({ status }) => say('e', number, status, 0));
  } else if (kind === 'kv') changeKey(ids);
  else changeZone(ids);
  for (let polls = random.below(4); polls > 0; polls--) host.poll();
  if (random.below(16) === 0) await poll();
}
