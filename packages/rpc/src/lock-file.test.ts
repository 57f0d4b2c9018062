import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockWithPid } from './lock-file.ts';

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'lock-'));
  path = join(directory, 'a.lock');
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('lockWithPid', () => {
  it('is held by one', () => {
    const lock = lockWithPid(path);
    expect(lock).not.toBeNull();
    expect(lockWithPid(path)).toBeNull();
    lock!.release();
    expect(existsSync(path)).toBe(false);
    lockWithPid(path)!.release();
  });

  it('is taken from a process that is gone', () => {
    const dead = spawnSync(process.execPath, ['-e', '']).pid;
    writeFileSync(path, `${dead} 12345\n`);
    expect(lockWithPid(path)).not.toBeNull();
    expect(readFileSync(path, 'latin1')).toMatch(new RegExp(`^${process.pid} `));
    expect(readdirSync(directory)).toEqual(['a.lock']);
  });

  it('is taken from a process whose number has another process now', () => {
    writeFileSync(path, `${process.pid} 1\n`);
    expect(lockWithPid(path)).not.toBeNull();
  });

  it('is taken where flock left an empty file', () => {
    writeFileSync(path, '');
    expect(lockWithPid(path)).not.toBeNull();
  });

  it('is not released by one who lost it', () => {
    const lock = lockWithPid(path)!;
    writeFileSync(path, '1 1\n');
    lock.release();
    expect(existsSync(path)).toBe(true);
  });
});
