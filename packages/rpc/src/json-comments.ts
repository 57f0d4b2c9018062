/**
 * Replaces comments, `//` to the end of the line and `/*` to its end, by blanks, so that places in error messages
 * still fit. Text inside strings stays. Throws an Error on a comment that does not end.
 */
export function blankComments(text: string): string {
  const parts: string[] = [];
  const pattern = /"(?:[^"\\]|\\.)*"|\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/g;
  let from = 0;
  for (const match of text.matchAll(pattern)) {
    const [found] = match;
    if (found.startsWith('"')) continue;
    if (found.startsWith('/*') && (found.length < 4 || !found.endsWith('*/'))) {
      throw new Error(
        `comment that begins in line ${lineOf(text, match.index)} does not end; close it with */`,
      );
    }
    parts.push(text.slice(from, match.index), found.replace(/[^\n]/g, ' '));
    from = match.index + found.length;
  }
  parts.push(text.slice(from));
  return parts.join('');
}

const lineOf = (text: string, offset: number): number => text.slice(0, offset).split('\n').length;

/** JSON.parse with comments allowed. Throws an Error that names `source` and what is wrong. */
export function parseJsonWithComments(text: string, source: string): unknown {
  try {
    return JSON.parse(blankComments(text));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`${source} is not valid JSON: ${reason}`);
  }
}
