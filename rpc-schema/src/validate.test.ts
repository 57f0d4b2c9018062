import { describe, expect, it } from 'vitest';
import {
  allMethods,
  checkResult,
  defineMethod,
  findMethod,
  optional,
  required,
  t,
  validateParams,
} from './index.ts';

const method = defineMethod({
  name: 'test_everything',
  text: 'For tests.',
  params: {
    name: required(t.string, 'Name of the thing.'),
    tiny: optional(t.u8, 'A byte.', { unit: 'MiB' }),
    big: optional(t.u64, 'Big.'),
    signed: optional(t.i32, 'Signed.'),
    on: optional(t.bool, 'On.'),
    uuid: optional(t.uuid, 'Identity.'),
    level: optional(t.oneOf('LOW', 'HIGH'), 'Level.'),
    mask: optional(t.bitmask('a', 'b'), 'Bits.'),
    names: optional(t.array(t.string, 2), 'Names.'),
    address: optional(
      t.object({ host: required(t.string, 'Host.'), port: optional(t.u16, 'Port.') }),
      'Place.',
    ),
  },
  result: t.object({ count: t.u32, note: optional(t.string, 'Note.') }),
});

const check = (params: unknown) => {
  const answer = validateParams(method, params);
  return answer.ok ? answer.value : answer.problem.message;
};

