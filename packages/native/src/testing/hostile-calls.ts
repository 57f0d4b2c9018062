/**
 * Calls every function of the addon with arguments that it is not made for: `hostile-calls.js SEED CALLS LOG`.
 * First each hostile value in each place beside right ones, then random mixtures. A value that must be refused and
 * is not ends it with code 1. Runs in a process of its own, since what it looks for are crashes; the file LOG then
 * holds the call that was under way.
 */
import { existsSync, openSync, writeSync } from 'node:fs';
import { type Native, native } from '../index.ts';
import { addonCalls, Pool } from './addon-calls.ts';
import { hostileValues, type Named } from './hostile-values.ts';

/** Calls between two turns of the event loop, which then looks at the watches. */
const TURN = 200;
/** Longest wait in io_uring_enter that a call may ask for, ns. */
const WAIT_NS = 1_000_000;
/** Most that is allocated in a file at once. */
const ALLOCATED_BYTES = 65_536;

const [seed = 1, wanted = 10_000] = process.argv.slice(2, 4).map(Number);
const log = openSync(process.argv[4] ?? '/dev/null', 'w');
const addon = native as Native;

let state = seed >>> 0;
/** A random integer (mulberry32). */
function pick(below: number): number {
  state = (state + 0x6d2b79f5) >>> 0;
  let x = Math.imul(state ^ (state >>> 15), state | 1);
  x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
  return (((x ^ (x >>> 14)) >>> 0) / 2 ** 32) * below || 0;
}
const below = (limit: number): number => Math.floor(pick(limit));

const pool = new Pool(addon, below);
const calls = addonCalls(pool, below);
const values = await hostileValues();
/** Memory that a table refers to, which its owner has to keep. */
const kept: unknown[] = [];
const counts = { calls: 0, thrown: 0, uncaught: 0 };
// Who started this limits the size of files: what would pass the limit fails, and does not end the process.
process.on('SIGXFSZ', () => {});
// A callback that throws is an uncaught exception of its thread, and nothing else may be one.
process.on('uncaughtException', (error) => {
  counts.uncaught++;
  if (error.message === 'a callback threw' || error.message === 'valueOf was called') return;
  console.error(error);
  process.exit(1);
});

/** Calls that do what they are asked to, to the harm of this process: nothing that a check could tell. */
function isHarmful(name: string, args: readonly unknown[]): boolean {
  const [first, , third, , timeout] = args.map((arg) => (typeof arg === 'number' ? arg : Number.NaN));
  const isDescriptor = Number.isInteger(first) && first! >= 0 && first! < 2 ** 20;
  const takesHandle = [
    ...['pinThread', 'ringSetup', 'allocateMemory', 'attachMemory', 'memoryAddress', 'aioSetup'],
  ].includes(name);
  if (isDescriptor && !takesHandle && !pool.descriptors.has(first!) && existsSync(`/proc/self/fd/${first}`))
    return true;
  // It fills the disk, or with a memory file the memory.
  if (name === 'allocateFile') return typeof args[3] === 'number' && args[3] > ALLOCATED_BYTES;
  if (name === 'ringEnter') return third! > 0 && !(timeout! >= 0 && timeout! <= WAIT_NS);
  return false;
}

/** What a call opened goes into the pool. */
function adopt(name: string, args: readonly unknown[], result: unknown): void {
  if (['duplicate', 'eventFd', 'memoryFile', 'socketListen', 'socketConnect'].includes(name))
    pool.descriptors.add(result as number);
  else if (name === 'unixListen' || name === 'unixConnect') pool.descriptors.add(result as number);
  else if (name === 'unixAccept') {
    if ((result as number) >= 0) pool.descriptors.add(result as number);
  } else if (name === 'ringSetup') pool.addRing((result as { fd: number }).fd);
  else if (name === 'socketPair') for (const fd of result as number[]) pool.descriptors.add(fd);
  else if (name === 'receiveDescriptors')
    for (const fd of (result as { descriptors: number[] } | null)?.descriptors ?? [])
      pool.descriptors.add(fd);
  else if (name === 'memoryBehind' && result !== null)
    pool.descriptors.add((result as { descriptor: number }).descriptor);
  else if (name === 'allocateMemory') pool.handles.push(result as number);
  else if (name === 'batchTable') pool.addTable(result);
  else if (name === 'ringWatch') pool.addWatch(result);
  else if (name === 'aioSetup') pool.addContext((result as { context: unknown }).context);
  else if (name === 'batchRegion') kept.push(args[0], args[2]);
  if (name === 'closeFd') {
    pool.descriptors.delete(args[0] as number);
    pool.rings.delete(args[0] as number);
  }
  if (name === 'releaseMemory') pool.handles.splice(pool.handles.indexOf(args[0] as number), 1);
}

function describe(name: string, args: readonly unknown[]): string {
  const texts = args.map(
    (arg) => values.find(({ value }) => Object.is(value, arg))?.name ?? Object.prototype.toString.call(arg),
  );
  return `${name}(${texts.join(', ')})`;
}

function call(name: string, args: readonly unknown[]): void {
  if (counts.calls % 20 === 0) pool.fill();
  if (isHarmful(name, args)) return;
  writeSync(log, `${describe(name, args)}\n`.slice(-400).padEnd(400), 0);
  counts.calls++;
  const fn = (addon as unknown as Record<string, (...args: readonly unknown[]) => unknown>)[name]!;
  const parameters = calls[name]!;
  const refused = parameters.findIndex((parameter, i) => parameter.refuses(args[i]));
  try {
    const result = below(50) === 0 ? Reflect.construct(fn, args) : fn(...args);
    if (refused >= 0) {
      console.error(`argument ${refused + 1} was accepted: ${describe(name, args)}`);
      process.exit(1);
    }
    if (typeof result !== 'object' || !(result instanceof fn)) adopt(name, args, result);
  } catch (error) {
    counts.thrown++;
    if (!(error instanceof Error) || /was called$/.test(error.message)) {
      console.error(`${describe(name, args)} threw ${String(error)}`);
      process.exit(1);
    }
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const right = (name: string): unknown[] => calls[name]!.map((parameter) => parameter.right());

const missing = Object.keys(addon).filter((name) => calls[name] === undefined);
if (missing.length > 0) {
  console.error(`calls that addon-calls.ts does not describe: ${missing.join(', ')}`);
  process.exit(1);
}
const externals = (): Named[] => [
  { name: 'a table', value: pool.of(pool.tables) },
  { name: 'a watch', value: pool.of(pool.watches) },
  { name: 'an AIO context', value: pool.of(pool.contexts) },
];

pool.fill();
for (const name of Object.keys(calls)) {
  for (let place = 0; place < calls[name]!.length; place++) {
    for (const { value } of [...values, ...externals()]) {
      const args = right(name);
      args[place] = value;
      call(name, args);
    }
    call(name, right(name).slice(0, place)); // too few
  }
  call(name, [...right(name), ...values.slice(0, 12).map(({ value }) => value)]); // too many
  await turn();
}
const systematic = counts.calls;
const names = Object.keys(calls);
for (let tries = 0; counts.calls < systematic + wanted && tries < wanted * 3; tries++) {
  const name = names[below(names.length)]!;
  const args = right(name).map((value) =>
    below(4) === 0
      ? values[below(values.length)]!.value
      : below(40) === 0
        ? externals()[below(3)]!.value
        : value,
  );
  if (below(30) === 0) args.length = below(args.length + 1);
  call(name, args);
  if (tries % TURN === 0) await turn();
}
console.log(JSON.stringify({ seed, functions: names.length, systematic, ...counts }));
process.exit(0);
