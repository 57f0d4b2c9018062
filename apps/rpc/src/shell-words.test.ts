import { expect, it } from 'vitest';
import { shellWords } from './shell-words.ts';

it.each([
  ['a  b\tc ', ['a', 'b', 'c']],
  [`a 'b c' "d e"`, ['a', 'b c', 'd e']],
  [`a"b"'c'd ''`, ['abcd', '']],
  [`"a \\" b \\n" 'c \\'`, ['a " b \\n', 'c \\']],
  ['a\\ b', ['a b']],
  ['', []],
])('splits %j', (line, words) => {
  expect(shellWords(line)).toEqual(words);
});

it('tells about open quotes', () => {
  expect(() => shellWords('a "b')).toThrow('quote " in "a "b" does not end; close it');
});
