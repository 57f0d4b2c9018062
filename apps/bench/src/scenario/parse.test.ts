import { describe, expect, it } from 'vitest';
import { builtinScenarios, loadScenario } from './files.ts';
import { parseScenario } from './parse.ts';

const sides = { spdk: { program: 'spdk' }, ours: {} };

describe('scenarios', () => {
  it('has defaults, and takes sides in order with what a row changes', () => {
    const { rows } = parseScenario('s', {
      sides,
      defaults: { time_s: 2, size: '4k' },
      rows: [
        { name: 'a', size: '128k', sides: { spdk: { transport: { zcopy: true } }, ours: {} } },
        { name: 'b' },
      ],
    });
    expect(rows[0]).toMatchObject({ name: 'a', time_s: 2, size: 131072, depth: 128, metric: 'iops' });
    expect(rows[0]!.sides.map(({ name, program }) => [name, program])).toEqual([
      ['spdk', 'spdk'],
      ['ours', 'ours'],
    ]);
    expect(rows[0]!.sides[0]!.transport).toEqual({ zcopy: true });
    expect(rows[1]!.sides[0]!.transport).toEqual({});
    expect(rows[1]!.size).toBe(4096);
  });

  it('makes rows of `each`, with the values in the texts', () => {
    const { rows } = parseScenario('s', {
      sides,
      rows: [
        { name: '{workload} at {depth}', x: '{depth}', each: { workload: ['read', 'write'], depth: [1, 8] } },
      ],
    });
    expect(rows.map(({ name, x }) => [name, x])).toEqual([
      ['read at 1', 1],
      ['read at 8', 8],
      ['write at 1', 1],
      ['write at 8', 8],
    ]);
  });

  it.each([
    [{ rows: [] }, 'rows is empty'],
    [{ rows: [{ name: 'a', dept: 3 }] }, "rows[0] has no field 'dept'"],
    [{ rows: [{ name: 'a', depth: 0 }] }, 'depth is 0; it should be an integer from 1 on'],
    [{ rows: [{ name: 'a', workload: 'fast' }] }, 'one of read, write'],
    [{ rows: [{ name: 'a', size: 'big' }] }, "'big' is no size"],
    [{ rows: [{ depth: 1 }] }, 'needs a name'],
    [{ rows: [{ name: 'a', sides: ['theirs'] }] }, "no side 'theirs'"],
    [{ rows: [{ name: 'a', each: { depth: 3 } }] }, 'object of lists'],
    [{ title: 4, rows: [{ name: 'a' }] }, 'title is 4; it should be a text'],
  ])('says what is wrong: %j', (file, why) => {
    expect(() => parseScenario('s', file)).toThrow(why);
  });
});

describe('the scenarios that come with the bench', () => {
  it.each(builtinScenarios())('%s is well formed, with a name for each row', (name) => {
    const { rows } = loadScenario(name);
    expect(new Set(rows.map((row) => `${row.group}/${row.name}`)).size).toBe(rows.length);
  });

  it('says which there are when one is not found', () => {
    expect(() => loadScenario('no-such')).toThrow('ring-table');
  });
});
