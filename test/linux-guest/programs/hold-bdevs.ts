/**
 * Runs in the guest: holds bdevs over its devices to what every bdev must do (test/bdev), or to the model of zoned ones.
 *
 *     hold-bdevs.js SEED JSON
 *
 * JSON is a list of {@link Held}. Prints what was held to what, and how long it took; ends with 1 if anything was wrong.
 */
import { type BdevControlPlugin, type BdevIo, IoStatus } from '@spdk-ts/bdev';
import { setLogWriter } from '@spdk-ts/log';
import { ZoneAction, ZoneState } from '@spdk-ts/zones';
import { ZoneUser, zonesAgainstModel } from '../../../packages/bdev-modules/test/zoned.ts';
import { type BdevCall, Bench } from '../../bdev/bench.ts';
import { same } from '../../bdev/checks/check.ts';
import { checks } from '../../bdev/checks/index.ts';
import type { Subject } from '../../bdev/subject.ts';
import { Trial } from '../../bdev/trial.ts';

/** A bdev to be held to something. */
export interface Held {
  readonly title: string;
  /** The call that makes it. */
  readonly call: BdevCall;
  /** Fields of its description, and of `driver_specific` of its module, that must be so. */
  readonly expect?: Record<string, unknown>;
  /** Titles of checks, as a regular expression. Absent: it is zoned. */
  readonly checks?: string;
  /** Zoned: blocks of a zone that can be written. */
  readonly zone_capacity?: number;
  /** Zoned: it takes so many active zones, and no model is asked. */
  readonly max_active_zones?: number;
}

/** A read beside a write under way passes through the page cache of the host that emulates the disk. */
const promises = { data: true, unmapped: 'anything', mixes: true } as const;
const seed = Number(process.argv[2]);
const list = JSON.parse(process.argv[3]!) as Held[];
const log: string[] = [];
setLogWriter((line) => void log.push(line));

const modules: BdevControlPlugin[] = [];
for (const name of ['aio', 'uring', 'xnvme'])
  modules.push(((await import(`@spdk-ts/bdev-${name}`)) as { default: BdevControlPlugin }).default);

function look(bench: Bench, { call, expect = {} }: Held): void {
  const description = bench.bdevs.get(String(call.params!['name']))!;
  const { driver_specific } = bench.bdevs.info(description);
  const facts = { ...description, ...(Object.values(driver_specific)[0] as object) } as Record<
    string,
    unknown
  >;
  for (const [name, value] of Object.entries(expect)) same(name, facts[name], value);
}

async function holdToChecks(held: Held): Promise<void> {
  const { title, call } = held;
  const subject: Subject = { title, kind: 'blocks', calls: [call], promises, uring: true };
  const pattern = new RegExp(held.checks!);
  const bench = await Bench.start(modules, true);
  for (const check of checks.blocks.filter((known) => pattern.test(known.title))) {
    const start = performance.now();
    const trial = await Trial.open(bench, subject, { seed, runs: 1 });
    look(bench, held);
    if ((check.unneeded?.(trial) ?? '') === '') await check.run(trial);
    await trial.close();
    console.log(`  ${check.title}: ${Math.round(performance.now() - start)} ms`);
  }
  await bench.stop();
}

/** As many zones as may be are made active, and one more. */
async function fillActive(user: ZoneUser, zone_size: number, most: number): Promise<void> {
  same('reset of all', await user.manageAll(ZoneAction.RESET), 0);
  for (let zone = 0; zone < most; zone++) same('write', await user.write(zone * zone_size, [1]), 0);
  same('write to one zone too many', await user.write(most * zone_size, [1]), 0xbd);
  same('append to it', (await user.append(most * zone_size, [1]))[0], 0xbd);
  same('finish', await user.manage(0, ZoneAction.FINISH), 0);
  same('write to it then', await user.write(most * zone_size, [2]), 0);
  same('offline', (await user.manage(0, ZoneAction.OFFLINE)) === 0, false);
}

