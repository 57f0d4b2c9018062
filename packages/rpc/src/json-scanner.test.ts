import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JsonScanError, JsonScanner } from './json-scanner.ts';

const encode = (text: string) => new TextEncoder().encode(text);

/** Feeds a text in pieces of the given sizes and returns the values found. */
function split(text: string, sizes: Iterable<number>, scanner = new JsonScanner()): string[] {
  const bytes = encode(text);
  const found: string[] = [];
  let start = 0;
  let end = 0;
  const more = sizes[Symbol.iterator]();
  while (end < bytes.length) {
    end = Math.min(bytes.length, end + (more.next().value ?? bytes.length));
    for (;;) {
      const length = scanner.scan(bytes, start, end);
      if (length < 0) break;
      found.push(new TextDecoder().decode(bytes.subarray(start, start + length)));
      start += length;
      scanner.reset();
    }
  }
  return found;
}

function* each(size: number): Generator<number> {
  for (;;) yield size;
}

describe('JsonScanner', () => {
  it('finds the ends of any JSON, however it is cut and joined', () => {
    const container = fc
      .oneof(fc.array(fc.json()), fc.dictionary(fc.string(), fc.json()))
      .map((value) => JSON.stringify(value));
    fc.assert(
      fc.property(
        fc.array(container, { minLength: 1, maxLength: 4 }),
        fc.array(fc.integer({ min: 1, max: 9 })),
        (texts, cuts) => {
          expect(split(texts.join(''), cuts)).toEqual(texts);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('agrees with JSON.parse on what is JSON', () => {
    const alphabet = fc.constantFrom(...'{}[]",:0123456789.eE+-truefalsn\\u \n');
    fc.assert(
      fc.property(fc.array(alphabet, { maxLength: 12 }), (characters) => {
        const text = `[${characters.join('')}]`;
        let isJson = true;
        try {
          JSON.parse(text);
        } catch {
          isJson = false;
        }
        let whole = false;
        try {
          whole = split(text, each(1))[0] === text;
        } catch (error) {
          expect(error).toBeInstanceOf(JsonScanError);
        }
        expect(whole, text).toBe(isJson);
      }),
      { numRuns: 3000 },
    );
  });

  it('ends numbers and words at the top before what follows', () => {
    expect(split('12 true"a"{}', each(1))).toEqual(['12', ' true', '"a"', '{}']);
  });

  it.each([
    ['hello', "'h' at byte 0, where a JSON value was expected"],
    ['{"a" 1}', "'1' at byte 5, where : was expected"],
    ['{"a":1 "b"}', "'\"' at byte 7, where , or } was expected"],
    ['[1,]', "']' at byte 3, where a JSON value was expected"],
    ['{"a":1,}', "'}' at byte 7, where a key in double quotes was expected"],
    ['[01]', "'1' at byte 2, where a number without leading zero was expected"],
    [
      '["\n"]',
      'byte 0x0a at byte 2, where control characters in strings as escapes such as \\n was expected',
    ],
    ['[nulx]', "'x' at byte 4, where true, false or null was expected"],
    ['\u0000', 'byte 0x00 at byte 0, where a JSON value was expected'],
  ])('refuses %j as soon as it is hopeless', (text, message) => {
    expect(() => split(text, each(1))).toThrow(message);
  });

  it('notes keys given twice, with their path, also when escaped', () => {
    const scanner = new JsonScanner();
    const bytes = encode('{"params":{"a":1,"b":[0,{"c":1,"\\u0063":2}],"a":2},"id":1}');
    scanner.scan(bytes, 0, bytes.length);
    expect(scanner.duplicates).toEqual([
      ['params', 'b', 1, 'c'],
      ['params', 'a'],
    ]);
  });

  it('keeps ids as they were written', () => {
    const scanner = new JsonScanner();
    const bytes = encode('[{"id":12345678901234567890,"params":{"id":5}},{"id":"\\u00e9"},{"id":1e0},7]');
    scanner.scan(bytes, 0, bytes.length);
    expect([...scanner.ids]).toEqual([
      [0, '12345678901234567890'],
      [1, '"\\u00e9"'],
      [2, '1e0'],
    ]);
  });

  it('bounds depth and number of values', () => {
    expect(() => split('['.repeat(65), each(7), new JsonScanner({ maxDepth: 64 }))).toThrow(
      'nested deeper than 64',
    );
    expect(
      split(`${'['.repeat(64)}${']'.repeat(64)}`, each(7), new JsonScanner({ maxDepth: 64 })),
    ).toHaveLength(1);
    // Two for the ends of the array.
    expect(
      split(JSON.stringify(new Array(8).fill(0)), each(3), new JsonScanner({ maxValues: 10 })),
    ).toHaveLength(1);
    expect(() =>
      split(JSON.stringify(new Array(9).fill(0)), each(3), new JsonScanner({ maxValues: 10 })),
    ).toThrow('more than 10 values');
  });

  it('looks at every byte once', () => {
    const text = JSON.stringify({ text: 'x'.repeat(1_000_000) });
    const before = performance.now();
    expect(split(text, each(1))).toHaveLength(1);
    // A second look at what is there for each new byte would take minutes.
    expect(performance.now() - before).toBeLessThan(5000);
  });
});
