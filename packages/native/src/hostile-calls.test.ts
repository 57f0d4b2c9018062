import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { native } from './index.ts';

const program = fileURLToPath(new URL('../dist/testing/hostile-calls.js', import.meta.url));
const CALLS = 8_000;
const FILE_BLOCKS = 8192; // of 512 bytes

// HOSTILE_SEED=N replays a run.
it.skipIf(native === null)('no arguments crash the addon: a wrong one throws', { timeout: 120_000 }, () => {
  const seed = Number(process.env['HOSTILE_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
  console.log(`HOSTILE_SEED=${seed}`);
  const folder = mkdtempSync(join(tmpdir(), 'spdk-ts-hostile-'));
  const log = join(folder, 'last-call');
  try {
    const args = [program, String(seed), String(CALLS), log];
    // A file of any kind, memory files too, may have 4 MB at most: no argument fills the disk or the memory.
    const limited = ['-c', `ulimit -f ${FILE_BLOCKS} && exec "$0" "$@"`, process.execPath, ...args];
    const child = spawnSync('sh', limited, { cwd: folder, encoding: 'utf8', timeout: 110_000 });
    const how = `seed ${seed}, signal ${child.signal}, last call ${readFileSync(log, 'utf8').trim()}`;
    expect({ status: child.status, stderr: child.stderr }, how).toEqual({ status: 0, stderr: '' });
    const told = JSON.parse(child.stdout) as {
      functions: number;
      calls: number;
      thrown: number;
      uncaught: number;
    };
    expect(told.functions).toBe(Object.keys(native!).length);
    expect(told.calls).toBeGreaterThan(CALLS);
    expect(told.thrown).toBeGreaterThan(CALLS / 10);
    expect(told.uncaught).toBeGreaterThan(0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
