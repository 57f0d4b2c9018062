/** What programs print: as text in nvme-cli's manner, or as JSON. */

export const print = (...lines: readonly string[]): void =>
  void process.stdout.write(lines.map((line) => `${line}\n`).join(''));

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function plain(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value <= Number.MAX_SAFE_INTEGER ? Number(value) : String(value);
  return value instanceof Uint8Array ? hex(value) : value;
}

/** JSON as nvme-cli's `-o json` has it: field names of the specification, byte fields in hexadecimal. */
export const json = (value: unknown): string => JSON.stringify(value, plain, 2);

const WIDTH = 9;

/** One field in a line, `name : value`; lists and structures below it. */
export function fieldLines(name: string, value: unknown, indent = ''): string[] {
  const head = `${indent}${name.padEnd(WIDTH)} : `;
  if (value instanceof Uint8Array) return [`${head}${hex(value)}`];
  if (Array.isArray(value)) return value.flatMap((one, i) => fieldLines(`${name} ${i}`, one, indent));
  if (typeof value === 'object' && value !== null) {
    const inner = Object.entries(value).map(([key, one]) => `${key}:${String(one)}`);
    return [`${head}${inner.join(' ')}`];
  }
  if (typeof value === 'number')
    return [`${head}${value > 9 ? `0x${value.toString(16)} (${value})` : value}`];
  return [`${head}${String(value).trim()}`];
}

/** A structure, one field after the other. */
export const structLines = (value: object): string[] =>
  Object.entries(value).flatMap(([name, one]) => fieldLines(name, one));

const PER_LINE = 16;

/** Bytes as nvme-cli dumps them. */
export function hexLines(bytes: Uint8Array): string[] {
  const lines = [
    `       ${Array.from({ length: PER_LINE }, (_, i) => ` ${i.toString(16).padStart(2)}`).join('')}`,
  ];
  for (let at = 0; at < bytes.length; at += PER_LINE) {
    const part = bytes.subarray(at, at + PER_LINE);
    const codes = [...part].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = [...part]
      .map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.'))
      .join('');
    lines.push(`${at.toString(16).padStart(4, '0')}:   ${codes.padEnd(PER_LINE * 3 - 1)} "${text}"`);
  }
  return lines;
}
