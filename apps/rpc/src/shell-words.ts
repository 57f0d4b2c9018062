/** Splits a line into words as a POSIX shell does, quotes and backslashes included. Throws an Error on an open quote. */
export function shellWords(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  for (let i = 0; i < line.length; i++) {
    const character = line[i]!;
    if (character === "'" || character === '"') {
      const [text, next] = quoted(line, i);
      word = (word ?? '') + text;
      i = next;
    } else if (character === '\\' && i + 1 < line.length) {
      i += 1;
      word = (word ?? '') + line[i];
    } else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? '') + character;
  }
  if (word !== undefined) words.push(word);
  return words;
}

/** The text inside the quotes that open at `start`, and the place of the closing one. */
function quoted(line: string, start: number): [string, number] {
  const quote = line[start];
  let text = '';
  for (let i = start + 1; i < line.length; i++) {
    const character = line[i]!;
    if (character === quote) return [text, i];
    const escapes = quote === '"' && character === '\\' && '"\\$`'.includes(line[i + 1] ?? ' ');
    if (escapes) i += 1;
    text += line[i];
  }
  throw new Error(`quote ${quote} in "${line}" does not end; close it`);
}
