/**
 * Processes that are killed with -9 while they change a key-value log, or zones, in a file, again and again. What was
 * acknowledged must be there for the next one: a kill takes no writes back, save for write pointers, which go back to
 * the last flush at most.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { IoStatus, KvStatus } from '@spdk-ts/bdev';
import { Random } from '@spdk-ts/env';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { uringUnavailable } from '../../packages/bdev-modules/test/bed.ts';
import { soakKills, soakSeed } from './duration.ts';
import { SIZE, Zone } from './zone-model.ts';

const program = fileURLToPath(new URL('state-load.mjs', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'spdk-ts-state-kill-'));
const random = new Random(soakSeed);
const KEYS = 40;
const ZONES = 6;
const PATIENCE_MS = 30_000;
/** Operations that a process has begun at least before it is killed, save for those that are killed early. */
const LINES_MIN = 200;
let child: ChildProcess | null = null;

beforeAll(() => {
  console.log(`LOAD_SEED=${soakSeed}`);
  if (uringUnavailable !== '') console.log(`no rings: ${uringUnavailable}`);
});
afterAll(() => {
  child?.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

/** What a process wrote down, by its words. */
type Log = readonly (readonly string[])[];

/** Holds what one process finds against what those before it did. */
interface Model {
  /** A line about what there is. */
  found(line: readonly string[]): void;
  /** An operation begins; what is returned is told how it ended, or never. */
  begins(line: readonly string[]): (status: number, more: number) => void;
  readonly counts: Record<string, number>;
}

/** Runs a process until it is killed: early, so that it may find itself at its beginning, or under load. */
async function life(options: {
  kind: string;
  uring: boolean;
  filename: string;
  first_id: number;
}): Promise<Log> {
  const log = join(folder, 'log');
  writeFileSync(log, '');
  const seed = random.below(2 ** 31);
  const errors: string[] = [];
  const process_ = spawn(process.execPath, [program, JSON.stringify({ ...options, log, seed })], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  child = process_;
  process_.stderr!.on('data', (chunk) => errors.push(String(chunk)));
  const exited = new Promise<NodeJS.Signals | null>((resolve) => {
    process_.on('close', (_code, signal) => resolve(signal));
  });
  const early = random.below(4) === 0;
  const end = performance.now() + PATIENCE_MS;
  const read = (): string => readFileSync(log, 'latin1');
  const enough = (text: string): boolean =>
    early ? text.includes('found') : text.split('\n').length > LINES_MIN;
  while (process_.exitCode === null && !enough(read()) && performance.now() < end) await sleep(2);
  await sleep(random.below(early ? 30 : 150));
  process_.kill('SIGKILL');
  const signal = await exited;
  child = null;
  if (signal !== 'SIGKILL' || !enough(read()))
    throw new Error(
      `the process ended by itself, or does not get on: ${errors.join('')}\n${read().slice(-1000)}`,
    );
  // The last line may have been cut.
  const lines = read().split('\n').slice(0, -1);
  return lines.map((line) => line.split(' '));
}

function replay(log: Log, model: Model): void {
  const begun = new Map<string, (status: number, more: number) => void>();
  for (const line of log) {
    const [what, number, status, more] = line;
    if (what === 'wrong') throw new Error(line.join(' '));
    if (what === 'found' || what === 'ready') continue;
    if (what === 'v' || what === 'z') model.found(line);
    else if (what === 'e') {
      begun.get(number!)!(Number(status), Number(more));
      begun.delete(number!);
    } else begun.set(number!, model.begins(line));
  }
}

class KeyModel implements Model {
  readonly counts = { stores: 0, deletes: 0, flushes: 0, full: 0 };
  /** What each key may hold: `id bytes`. Two: what it held, and what was under way. */
  private readonly keys: string[][] = Array.from({ length: KEYS }, () => ['0 0']);

  found([, key, id, bytes]: readonly string[]): void {
    const content = `${id} ${bytes}`;
    expect(this.keys[Number(key)], `key ${key}`).toContain(content);
    this.keys[Number(key)] = [content];
  }

  begins([what, , key, id, bytes]: readonly string[]): (status: number, more: number) => void {
    if (what === 'f')
      return (status) => {
        expect(status).toBe(IoStatus.SUCCESS);
        this.counts.flushes++;
      };
    const at = Number(key);
    const [before] = this.keys[at]!;
    const content = `${id} ${bytes}`;
    this.keys[at] = [before!, content];
    return (status, sc) => {
      if (status === IoStatus.SUCCESS) {
        this.counts[id === '0' ? 'deletes' : 'stores']++;
        this.keys[at] = [content];
        return;
      }
      // Nothing to delete, or no room: as before.
      const wanted = id === '0' ? KvStatus.KEY_DOES_NOT_EXIST : KvStatus.CAPACITY_EXCEEDED;
      expect([status, sc], `key ${key}`).toEqual([IoStatus.NVME_ERROR, wanted]);
      if (id === '0') expect(before).toBe('0 0');
      else this.counts.full++;
      this.keys[at] = [before!];
    };
  }
}

class ZoneModel implements Model {
  readonly counts = { appends: 0, resets: 0, finishes: 0, flushes: 0 };
  private readonly zones = Array.from({ length: ZONES }, () => new Zone(false));
  private now = 0;

  found([, at, state, pointer, ...blocks]: readonly string[]): void {
    const zone = this.zones[Number(at)]!;
    const data = blocks.map(Number);
    expect(data.length).toBe(SIZE);
    const fault = zone.fault(Number(state), Number(pointer), data);
    expect(fault, `zone ${at}, which is in state ${state}, its write pointer at ${pointer}`).toBeUndefined();
    zone.adopt(Number(state), Number(pointer), data);
  }

  begins(line: readonly string[]): (status: number, more: number) => void {
    if (line[0] === 'f') return this.flush();
    const zone = this.zones[Number(line[2])]!;
    return line[0] === 'a' ? this.append(zone, line) : this.change(zone, line[3]!);
  }

  private flush(): (status: number) => void {
    const time = this.now++;
    const seen = this.zones.map(({ life: lived, acknowledged }) => ({ lived, acknowledged }));
    return (status) => {
      expect(status).toBe(IoStatus.SUCCESS);
      this.counts.flushes++;
      this.zones.forEach((zone, at) => {
        const { lived, acknowledged } = seen[at]!;
        if (zone.life === lived) zone.stableSince(time, acknowledged);
      });
    };
  }

  private append(
    zone: Zone,
    [, , , first, count, fua]: readonly string[],
  ): (status: number, at: number) => void {
    const blocks = Number(count);
    zone.writes++;
    zone.asked += blocks;
    return (status, at) => {
      zone.writes--;
      if (status === IoStatus.SUCCESS) {
        this.counts.appends++;
        zone.wrote(at, blocks, Number(first), fua === '1', this.now++);
      } else zone.asked -= blocks;
    };
  }

  private change(zone: Zone, what: string): (status: number) => void {
    zone.changing = what as 'reset' | 'finish';
    const time = this.now++;
    return (status) => {
      expect(status).toBe(IoStatus.SUCCESS);
      this.counts[what === 'finish' ? 'finishes' : 'resets']++;
      if (what === 'reset') {
        zone.reset();
        return;
      }
      zone.changing = 'no';
      zone.finished = true;
      zone.stableSince(time, zone.acknowledged);
    };
  }
}

const ways = [
  ['kv', 'without a ring', false],
  ['kv', 'with a ring', true],
  ['zones', 'without a ring', false],
  ['zones', 'with a ring', true],
] as const;

it.each(ways.filter(([, , uring]) => !uring || uringUnavailable === ''))(
  `keeps what was acknowledged through ${soakKills} kills: %s on a file %s`,
  { timeout: 30_000 + soakKills * 40_000 },
  async (kind, _way, uring) => {
    const filename = join(folder, `${kind}-${uring}`);
    writeFileSync(filename, '');
    truncateSync(filename, kind === 'kv' ? 1024 * 1024 : 64 * 1024 + ZONES * SIZE * 512);
    const model = kind === 'kv' ? new KeyModel() : new ZoneModel();
    for (let kill = 0; kill < soakKills; kill++) {
      const log = await life({ kind, uring, filename, first_id: kill * 1_000_000 });
      try {
        replay(log, model);
      } catch (error) {
        throw new Error(`LOAD_SEED=${soakSeed}, after ${kill} kills: ${(error as Error).message}`, {
          cause: error,
        });
      }
    }
    console.log(`${kind}: ${soakKills} kills, ${JSON.stringify(model.counts)}`);
    expect(model.counts.flushes).toBeGreaterThan(0);
  },
);
