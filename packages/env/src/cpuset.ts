/** Sets of cores, as SPDK's `-m` writes them: a hexadecimal mask (`0x3`, `3`) or a list (`[0,1,4-6]`). */

const MAX_CORE = 1023;

/** The cores of a mask or list, ascending. Throws RangeError with what is wrong with the text. */
export function parseCpuset(text: string): number[] {
  const trimmed = text.trim();
  const cores = trimmed.startsWith('[') ? parseList(trimmed) : parseMask(trimmed);
  if (cores.length === 0) throw new RangeError(`core mask '${text}' names no core`);
  return cores;
}

function parseMask(text: string): number[] {
  const digits = text.replace(/^0x/i, '');
  if (!/^[0-9a-f]+$/i.test(digits))
    throw new RangeError(`core mask '${text}' is neither hexadecimal (0x3) nor a list ([0,1])`);
  const cores: number[] = [];
  const bits = BigInt(`0x${digits}`);
  if (bits >> BigInt(MAX_CORE + 1) !== 0n)
    throw new RangeError(`core mask '${text}' names cores above ${MAX_CORE}`);
  for (let core = 0; bits >> BigInt(core) !== 0n; core++) if ((bits >> BigInt(core)) & 1n) cores.push(core);
  return cores;
}

function parseList(text: string): number[] {
  const inner = /^\[(.*)\]$/.exec(text)?.[1];
  if (inner === undefined) throw new RangeError(`core list '${text}' lacks its closing bracket`);
  const cores = new Set<number>();
  for (const part of inner.split(',')) {
    const match = /^\s*(\d+)\s*(?:-\s*(\d+)\s*)?$/.exec(part);
    if (match === null)
      throw new RangeError(`core list '${text}': '${part}' is not a core or a range of cores`);
    const first = Number(match[1]);
    const last = match[2] === undefined ? first : Number(match[2]);
    if (last < first || last > MAX_CORE)
      throw new RangeError(`core list '${text}': '${part}' is not a range within 0-${MAX_CORE}`);
    for (let core = first; core <= last; core++) cores.add(core);
  }
  return [...cores].sort((a, b) => a - b);
}

/** A hexadecimal mask without `0x`, as thread and reactor statistics show it. */
export function formatCpumask(cores: readonly number[]): string {
  let bits = 0n;
  for (const core of cores) bits |= 1n << BigInt(core);
  return bits.toString(16);
}
