const factors: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

/** Bytes of `512`, `4k`, `64M` or `1G`. Throws RangeError. */
export function parseSize(text: string | number): number {
  const match = /^(\d+)([kmg]?)(?:i?b)?$/i.exec(String(text));
  const bytes = match === null ? 0 : Number(match[1]) * factors[match[2]!.toLowerCase()]!;
  if (!Number.isSafeInteger(bytes) || bytes <= 0)
    throw new RangeError(`'${text}' is no size: say 512, 4k, 64M or 1G`);
  return bytes;
}

/** `512 B`, `4 KiB`, `64 MiB`: the largest unit that divides it. */
export function formatSize(bytes: number): string {
  for (const [unit, factor] of [
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ] as const)
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor} ${unit}`;
  return `${bytes} B`;
}