describe('validateParams', () => {
  it.each<[string, Record<string, unknown>, string, string]>([
    ['missing', {}, 'name', 'parameter "name" is missing; add a string — Name of the thing'],
    ['null', { name: null }, 'name', 'parameter "name" is null; give a string'],
    [
      'null for an optional',
      { name: 'x', tiny: null },
      'tiny',
      'parameter "tiny" is null; leave it out or give an integer from 0 to 255 (MiB)',
    ],
    ['type', { name: 7 }, 'name', 'parameter "name" is 7; give a string'],
    ['NUL', { name: 'a\0b' }, 'name', 'parameter "name" is "a\\u0000b", with a NUL character; give a string'],
    [
      'range above',
      { name: 'x', tiny: 256 },
      'tiny',
      'parameter "tiny" is 256, out of range; give an integer from 0 to 255 (MiB)',
    ],
    [
      'range below',
      { name: 'x', tiny: -1 },
      'tiny',
      'parameter "tiny" is -1, out of range; give an integer from 0 to 255 (MiB)',
    ],
    [
      'fraction',
      { name: 'x', tiny: 1.5 },
      'tiny',
      'parameter "tiny" is 1.5, not an integer; give an integer from 0 to 255 (MiB)',
    ],
    [
      'quoted number',
      { name: 'x', tiny: '12' },
      'tiny',
      'parameter "tiny" is "12", a string; leave the quotes away; give an integer from 0 to 255 (MiB)',
    ],
    [
      'above 2^53',
      { name: 'x', big: 2 ** 53 },
      'big',
      'parameter "big" is 9007199254740992, more than a JSON number can carry here without rounding; give an integer from 0 to 9007199254740991',
    ],
    [
      'i32',
      { name: 'x', signed: 2 ** 31 },
      'signed',
      'parameter "signed" is 2147483648, out of range; give an integer from -2147483648 to 2147483647',
    ],
    ['bool as number', { name: 'x', on: 1 }, 'on', 'parameter "on" is 1; give true or false'],
    ['bool as text', { name: 'x', on: 'true' }, 'on', 'parameter "on" is "true"; give true or false'],
    [
      'uuid',
      { name: 'x', uuid: 'ceccf520' },
      'uuid',
      'parameter "uuid" is "ceccf520"; give a UUID such as "ceccf520-691e-4b46-9546-34af789907c5"',
    ],
    ['enum', { name: 'x', level: 'low' }, 'level', 'parameter "level" is "low"; give one of "LOW", "HIGH"'],
    [
      'bitmask',
      { name: 'x', mask: ['a', 'c'] },
      'mask[1]',
      'parameter "mask[1]" is "c"; give one of "a", "b"',
    ],
    [
      'array',
      { name: 'x', names: 'y' },
      'names',
      'parameter "names" is "y"; give an array of at most 2, each a string',
    ],
    [
      'array too long',
      { name: 'x', names: ['a', 'b', 'c'] },
      'names',
      'parameter "names" has 3 items; give at most 2',
    ],
    ['array item', { name: 'x', names: ['a', 2] }, 'names[1]', 'parameter "names[1]" is 2; give a string'],
    [
      'inner missing',
      { name: 'x', address: {} },
      'address.host',
      'parameter "address.host" is missing; add a string — Host',
    ],
    [
      'inner unknown',
      { name: 'x', address: { host: 'h', prt: 1 } },
      'address.prt',
      'unknown parameter "address.prt"; did you mean "port"? remove it or use one of: host, port',
    ],
    [
      'unknown',
      { nmae: 'x' },
      'nmae',
      'unknown parameter "nmae"; did you mean "name"? remove it or use one of: name, tiny, big, signed, on, uuid, level, mask, names, address',
    ],
    [
      'prototype',
      JSON.parse('{"name":"x","__proto__":{}}'),
      '__proto__',
      'unknown parameter "__proto__"; remove it or use one of: name, tiny, big, signed, on, uuid, level, mask, names, address',
    ],
  ])('refuses: %s', (_what, params, path, message) => {
    const answer = validateParams(method, params);
    expect(answer).toEqual({ ok: false, problem: { path, message } });
  });

  it('takes integers in any spelling of JSON', () => {
    expect(check(JSON.parse('{"name": "x", "big": 1e3, "tiny": 2.0, "signed": -0}'))).toEqual({
      name: 'x',
      big: 1000,
      tiny: 2,
      signed: 0,
    });
  });

  it('answers with lower case UUIDs and only with what was checked', () => {
    expect(check({ name: 'x', uuid: 'CECCF520-691E-4B46-9546-34AF789907C5' })).toEqual({
      name: 'x',
      uuid: 'ceccf520-691e-4b46-9546-34af789907c5',
    });
  });

  it('refuses params that are no object', () => {
    expect(check(['x'])).toContain('give an object of named parameters');
    expect(check('x')).toContain('give an object of named parameters');
  });

  it('takes {}, null and nothing alike for a method without parameters', () => {
    const none = findMethod('spdk_get_version')!;
    for (const params of [undefined, null, {}])
      expect(validateParams(none, params)).toEqual({ ok: true, value: {} });
    expect(validateParams(none, { x: 1 })).toEqual({
      ok: false,
      problem: { path: 'x', message: 'spdk_get_version requires no parameters; remove "x"' },
    });
  });

  it('ignores unknown parameters where SPDK does', () => {
    const transport = findMethod('nvmf_create_transport')!;
    expect(validateParams(transport, { trtype: 'TCP', special: 1 })).toEqual({
      ok: true,
      value: { trtype: 'TCP', special: 1 },
    });
  });

  it('shortens long values', () => {
    expect((check({ name: 'x', level: 'y'.repeat(5000) }) as string).length).toBeLessThan(200);
  });
});

describe('checkResult', () => {
  it('finds what differs', () => {
    expect(checkResult(method, { count: 1 })).toBeUndefined();
    expect(checkResult(method, { count: -1 })?.path).toBe('count');
    expect(checkResult(method, { count: 1, extra: 2 })?.path).toBe('extra');
  });
});

describe('schema', () => {
  it('says something about every method, parameter and result', () => {
    for (const { name, text, params } of allMethods()) {
      expect(text, name).toMatch(/^[A-Z].*[.`]$/s);
      for (const [key, field] of Object.entries(params)) {
        expect('text' in field && field.text, `${name} ${key}`).toMatch(/^.+\.$/);
      }
    }
  });

  it('refuses a second method of a name', async () => {
    const { registerSchema } = await import('./index.ts');
    const again = defineMethod({ name: 'bdev_get_bdevs', text: 'Other.', result: t.bool });
    expect(() => registerSchema(again)).toThrow('give the new one another name');
    expect(() => defineMethod({ name: 'Bad-Name', text: 'Other.', result: t.bool })).toThrow(
      'use lower case',
    );
  });
});
