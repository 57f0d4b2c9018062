const factors: Record<string, number> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/**
 * A number of bytes as SPDK writes it: `4096`, `4k`, `1M`, `2G` (powers of 1024; `KiB`, `MiB`, … are understood
 * too). Throws RangeError with what is wrong with the text.
 */
export function parseSize(text: string): number {
  const match = /^\s*(\d+)\s*([kmgt]?)(?:i?b)?\s*$/i.exec(text);
  if (match === null) throw new RangeError(`'${text}' is not a size such as 4096, 4k or 1M`);
  const bytes = Number(match[1]) * factors[match[2]!.toLowerCase()]!;
  if (bytes === 0 || !Number.isSafeInteger(bytes))
    throw new RangeError(`'${text}' is not a size: it must be positive and below 2^53 bytes`);
  return bytes;
}

/** The shortest exact form of a number of bytes that {@link parseSize} reads. */
export function formatSize(bytes: number): string {
  for (const unit of ['T', 'G', 'M', 'k']) {
    const factor = factors[unit.toLowerCase()]!;
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return String(bytes);
}
