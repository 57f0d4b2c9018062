import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

/** Everything a module of this package brings in, by name of file or package. */
function imports(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const text = readFileSync(new URL(file, import.meta.url), 'utf8');
  for (const [, target = ''] of text.matchAll(/(?:from|import)\s*\(?'([^']+)'/g)) {
    if (target.startsWith('./')) imports(target, seen);
    else seen.add(target);
  }
  return seen;
}

describe('the face for browsers', () => {
  it('needs nothing of Node', () => {
    const others = [...imports('./browser.ts')].filter((name) => !name.startsWith('./'));
    expect(others).toEqual(['@spdk-ts/rpc-schema']);
    for (const file of [...imports('./browser.ts')].filter((name) => name.startsWith('./'))) {
      expect(readFileSync(new URL(file, import.meta.url), 'utf8'), file).not.toMatch(
        /\bBuffer\b|\bprocess\.\w/,
      );
    }
  });
});