async function holdToZones(held: Held): Promise<void> {
  const start = performance.now();
  const bench = await Bench.start(modules, true);
  const { call, zone_capacity = 0, max_active_zones = 0 } = held;
  const name = String((await bench.call(call.method, call.params)) as string);
  look(bench, held);
  const description = bench.bdevs.get(name)!;
  const channel = bench.channel(description, 0);
  const user = new ZoneUser(bench.reactor(0), channel, bench.host.allocateRegionId(), () => bench.poll());
  const { zone_size } = description;
  if (max_active_zones > 0) await fillActive(user, zone_size, max_active_zones);
  else {
    await zonesAgainstModel(user, zone_capacity, { numRuns: 3 });
    await manageZones(user, zone_size);
    await writeAtOnce(bench, user, zone_size);
  }
  channel.put();
  await bench.call(call.method.replace('_create', '_delete'), { name });
  await bench.stop();
  console.log(`  zones: ${Math.round(performance.now() - start)} ms`);
}

/** Many writes are given at once to each of two zones, by channels of two reactors, in order. */
async function writeAtOnce(bench: Bench, user: ZoneUser, zone_size: number): Promise<void> {
  const { description } = user.channel.device;
  const { block_size } = description;
  const count = 24;
  same('reset of all', await user.manageAll(ZoneAction.RESET), 0);
  const statuses: number[] = [];
  const owner = {
    bdevIoDone(io: BdevIo) {
      statuses.push(io.status);
      io.free();
    },
  };
  const channels = [0, 1].map((reactor) => bench.channel(description, reactor));
  for (const [index, channel] of channels.entries()) {
    const { region, bytes } = bench.reactor(index).buffers;
    for (let i = 0; i < count; i++) {
      bytes.fill(index * 100 + i, i * block_size, (i + 1) * block_size);
      same('submit', channel.writeBlocks(region, i * block_size, index * zone_size + i, 1, owner), 0);
    }
  }
  await bench.until('the writes to end', () => statuses.length === 2 * count);
  for (const channel of channels) channel.put();
  same('writes at once', statuses, new Array(2 * count).fill(IoStatus.SUCCESS));
  for (const zone of [0, 1]) {
    const written = Array.from({ length: count }, (_, i) => zone * 100 + i);
    same('what they wrote', await user.read(zone * zone_size, count), written);
  }
}

/** What the model does not do: opening, closing, writes at the wrong place. */
async function manageZones(user: ZoneUser, zone_size: number): Promise<void> {
  const { EMPTY, EXPLICIT_OPEN, IMPLICIT_OPEN, CLOSED, FULL } = ZoneState;
  same('reset of all', await user.manageAll(ZoneAction.RESET), 0);
  same('open', await user.manage(zone_size, ZoneAction.OPEN), 0);
  same('write behind the pointer', await user.write(zone_size + 1, [1]), 0xbc);
  same('write', await user.write(0, [1, 2, 3]), 0);
  same('append', await user.append(2 * zone_size, [9]), [0, 2 * zone_size]);
  same('close', await user.manage(2 * zone_size, ZoneAction.CLOSE), 0);
  same('finish', await user.manage(3 * zone_size, ZoneAction.FINISH), 0);
  same('write to a full one', await user.write(3 * zone_size, [1]), 0xb9);
  same('close of an empty one', await user.manage(4 * zone_size, ZoneAction.CLOSE), 0xbf);
  const states = [IMPLICIT_OPEN, EXPLICIT_OPEN, CLOSED, FULL, EMPTY];
  same('states', (await user.states()).slice(0, 5), states);
  same('finish of all', await user.manageAll(ZoneAction.FINISH), 0);
  same('states', (await user.states()).slice(0, 5), [FULL, FULL, FULL, FULL, EMPTY]);
  same('report from the fourth on', (await user.report(3 * zone_size, 1)).length, 1);
}

let failures = 0;
for (const held of list) {
  console.log(held.title);
  log.length = 0;
  try {
    if (held.checks === undefined) await holdToZones(held);
    else await holdToChecks(held);
  } catch (error) {
    failures++;
    console.log(`  FAILED: ${(error as Error).stack}\n${log.slice(-20).join('\n')}`);
  }
}
console.log(`${list.length - failures} of ${list.length}`);
process.exit(failures === 0 ? 0 : 1);
