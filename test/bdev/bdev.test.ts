/**
 * Holds bdevs to what every bdev must do: those of the modules of the tree, stacks of them, or those that
 * `npm run test:bdev -- --bdev JSON` names. See HACKING.md.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Random } from '@spdk-ts/env';
import { setLogWriter } from '@spdk-ts/log';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { uringUnavailable } from '../../packages/bdev-modules/test/bed.ts';
import { Bench } from './bench.ts';
import { bases, layers, makers, stack, stacksOf, subjectsOf } from './builders.ts';
import { type Check, checks } from './checks/index.ts';
import { loadModules } from './modules.ts';
import { NvmeTargetOfTests } from './nvme-subjects.ts';
import { stacks as asked, chosen, effort, plugins } from './options.ts';
import { resizeBy, type Subject } from './subject.ts';
import { Trial } from './trial.ts';

const HEIGHT_MAX = 4;

console.log(`seed ${effort.seed}: npm run test:bdev -- --seed ${effort.seed}`);
const modules = await loadModules(plugins);
const folder = mkdtempSync(join(tmpdir(), 'bdev-conformance-'));
const probe = await Bench.start(modules, false);
const methods = probe.rpc.methods();
await probe.stop();

const here = (method: string): boolean => methods.includes(method);
const random = new Random(effort.seed);
let nvmeTarget: NvmeTargetOfTests | null = null;

/** Why a subject cannot be made on this machine; empty: it can. */
async function unavailable(subject: Subject): Promise<string> {
  if (subject.uring && uringUnavailable !== '') return `no io_uring: ${uringUnavailable}`;
  const bench = await Bench.start(modules, subject.uring);
  try {
    await subject.prepare?.(bench);
    for (const { method, params } of subject.calls) await bench.call(method, params);
    return '';
  } catch (error) {
    // Only that there is no such thing here is no failure.
    const { code, message } = error as { code?: number; message: string };
    if (code === -95) return message;
    return '';
  } finally {
    await bench.stop();
  }
}

async function subjectsOfTree(): Promise<Subject[]> {
  const all = bases.filter(({ method }) => here(method)).flatMap((builder) => subjectsOf(builder, folder));
  if (here('bdev_nvme_attach_controller')) {
    nvmeTarget = await NvmeTargetOfTests.start();
    all.push(...nvmeTarget.subjects(uringUnavailable === ''));
  }
  const able: Subject[] = [];
  for (const subject of all) {
    const why = await unavailable(subject);
    if (why === '') able.push(subject);
    else console.log(`not tested: ${subject.title}: ${why}`);
  }
  const among = layers.filter(({ method }) => here(method));
  if (among.length === 0) console.log('no stacks: there is no module whose bdevs lie on others');
  if (among.length === 0) return able;
  // Keys have nothing on them, and what hides metadata is a way of opening a bdev.
  const under = able.filter(({ kind, hides_metadata }) => kind !== 'keys' && hides_metadata !== true);
  const among_all = { among, making: makers.filter(({ method }) => here(method)) };
  const plain = under.find(({ kind, promises }) => kind === 'blocks' && promises.data)!;
  const fixed = stacksOf(plain, among_all, HEIGHT_MAX - 1, random);
  // On metadata, and on zones, each layer alone.
  const others = [
    under.find(({ title }) => title.includes('"dif_type":1')),
    under.find(({ title }) => title.includes('"md_size":16')),
    under.find(({ kind, promises }) => kind === 'zones' && promises.data),
  ].flatMap((base) => (base === undefined ? [] : stacksOf(base, { among, making: [] }, 1, random)));
  const zoned = fixed.filter(({ kind }) => kind === 'zones');
  const on = [...under, ...zoned];
  const stacks = Array.from({ length: asked.count }, () => {
    const base = on[random.below(on.length)]!;
    const built = base.calls.length - 1;
    return stack(base, among, 1 + random.below(Math.max(1, HEIGHT_MAX - built)), random);
  });
  const remote = under.filter(({ keeps_on_reactors }) => keeps_on_reactors === true);
  if (asked.only) return stacks;
  if (remote.length > 0) stacks.push(stack(remote[random.below(remote.length)]!, among, HEIGHT_MAX, random));
  return [...able, ...fixed, ...others, ...stacks];
}

function subjectsChosen(): Subject[] {
  return chosen!.map((subject) => {
    const resize = subject.calls.at(-1)!.method.replace(/_create$/, '_resize');
    return {
      ...subject,
      uring: uringUnavailable === '',
      resize:
        resize.endsWith('_resize') && here(resize) && subject.bdev === undefined
          ? resizeBy(resize)
          : undefined,
    };
  });
}

const subjects = chosen === null ? await subjectsOfTree() : subjectsChosen();
afterAll(async () => {
  await nvmeTarget?.stop();
  rmSync(folder, { recursive: true });
});

it.runIf(chosen === null)('every module that makes bdevs is tested', () => {
  const known = [...bases, ...layers, ...makers].map(({ method }) => method);
  const creating = methods.filter((method) => /^bdev_\w+_create$/.test(method));
  expect(
    creating.filter((method) => !known.includes(method)),
    'add a builder to test/bdev/builders.ts',
  ).toEqual([]);
});

for (const subject of subjects) describe(subject.title, () => holdToAll(subject));

function holdToAll(subject: Subject): void {
  let bench: Bench | null = null;
  let log: string[] = [];
  beforeAll(() => {
    const before = setLogWriter((line) => void log.push(line));
    return () => void setLogWriter(before);
  });
  beforeEach(() => {
    log = [];
  });
  afterAll(async () => {
    await bench?.stop();
  });

  async function hold(check: Check): Promise<void> {
    bench ??= await Bench.start(modules, subject.uring);
    const used = bench;
    // One that fails may leave anything behind.
    bench = null;
    const trial = await Trial.open(used, subject, effort);
    try {
      if ((check.unneeded?.(trial) ?? '') === '') await check.run(trial);
      await trial.close();
      bench = used;
    } catch (error) {
      if (log.length > 0) console.log(log.slice(-20).join('\n'));
      await trial.abandon().catch((other: Error) => console.log(`afterwards: ${other.message}`));
      throw error;
    }
  }
  for (const check of checks[subject.kind]) it(check.title, () => hold(check));
}
