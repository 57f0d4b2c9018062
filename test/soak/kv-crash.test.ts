/**
 * Key-value logs whose process is killed, or whose disk loses its power, thousands of times in virtual time, with a disk
 * that is full now and then. `SOAK_CRASHES`: how often.
 */
import { setLogWriter } from '@spdk-ts/log';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { crashes } from '../../packages/bdev-modules/kv/test/crashes.ts';
import { soakSeed } from './duration.ts';

const lives = Number(process.env['SOAK_CRASHES'] ?? 100);
const KIB = 1024;

let before: (line: string) => void;
beforeAll(() => {
  console.log(`LOAD_SEED=${soakSeed}`);
  before = setLogWriter(() => {});
});
afterAll(() => void setLogWriter(before));

// The smaller, the oftener the log goes round; the larger, the longer a record stays where it is.
it.each([
  ['small', 512 * KIB, 300],
  ['large', 2048 * KIB, 900],
])(
  'a %s log keeps what was flushed',
  { timeout: 60_000 + lives * 2000 },
  async (_size, bytes, operations) => {
    const counts = await crashes(soakSeed, bytes, Math.ceil(lives / 2), operations);
    console.log(JSON.stringify(counts));
    expect(counts.flushes).toBeGreaterThan(lives);
    expect(counts.crashes).toBe(Math.ceil(lives / 2));
  },
);
