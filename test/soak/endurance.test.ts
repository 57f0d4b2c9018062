/** Full load for long: memory does not grow, and garbage collection stays out of the way. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Load } from '../host/index.ts';
import { cleanUp, temporaryDirectory } from '../integration/app-process.ts';
import { TcpTarget } from '../integration/nvmf-tcp-target.ts';
import { soakSeconds, soakSeed } from './duration.ts';
import { collections, describePauses, groups } from './gc-trace.ts';

const reporter = fileURLToPath(new URL('./memory-reporter.mjs', import.meta.url));
const QUEUES = 8;
const DEPTH = 16;
/** A part of the load at its start during which memory may still grow: pools fill, code is compiled. */
const WARM_UP = 0.25;
/** What memory may grow by afterwards, bytes: a leak of a few bytes an I/O is more in ten minutes. */
const GROWTH_MAX = 24 << 20;

interface Sample {
  readonly threadId: number;
  readonly external: number;
  readonly heapUsed: number;
}

let target: TcpTarget;
let report: string;

beforeAll(async () => {
  report = join(temporaryDirectory(), 'memory');
  const nodeArgs = ['--trace-gc', '--import', reporter];
  target = await TcpTarget.start({}, undefined, { nodeArgs, env: { MEMORY_REPORT: report } });
});
afterAll(async () => {
  await target?.stop();
  await cleanUp();
});

/** External memory of all threads together, by second. */
function external(): number[] {
  if (!existsSync(report)) return [];
  const samples: Sample[] = readFileSync(report, 'utf8')
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text));
  const threads = [...groups(samples, ({ threadId }) => threadId).values()];
  const seconds = Math.min(...threads.map((own) => own.length));
  return Array.from({ length: seconds }, (_, i) => threads.reduce((sum, own) => sum + own[i]!.external, 0));
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** The median of the last fifth above that of the first. */
function growth(values: readonly number[]): number {
  const fifth = Math.max(1, Math.floor(values.length / 5));
  return median(values.slice(-fifth)) - median(values.slice(0, fifth));
}

const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

it(`holds its memory for ${soakSeconds} s of full load`, { timeout: (soakSeconds + 60) * 1000 }, async () => {
  console.log(`LOAD_SEED=${soakSeed}`);
  const host = await target.host(QUEUES);
  const load = new Load(host.queues, { depth: DEPTH, bytes_max: 32_768, seed: soakSeed });
  const resident: number[] = [];
  const start = performance.now();
  let warm = 0;
  let warmTrace = 0;
  let sampled = 0;
  load.start();
  await load.until(() => {
    const seconds = (performance.now() - start) / 1000;
    if (seconds >= soakSeconds * WARM_UP && warm === 0) {
      warm = external().length;
      warmTrace = target.target.output.length;
    }
    if (warm > 0 && seconds - sampled >= 0.5) {
      sampled = seconds;
      resident.push(target.resident);
    }
    return seconds >= soakSeconds;
  });
  await load.stop();
  host.close();

  const outside = external().slice(warm);
  const pauses = collections(target.target.output.slice(warmTrace));
  console.log(
    [
      `${load.verified} writes and reads verified, ${megabytes(load.bytes)} in ${soakSeconds} s`,
      `resident: ${megabytes(resident[0]!)} … ${megabytes(resident.at(-1)!)}, growth ${megabytes(growth(resident))}`,
      `external: ${megabytes(outside[0]!)} … ${megabytes(outside.at(-1)!)}, growth ${megabytes(growth(outside))}`,
      'garbage collection after the warm-up:',
      describePauses(pauses),
    ].join('\n'),
  );
  expect(load.verified).toBeGreaterThan(1000);
  expect(outside.length).toBeGreaterThan(2);
  expect(growth(resident)).toBeLessThan(GROWTH_MAX);
  expect(growth(outside)).toBeLessThan(GROWTH_MAX);
  // Both reactors and the control thread are in the trace, so that an empty one is no success.
  expect(new Set(collections(target.target.output).map(({ isolate }) => isolate)).size).toBe(3);
});
