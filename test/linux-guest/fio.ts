/** What fio reports about a run with verification. */
import { expect } from 'vitest';
import type { Json } from './target.ts';

/** The report in fio's output, which other remarks may precede. */
export function fioReport(text: string): Json {
  return JSON.parse(text.slice(text.search(/^{/m)));
}

/**
 * Expects a report without errors whose numbers add up: every block of `blocks` was written and read back, or,
 * in a mix, read or written, and what was written read back.
 */
export function expectVerified(report: Json, blocks: number): void {
  expect(report.jobs).toHaveLength(1);
  const [job] = report.jobs;
  const writes: number = job.write.total_ios;
  const reads: number = job.read.total_ios;
  expect(job.error).toBe(0);
  expect(job.total_err ?? 0).toBe(0);
  expect(reads, 'reads').toBe(blocks);
  if (job['job options'].rw === 'randrw') {
    expect(writes, 'writes').toBeGreaterThan(blocks / 4);
    expect(writes, 'writes').toBeLessThan((blocks * 3) / 4);
  } else {
    expect(writes, 'writes').toBe(blocks);
  }
}
