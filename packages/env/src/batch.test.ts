import { native } from '@spdk-ts/native';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Batch, RegionTable } from './index.ts';

const BYTES = 64 * 1024;
const FROM = 1;
const TO = 2;

interface Operation {
  readonly kind: 'copy' | 'copyAway' | 'fill';
  readonly to: number;
  readonly from: number;
  readonly length: number;
  readonly value: number;
}

/** Lengths around those at which another way of copying begins, and places askew as well as aligned. */
const operation: fc.Arbitrary<Operation> = fc
  .record({
    kind: fc.constantFrom('copy', 'copyAway', 'fill'),
    to: fc.oneof(
      fc.nat(BYTES),
      fc.nat(1024).map((n) => n * 64),
    ),
    from: fc.nat(BYTES),
    length: fc.oneof(fc.constantFrom(0, 1, 127, 128, 129, 512, 2047, 2048, 2176, 4096, 8192), fc.nat(9000)),
    value: fc.nat(255),
  })
  .map((one) => ({ ...one, length: Math.min(one.length, BYTES - one.to, BYTES - one.from) }));

function apply(memory: Uint8Array[], { kind, to, from, length, value }: Operation, source: number): void {
  const [a, b] = [memory[source]!, memory[TO]!];
  if (kind === 'fill') b.fill(value, to, to + length);
  else if (a === b) b.copyWithin(to, from, from + length);
  else b.set(a.subarray(from, from + length), to);
}

describe.skipIf(native === null)('the batch engine', () => {
  const start = (): { regions: RegionTable; batch: Batch; memory: Uint8Array[]; model: Uint8Array[] } => {
    const regions = new RegionTable();
    const memory = [FROM, TO].map((seed) => Uint8Array.from({ length: BYTES }, (_, i) => i * 7 + seed));
    for (const [i, bytes] of memory.entries()) regions.add(i + 1, bytes);
    const model = memory.map((bytes) => bytes.slice());
    return {
      regions,
      batch: new Batch(regions),
      memory: [memory[0]!, ...memory],
      model: [model[0]!, ...model],
    };
  };

  it.each([
    ['between regions', FROM],
    ['within one, overlapping', TO],
  ])('does what was asked for, in order: %s', (_, source) => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40 }), (list) => {
        const { batch, memory, model } = start();
        for (const one of list) {
          if (one.kind === 'fill') batch.fill(TO, one.to, one.length, one.value);
          else batch[one.kind](TO, one.to, source, one.from, one.length);
          apply(model, one, source);
        }
        expect(batch.pending).toBe(list.length);
        batch.run();
        expect(batch.pending).toBe(0);
        expect(Buffer.compare(memory[TO]!, model[TO]!)).toBe(0);
      }),
    );
  });

  it('carries out by itself what is more than it holds', () => {
    const { batch, memory } = start();
    for (let i = 0; i < 2000; i++) batch.fill(TO, i, 1, i);
    expect(batch.pending).toBeLessThan(2000);
    batch.run();
    expect(memory[TO]!.subarray(0, 2000)).toEqual(Uint8Array.from({ length: 2000 }, (_, i) => i));
  });

  it('refuses places outside their regions, or in none, and does the rest', () => {
    const { regions, batch, memory } = start();
    batch.copy(TO, BYTES - 10, FROM, 0, 11);
    batch.copyAway(TO, 0, 77, 0, 1);
    batch.copy(TO, 0, FROM, BYTES, 1);
    batch.fill(TO, 5, 1, 99);
    expect(() => batch.run()).toThrow('3 of 4 operations');
    expect(memory[TO]![5]).toBe(99);
    expect(memory[TO]!.at(-1)).toBe(((BYTES - 1) * 7 + TO) & 0xff);
    regions.remove(FROM);
    batch.copy(TO, 0, FROM, 0, 1);
    expect(() => batch.run()).toThrow('1 of 1 operations');
    expect(() => regions.crc32c(FROM, 0, 1, 0)).toThrow(RangeError);
  });
});
